"""What ``synthenv demo`` can be told. Imports nothing heavy."""

import dataclasses
from pathlib import Path

from synthenv.runs.arguments import Common, Shared


@dataclasses.dataclass(frozen=True)
class Demo:
    """Evolve a synthetic CartPole in minutes, and test what unseen agents learn in it.

    Ten of them are trained in it and tested on the real task.

    Attributes:
        out: Run directory to write; a new one under runs/ if not given.
        resume: Go on with the unfinished demo in --out, be it with its search or with the agents after it.
    """

    out: Path | None = None
    resume: bool = False
    common: Shared = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"demo-seed{self.common.seed}"
