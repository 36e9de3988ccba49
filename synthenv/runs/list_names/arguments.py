"""What ``synthenv list`` can be told. Imports nothing heavy."""

import dataclasses
from typing import Annotated

import tyro

from synthenv.runs.arguments import Common


@dataclasses.dataclass(frozen=True)
class List:
    """Name the tasks, agents, shipped proxies with their scores, presets, and all else that goes by a name."""

    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)
