"""What ``synthenv oswm plot`` can be told. Imports nothing heavy."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from synthenv.runs.arguments import Common, Shared


@dataclasses.dataclass(frozen=True)
class OswmPlot:
    """Draw the curves of an oswm run or oswm pretrain again, or of what is done of it.

    Attributes:
        run: Its directory.
    """

    run: Annotated[Path, tyro.conf.Positional]
    common: Shared = dataclasses.field(default_factory=Common)
