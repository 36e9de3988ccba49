"""What ``synthenv select simulate`` can be told. Imports nothing heavy."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from synthenv.core.errors import UserError
from synthenv.runs.arguments import Common, check_counts, resumed


@dataclasses.dataclass(frozen=True)
class SelectSimulate:
    """Replay searches on a table of past runs, by the clock.

    Several methods are compared by the regret that is left after some hours.

    Attributes:
        data: Directory of past runs.
        methods: Ways to search, see synthenv list.
        hours: Points of time at which regret is reported; searches end at the last of them.
        seeds: Searches of each method on each data set; what learns from past runs learns anew for each.
        folds: Of data sets that are held out together by methods that learn from the others.
        num_workers: Jobs at the same time.
        num_jobs: Most jobs of a search.
        thaw_seconds: What it costs to go on with a paused run.
        out: Directory for tables and the picture; a new one under runs/ if not given.
        resume: Go on with unfinished searches in --out; where there are none, begin.
    """

    data: Path
    methods: tuple[str, ...] = ("quick_tune_no_refit", "asha", "random")
    hours: tuple[float, ...] = (1.0, 4.0, 16.0)
    seeds: int = 3
    folds: int = 5
    num_workers: int = 1
    num_jobs: int = 1000
    thaw_seconds: float = 0.0
    out: Path | None = None
    resume: bool = False
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)

    @staticmethod
    def resumed(stored: Mapping[str, Any]) -> "SelectSimulate":
        """What holds where no flag says otherwise, of the searches with this config."""
        own = {"methods": tuple(stored["methods"]), "hours": tuple(stored["hours"])}
        return resumed(SelectSimulate, stored, data=Path(stored["data"]), **own)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"simulate-{self.data.name}-seed{self.common.seed}"

    def check(self) -> None:
        """Refuse what makes no sense before anything heavy is imported.

        Raises:
            UserError: naming the flag.
        """
        check_counts(self, "seeds", "folds", "num_workers", "num_jobs")
        if not self.methods:
            raise UserError("--methods names nobody to compare: pass one or more, such as asha random")
        if len(set(self.methods)) < len(self.methods):
            raise UserError("--methods names a method twice: name each once")
        if not self.hours or not all(math.isfinite(h) and h > 0 for h in self.hours):
            raise UserError(
                "--hours are points of time after the beginning: pass one or more numbers above 0"
            )
        if not (math.isfinite(self.thaw_seconds) and self.thaw_seconds >= 0):
            raise UserError(f"--thaw-seconds {self.thaw_seconds:g} is no time: pass 0 or more")
