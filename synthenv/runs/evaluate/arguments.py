"""What ``synthenv train``, ``evaluate`` and ``plot`` can be told. Imports nothing heavy."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from synthenv.runs.arguments import Common, Shared, check_agents, check_counts


@dataclasses.dataclass(frozen=True)
class Train:
    """Train agents in any environment and test them on the real task.

    Attributes:
        env: A task (CartPole-v0), a shipped proxy (synthetic/CartPole-v0, or :i for one) or a run directory (./name, if
            something is shipped by that name).
        agent: The learner; if not given, whom the proxy was evolved with, or one that fits the task. as_evolved: with
            the hyperparameters of its search too, not those of the papers' evaluations.
        num_agents: Fresh agents to train.
        vary_hyperparams: Draw every agent's hyperparameters at random (table 2; table 9 for tabular ones).
        max_steps: Training steps per agent at most, where no stop rule ends them; the proxy's own budget if not given.
        out: Directory for the returns of every agent, and for their policies unless hyperparameters vary; a new one
            under runs/ if not given.
    """

    env: str = "synthetic/CartPole-v0"
    agent: str | None = None
    num_agents: int = 10
    vary_hyperparams: bool = False
    max_steps: int | None = None
    out: Path | None = None
    common: Shared = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"train-{Path(self.env).name}-seed{self.common.seed}"

    def check(self) -> None:
        """Refuse what trains nobody.

        Raises:
            UserError: an agent is unknown, a number is too small.
        """
        check_agents(self.agent)
        check_counts(self, "num_agents", "max_steps", idle="trains nobody")


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure what agents learn in proxies: real returns, training steps and episodes.

    The protocol is that of figure 3, for curves that of figure 5: a fixed number of training steps, a test on the real
    task after every episode.

    Attributes:
        proxy: Shipped proxies (synthetic/CartPole-v0: all of the task, :i one of them) and run directories, of one
            task. Together they are one row, with --curves each is one.
        agent: The learner, with --curves also several; if not given, whom the proxy was evolved with.
        num_agents: Fresh agents for each row, spread evenly over its proxies; 400, with --curves 40 if not given.
        vary_hyperparams: Draw every agent's hyperparameters at random (table 2; table 9 for tabular ones).
        baselines: Also train the same agents on the real task, and test untrained ones.
        test_task: Test on this task instead of the proxy's own.
        max_steps: Training steps per agent in the proxy, its own budget if not given; baselines keep theirs. With
            --curves those of every agent, those of the papers' figures if not given.
        curves: Real test return against training steps, and steps to solve.
        out: Directory for the returns of every agent, with --curves for curves.png and curves.csv; a new one under
            runs/ if not given. With --curves the same --out again trains only the rows that are missing.
    """

    proxy: tuple[str, ...] = ("synthetic/CartPole-v0",)
    agent: tuple[str, ...] | None = None
    num_agents: int | None = None
    vary_hyperparams: bool = False
    baselines: bool = False
    test_task: str | None = None
    max_steps: int | None = None
    curves: bool = False
    out: Path | None = None
    common: Shared = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        kind = "curves" if self.curves else "evaluate"
        return f"{kind}-{Path(''.join(self.proxy[:1])).name}-seed{self.common.seed}"

    def check(self) -> None:
        """Refuse what trains nobody.

        Raises:
            UserError: an agent is unknown, a number is too small.
        """
        check_agents(*(self.agent or ()))
        check_counts(self, "num_agents", "max_steps", idle="trains nobody")


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw what a proxy shows its agents: pictures with their numbers beside them.

    Of a synthetic environment: states and rewards in training, in real tests and in answer to these (figures 4 and 8),
    then densities of returns (figure 3). Of a reward network: its reward for every action in every cell of a gridworld
    (figure 11), elsewhere learned beside real rewards in test episodes.

    Attributes:
        proxy: A run directory or a shipped proxy (reward/CliffWalking: all of the task, :i one of them); several that
            are alike are averaged, or share the agents.
        out: Directory to write; plots in the run directory, or a new one under runs/ if not given.
        agent: The learner; if not given, whom the proxy was evolved with.
        num_agents: Fresh agents with default hyperparameters, in the proxies and for each of figure 3's baselines.
        max_steps: Training steps per agent in the proxy, its own budget if not given.
        returns: Of a synthetic environment draw figure 3 as well, which trains as many agents on the real task.
    """

    proxy: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help_behavior_hint="")
    ]
    out: Path | None = None
    agent: str | None = None
    num_agents: int = 10
    max_steps: int | None = None
    returns: bool = True
    common: Shared = dataclasses.field(default_factory=Common)

    def check(self) -> None:
        """Refuse what trains nobody.

        Raises:
            UserError: an agent is unknown, a number is too small.
        """
        check_agents(self.agent)
        check_counts(self, "num_agents", "max_steps", idle="trains nobody")
