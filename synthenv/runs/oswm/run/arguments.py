"""What ``synthenv oswm run`` can be told. Imports nothing heavy."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from synthenv.core.errors import UserError
from synthenv.runs.arguments import AS_EVOLVED, Common, Shared, check_agents, check_counts, resumed

StrategyName = Literal["held", "random", "repeat", "expert", "p-expert", "mixture"]

NUMBERS = ("seeds", "max_steps", "evaluations", "eval_episodes", "test_episodes")


@dataclasses.dataclass(frozen=True)
class OswmRun:
    """Train agents in a world model's dream of a few real transitions.

    The transitions are collected first, or read from a log, and the agents are tested on the real task.

    Attributes:
        task: The real task: one that synthenv list names, or any other of gymnasium whose observations are vectors.
        context: Transitions that the world model is shown; of a file at most so many, spread evenly over it.
        strategy: How the actions of the context are chosen: held for 1 to 40 steps, uniformly random, repeated for 4
            steps, by an expert (PPO, trained on the real task first; its steps count as real ones), by it in half of
            all steps, or a mixture of these; the task's preset, held or random, if not given.
        context_file: Logged transitions to show instead: an .npz with observations, actions, rewards,
            next_observations, terminations (docs/one-shot-world-models.md has an example), or a file of a run's
            contexts/. Without --task nothing real is stepped at all, and the tests are in the dream.
        model: The world model: experts (needs no pretraining), a shipped one by its name, or the directory of an oswm
            pretrain that is finished.
        episode_steps: Longest episode, in steps, in the task and in the dream: for tasks of gymnasium that are
            registered without a time limit, and logs that tell of none; the task's limit, or the longest episode of the
            log, if not given.
        termination: Where dreamt episodes end: by the known rule of the task, or where the world model says so; the
            known rule if there is one and neither is asked for.
        pessimism: Standard deviations of the predicted reward that a dreamt step costs; the task's preset if not given.
        agent: The learner.
        seeds: Independent runs, each with a context of its own (unless it is a file) and a fresh agent.
        max_steps: Dreamt training steps per agent, rounded up to whole iterations of the agent; the task's preset if
            not given.
        evaluations: Tests of the agent during training, the last one at its end.
        eval_episodes: Episodes of each of these tests.
        test_episodes: Episodes that the final, the best, an untrained and a random policy are judged by.
        out: Run directory to write; a new one under runs/ if not given.
        resume: Go on with the unfinished run in --out, whose flags need not be repeated; where there is none, begin
            what the flags say.
    """

    task: str | None = None
    context: int = 1000
    strategy: StrategyName | None = None
    context_file: Path | None = None
    model: str = "experts"
    episode_steps: int | None = None
    termination: Literal["known", "learned"] | None = None
    pessimism: float | None = None
    agent: str = "ppo"
    seeds: int = 10
    max_steps: int | None = None
    evaluations: int = 50
    eval_episodes: int = 10
    test_episodes: int = 100
    out: Path | None = None
    resume: bool = False
    common: Shared = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        name = self.task or (self.context_file and self.context_file.stem)
        return f"oswm-{name}-{self.agent}-seed{self.common.seed}"

    def asked(self) -> dict[str, Any]:
        """The flags that decide the outcome, as a run's config.json keeps them."""
        kept = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("out", "resume", "common"):
            del kept[name]
        if self.episode_steps is None:  # runs of before there was this flag can be gone on with
            del kept["episode_steps"]
        return {"command": "oswm run", "seed": self.common.seed, **kept}

    def check(self) -> None:
        """Refuse what makes no sense before anything heavy is imported.

        Raises:
            UserError: a number is too small, there is no task, or an agent that only proxies have.
        """
        if self.task is None and self.context_file is None:
            raise UserError(
                "nothing to dream of: pass --task, such as CartPole-v0, or --context-file FILE.npz"
            )
        if self.context_file is not None and self.strategy is not None:
            raise UserError(
                "--strategy collects a context and --context-file has one: pass only one of the two"
            )
        if self.agent == AS_EVOLVED:
            raise UserError("nobody was evolved with a world model: pass --agent ppo, or another one by name")
        check_agents(self.agent)
        check_counts(self, *NUMBERS, "episode_steps")
        if self.context < 20:
            raise UserError(f"--context {self.context} tells too little: pass at least 20, better 1000")
        if self.pessimism is not None and not 0 <= self.pessimism < float("inf"):
            raise UserError(f"--pessimism {self.pessimism} makes no sense: pass a finite number from 0 on")

    @staticmethod
    def resumed(stored: Mapping[str, Any]) -> "OswmRun":
        """What holds where no flag says otherwise, of the run with this config."""
        file = stored.get("context_file")
        return resumed(OswmRun, stored, context_file=file if file is None else Path(file))
