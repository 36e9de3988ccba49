"""What ``synthenv demo`` can be told. Imports nothing heavy."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from synthenv.runs.arguments import Common


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
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"demo-seed{self.common.seed}"

    @staticmethod
    def resumed(stored: Mapping[str, Any]) -> "Demo":
        """What holds where no flag says otherwise, of the demo with this config."""
        return Demo(common=Common(seed=stored.get("seed", 0)))
