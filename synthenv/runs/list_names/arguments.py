"""What ``synthenv list`` can be told. Imports nothing heavy."""

import dataclasses

from synthenv.runs.arguments import Common, Shared


@dataclasses.dataclass(frozen=True)
class List:
    """Name what commands take by name: tasks, agents, proxies, presets."""

    common: Shared = dataclasses.field(default_factory=Common)
