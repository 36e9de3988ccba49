"""What ``synthenv oswm benchmark`` can be told. Imports nothing heavy."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from synthenv.core.errors import UserError
from synthenv.core.registry import nearest
from synthenv.runs.arguments import Common, Shared, check_counts, resumed
from synthenv.runs.oswm.run.arguments import NUMBERS

TABLES = ("1", "2", "3")
TASKS = ("GridWorld", "SimpleEnv", "CartPole-v0", "MountainCar-v0", "Pendulum-v1", "Reacher-v5")
# In tables 1 and 2 only: table 3 has no expert for it. The paper's Reacher is gymnasium's.
BRAX = "brax/reacher"
BASELINES = ("ppo-real-context", "ppo-real-equal", "ppo-real-large", "random", "zero")
STRATEGIES = ("random", "repeat", "expert", "p-expert", "mixture", "held")
_LISTS = {
    "tables": TABLES,
    "tasks": (*TASKS, BRAX),
    "models": None,  # oswm.run.real_tasks knows them
    "baselines": BASELINES,
    "strategies": STRATEGIES,
}
# What may differ when a benchmark is gone on with: rows come and go, none of them changes.
_MAY_DIFFER = (*_LISTS, "preset", "out", "resume", "common")
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {},
    "paper": {"strategy": "random", "seeds": 3, "max_steps": 50_000, "evaluations": 500, "num_contexts": 8},
    "smoke": {
        "tasks": ("SimpleEnv",),
        "models": ("ridge", "persistence"),
        "strategies": ("held", "random"),
        "context": 60,
        "seeds": 2,
        "max_steps": 2048,
        "evaluations": 2,
        "eval_episodes": 2,
        "test_episodes": 4,
        "num_contexts": 2,
        "num_test_rows": 80,
        "expert_steps": 1024,
    },
}


class Row(NamedTuple):
    """One row.

    Attributes:
        task: where.
        method: a world model, or one of ``BASELINES``.
        strategy: how contexts are collected; None of baselines, which need none.
    """

    task: str
    method: str
    strategy: str | None

    @property
    def place(self) -> Path:
        """Its directory below OUT/rows; a model may be named by a path."""
        name = self.method if self.strategy is None else f"{self.method}-{self.strategy}"
        folder = re.sub(r"[^\w.-]+", "_", name).strip("_.")
        return Path(self.task) / (
            f"_{folder}" if name.startswith("./") else folder
        )  # not that of a shipped name


@dataclasses.dataclass(frozen=True)
class OswmBenchmark:
    """Tables 1, 2 and 3 of the One-Shot World Model paper, its numbers beside ours.

    Each row is a run directory under OUT/rows, and contexts of equal seeds are equal for all world models. Names in a
    list are separated by blanks or commas.

    Attributes:
        preset: Numbers that the other flags override: cpu takes ours, paper those of the paper (random contexts, 3
            seeds, 50,000 steps, 500 tests, 8 contexts), smoke the least that runs.
        tables: 1: returns by world model, 2: returns by context, 3: one-step errors by world model and context.
        tasks: Where; tables 1 and 2 also take brax/reacher.
        models: World models; table 2 is that of the first one.
        baselines: Rows of table 1 without a world model: PPO trained on the real task for as many steps as the context
            of the first of --models took there (ppo-real-context), for as many as that and the tests during training
            took (ppo-real-equal), or for as many as its agents dreamt (ppo-real-large), uniform actions, and the
            action 0. Rows that are there stay as they are, whichever model comes first later.
        strategies: How contexts are collected, tables 2 and 3.
        strategy: How they are for table 1; as the task's preset says, held or random, if not given.
        context: Transitions that a world model is shown.
        seeds: Independent runs of each row.
        max_steps: Dreamt training steps; the task's preset if not given.
        evaluations: Tests during training, the last one at its end.
        eval_episodes: Episodes of each of these tests.
        test_episodes: Episodes that policies are judged by.
        num_contexts: Contexts of each kind, table 3.
        num_test_rows: Transitions collected for each of table 3's three test sets.
        expert_steps: Bound on the training steps of table 3's experts; as many as they need if not given.
        out: Directory to write; a new one under runs/ if not given.
        resume: Go on with the benchmark in --out, whose flags need not be repeated. Tables, tasks, models, baselines
            and strategies may differ: rows that are there already are not done again.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    tables: tuple[str, ...] = TABLES
    tasks: tuple[str, ...] = TASKS
    models: tuple[str, ...] = ("experts", "ridge", "gp-ard", "persistence")
    baselines: tuple[str, ...] = BASELINES
    strategies: tuple[str, ...] = STRATEGIES
    strategy: str | None = None
    context: int = 1000
    seeds: int = 10
    max_steps: int | None = None
    evaluations: int = 50
    eval_episodes: int = 10
    test_episodes: int = 100
    num_contexts: int = 3
    num_test_rows: int = 5000
    expert_steps: int | None = None
    out: Path | None = None
    resume: bool = False
    common: Shared = dataclasses.field(default_factory=Common)

    def __post_init__(self) -> None:
        """Separate names that commas join."""
        for name in _LISTS:
            object.__setattr__(self, name, _separated(getattr(self, name)))

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"oswm-benchmark-{self.preset}-seed{self.common.seed}"

    def settings(self) -> dict[str, Any]:
        """What must be the same when the benchmark is gone on with."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in _MAY_DIFFER]
        return {"seed": self.common.seed} | {name: getattr(self, name) for name in names}

    def asked(self) -> dict[str, Any]:
        """Everything that was asked for, as config.json keeps it."""
        lists = {name: getattr(self, name) for name in _LISTS}
        return {"command": "oswm benchmark", "preset": self.preset, **lists, **self.settings()}

    def check(self) -> None:
        """Refuse what makes no sense before anything heavy is imported.

        Raises:
            UserError: a name is unknown, a list empty or a number too small.
        """
        for name, known in _LISTS.items():
            _check_names(name, getattr(self, name), known)
        if BRAX in self.tasks and "3" in self.tables:
            raise UserError(f"table 3 has no {BRAX}: pass --tables 1 2, or other --tasks")
        if self.strategy is not None:
            _check_names("strategy", (self.strategy,), STRATEGIES)
        check_counts(self, *NUMBERS, "num_contexts", "num_test_rows", "expert_steps")
        if self.context < 20:
            raise UserError(f"--context {self.context} tells too little: pass at least 20, better 1000")


def benchmark_defaults(preset: str | None, stored: Mapping[str, Any] | None) -> OswmBenchmark:
    """What holds where no flag says otherwise: the benchmark to resume, or the preset.

    Args:
        preset: its name, None for the default; of an unknown one the parser says what is wrong.
        stored: the config of the benchmark to resume, or of something else, which its directory will refuse.
    """
    if stored is not None and stored.get("command") == "oswm benchmark" and preset is None:
        return resumed(OswmBenchmark, stored)
    name: Any = preset if preset in PRESETS else "cpu"
    return OswmBenchmark(preset=name, **PRESETS[name])


def _separated(names: Sequence[str]) -> tuple[str, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(part for name in names for part in name.split(",") if part))


def _check_names(flag: str, names: Sequence[str], known: Sequence[str] | None) -> None:
    if not names and flag != "baselines":
        raise UserError(f"--{flag} is empty: pass at least one, or leave it out")
    for name in names:
        if known is not None and name not in known:
            close = nearest(name, known)
            hint = f"; did you mean {close!r}?" if close else ";"
            raise UserError(f"--{flag}: {name!r} is unknown{hint} known ones: {', '.join(known)}")
