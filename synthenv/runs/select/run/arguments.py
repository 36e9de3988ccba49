"""What ``synthenv select run`` can be told. Imports nothing heavy."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from synthenv.core.errors import UserError
from synthenv.runs.arguments import Common, check_counts, described


@dataclasses.dataclass(frozen=True)
class SelectRun:
    """Search among configurations with an objective of your own.

    Attributes:
        objective: Python file with the function to try, as FILE[:FUNCTION]; "objective" if no name is given.
        space: What may be tried: a space that ConfigSpace has written, a list of configurations or an object of lists
            and ranges, as JSON; or a Python file with a variable "space" that is one of these.
        selector: How to search; if not given, quick_tune_no_refit with past runs, else asha for several steps and
            random for one.
        data: Past runs for selectors that learn: their directory, or a fitted file.
        meta_features: What is known of the data set at hand, each as NAME=VALUE.
        budget_evaluations: Calls of the objective, of all workers together.
        budget_steps: Steps of all trials together.
        budget_seconds: After which nothing is begun any more.
        trial_seconds: After which a trial is ended, and counts as crashed.
        num_steps: Steps of a whole trial; those of the past runs if not given, else 1.
        pool_size: Candidates to draw from the space.
        minimise: Whether small scores are good.
        score_range: The least and the greatest score; another one is a crash.
        num_workers: Trials at the same time, each in a process of its own.
        out: Directory of the search; a new one under runs/ if not given.
        resume: Go on with the unfinished search in --out, whose flags need not be repeated; where there is none, begin
            what the flags say.
    """

    objective: str
    space: Path
    selector: str | None = None
    data: Path | None = None
    meta_features: tuple[str, ...] = ()
    budget_evaluations: int | None = None
    budget_steps: int | None = None
    budget_seconds: float | None = None
    trial_seconds: float | None = None
    num_steps: int | None = None
    pool_size: int = 256
    minimise: bool = False
    score_range: tuple[float, float] | None = None
    num_workers: int = 1
    out: Path | None = None
    resume: bool = False
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"select-{Path(self.objective.partition(':')[0]).stem}-seed{self.common.seed}"

    def check(self) -> None:
        """Refuse what makes no sense before anything heavy is imported.

        Raises:
            UserError: naming the flag.
        """
        check_counts(self, "budget_evaluations", "budget_steps", "num_steps", "pool_size", "num_workers")
        for name in ("budget_seconds", "trial_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
                raise UserError(f"--{name.replace('_', '-')} {seconds:g} is no time: pass a number above 0")
        if self.budget_evaluations is self.budget_steps is self.budget_seconds is None:
            raise UserError(
                "how long is the search? Pass --budget-evaluations, --budget-steps or --budget-seconds"
            )
        if self.score_range is not None and not self.score_range[0] < self.score_range[1]:
            low, high = self.score_range
            raise UserError(
                f"--score-range {low:g} {high:g} is empty: pass the least score and then the greatest"
            )
        self.described()

    def described(self) -> dict[str, float]:
        """The meta-features that were passed.

        Raises:
            UserError: one is no NAME=NUMBER.
        """
        return described(self.meta_features)

    @staticmethod
    def resumed(stored: Mapping[str, Any]) -> "SelectRun":
        """What holds where no flag says otherwise, of the search with this config."""
        names = {field.name for field in dataclasses.fields(SelectRun)}
        asked = {name: value for name, value in stored.items() if name in names}
        asked["space"] = Path(str(stored.get("space", "")))
        asked["data"] = None if stored.get("data") is None else Path(stored["data"])
        asked["score_range"] = stored.get("score_range") and tuple(stored["score_range"])
        asked["meta_features"] = tuple(
            f"{name}={value:g}" for name, value in stored.get("meta_features", {}).items()
        )
        return SelectRun(**asked, common=Common(seed=stored.get("seed", 0)))
