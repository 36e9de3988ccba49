"""What ``synthenv oswm pretrain`` can be told. Imports nothing heavy."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthenv.runs.arguments import Common, Shared, check_counts, resumed


@dataclasses.dataclass(frozen=True)
class OswmPretrain:
    """Train the transformer of a world model on random tasks, for oswm run.

    No real task is trained on.

    Attributes:
        preset: What is trained, on what, for how long: small; generic (small, none of whose tasks resembles those that
            it is measured on); smoke (small in a minute, good for nothing); paper (the paper's transformer on the
            paper's prior). synthenv list says more. small if not given.
        steps: Gradient steps; the preset's if not given.
        steps_per_line: Gradient steps between two lines of metrics, with their tests and a checkpoint; the preset's if
            not given.
        workers: Threads that prepare batches, without influence on any number; one a core if not given.
        families: Families of random systems to train on, in equal shares, also of your own; the preset's if not given.
        out: Run directory to write; a new one under runs/ if not given.
        resume: Go on with the unfinished run in --out, whose flags need not be repeated; where there is none, begin
            what the flags say.
    """

    preset: str | None = None
    steps: int | None = None
    steps_per_line: int | None = None
    workers: int | None = None
    families: tuple[str, ...] = ()
    out: Path | None = None
    resume: bool = False
    common: Shared = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"pretrain-{self.preset or 'small'}-seed{self.common.seed}"

    def check(self) -> None:
        """Refuse what makes no sense before anything heavy is imported.

        Raises:
            UserError: a number is too small.
        """
        check_counts(self, "steps", "steps_per_line", "workers")

    @staticmethod
    def resumed(stored: Mapping[str, Any]) -> "OswmPretrain":
        """What holds where no flag says otherwise, of the run with this config."""
        return resumed(OswmPretrain, stored, steps=stored.get("pretrain", {}).get("num_steps"))
