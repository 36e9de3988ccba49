"""What ``synthenv demo`` can be told. Imports nothing heavy."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from synthenv.runs.arguments import Common


@dataclasses.dataclass(frozen=True)
class Demo:
    """Evolve a synthetic CartPole in minutes, then train ten unseen agents in it and test them on the real one.

    Attributes:
        out: Run directory to write; a new one under runs/ if not given.
        resume: Go on with the unfinished demo in --out, be it with its search or with the agents after it.
    """

    out: Path | None = None
    resume: bool = False
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"demo-seed{self.common.seed}"
