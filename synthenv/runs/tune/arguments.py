"""What ``synthenv tune`` can be told. Imports nothing heavy."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthenv.runs.arguments import Common, Shared, check_counts, resumed


@dataclasses.dataclass(frozen=True)
class Tune:
    """Search for the hyperparameters of agents, proxy and evolution strategy.

    The ranges are those of the papers' tables. Optuna, which this needs, comes with make setup; else pip install -e
    '.[hpo]'.

    Attributes:
        out: Directory of the study; a new one under runs/ if not given.
        proxy: Form of the proxy: se or scb (synthetic environment or bandit: fewest generations until solved), rn
            (reward network: best mean score), or one of your own.
        task: Task id; CartPole-v0, or for rn CliffWalking if not given.
        variant: rn only: of the reward network; the preset's if not given.
        agent: The learner; one that fits the task's actions if not given. Only of those of the papers' tables 3, 10, 13
            and 16 hyperparameters are searched.
        preset: Named configuration whose other fields stay as they are.
        strategies: To choose from; the preset's alone if not given. Only paper_nes has a score transformation and
            mirrored sampling, only paper_nes and open_es have a step size.
        num_trials: Configurations to try.
        num_workers: Trials at the same time, each in a process with its share of the cores.
        num_generations: Of a search at most; the preset's if not given. Hopeless ones are stopped after a ninth or a
            third of them.
        num_searches: Searches of a trial, whose losses are added (3 in the paper for se).
        resume: Go on with the unfinished study in --out, whose flags need not be repeated; where there is none, begin
            what the flags say.
    """

    out: Path | None = None
    proxy: str = "rn"
    task: str | None = None
    variant: str | None = None
    agent: str | None = None
    preset: str = "fast"
    strategies: tuple[str, ...] = ()
    num_trials: int = 50
    num_workers: int = 1
    num_generations: int | None = None
    num_searches: int = 1
    resume: bool = False
    common: Shared = dataclasses.field(default_factory=Common)

    @property
    def chosen_task(self) -> str:
        """The task, or the one that stands for none."""
        from synthenv.runs.meta_train.presets import default_task

        return self.task or default_task(self.proxy)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"tune-{self.proxy}-{self.chosen_task}-{self.preset}-seed{self.common.seed}"

    def check(self) -> None:
        """Refuse what makes no sense before anything heavy is imported.

        Raises:
            UserError: a number is too small.
        """
        check_counts(self, "num_trials", "num_workers", "num_searches", "num_generations")

    @staticmethod
    def resumed(stored: Mapping[str, Any]) -> "Tune":
        """What holds where no flag says otherwise, of the study with this config."""
        return resumed(Tune, stored, strategies=tuple(stored.get("strategies", ())))
