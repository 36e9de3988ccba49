"""What ``synthenv list`` can be told. Imports nothing heavy."""

import dataclasses
from typing import Annotated

import tyro

from synthenv.runs.arguments import Common


@dataclasses.dataclass(frozen=True)
class List:
    """Name what commands take by name: tasks, agents, proxies, presets."""

    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)
