"""What each command can be told: one dataclass a command. Imports nothing heavy, so that ``--help`` prints at once."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from synthenv.outer.config import StrategyName
from synthenv.proxies.config import Variant
from synthenv.runs.meta_train import presets
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.tune.spaces import TunedForm

AgentName = Literal[
    "ddqn",
    "dueling_ddqn",
    "td3",
    "td3_discrete",
    "ppo",
    "ppo_monte_carlo",
    "q_learning",
    "sarsa",
    "ddqn_icm",
    "dueling_ddqn_icm",
    "td3_icm",
    "td3_discrete_icm",
    "ppo_icm",
    "ppo_monte_carlo_icm",
    "as_evolved",
]


@dataclasses.dataclass(frozen=True)
class Common:
    """Options of every command.

    Attributes:
        seed: The only source of randomness.
        json: Write {"command", "config", "results"} to this file.
        devices: CPU devices to simulate, for trying out sharding; all cores are used either way.
        distributed: Be one of several processes: auto under SLURM or on a TPU pod, else
            HOST:PORT,NUM_PROCESSES,PROCESS_ID, where HOST is that of process 0.
    """

    seed: int = 0
    json: Path | None = None
    devices: int | None = None
    distributed: str | None = None


PresetName = Literal["fast", "table3", "paper", "released", "varied", "varied_stable", "smoke"]


@dataclasses.dataclass(frozen=True)
class MetaTrain:
    """Evolve a proxy of a task: a synthetic environment (se), a synthetic bandit (scb) or a reward network (rn).

    Any field of the preset can be overridden by its flag below.

    Attributes:
        out: Run directory to write; a new one under runs/ if not given.
        preset: Named configuration that the other flags override.
        proxy: Form of the proxy: se (MDP), scb (contextual bandit) or rn (reward network, whose flags --proxy rn
            --help lists).
        resume: Go on with the unfinished run in --out, whose flags need not be repeated, or with a finished one that is
            asked for more with a larger --outer.num-generations; where there is none, begin what the flags say.
        config: The preset's fields.
    """

    out: Path | None = None
    preset: PresetName = "fast"
    proxy: presets.Form = "se"
    resume: bool = False
    config: Annotated[MetaTrainConfig, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=presets.preset
    )
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"{self.proxy}-{self.config.task}-{self.preset}-seed{self.common.seed}"


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
    """

    env: str = "synthetic/CartPole-v0"
    agent: AgentName | None = None
    num_agents: int = 10
    vary_hyperparams: bool = False
    max_steps: int | None = None
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Figure 3's protocol: real returns, training steps and episodes of agents trained in a proxy.

    For curves that of figure 5: a fixed number of training steps, a test on the real task after every episode.

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
        out: With --curves: directory of curves.png and curves.csv; a new one under runs/ if not given. Calling it again
            with the same --out trains only the rows that are missing.
    """

    proxy: tuple[str, ...] = ("synthetic/CartPole-v0",)
    agent: tuple[AgentName, ...] | None = None
    num_agents: int | None = None
    vary_hyperparams: bool = False
    baselines: bool = False
    test_task: str | None = None
    max_steps: int | None = None
    curves: bool = False
    out: Path | None = None
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)


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
    """

    proxy: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help_behavior_hint="")
    ]
    out: Path | None = None
    agent: AgentName | None = None
    num_agents: int = 10
    max_steps: int | None = None
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)


@dataclasses.dataclass(frozen=True)
class Demo:
    """Evolve a synthetic CartPole in minutes, then train ten unseen agents in it and test them on the real one.

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


@dataclasses.dataclass(frozen=True)
class Tune:
    """Search for the hyperparameters of agents, proxy and evolution strategy, in the ranges of the papers' tables.

    Needs Optuna, which make setup installs; else pip install -e '.[hpo]'.

    Attributes:
        out: Directory of the study; a new one under runs/ if not given.
        proxy: Form of the proxy: se (synthetic environment: fewest generations until solved) or rn (reward network:
            best mean score).
        task: Task id; CartPole-v0, or for rn CliffWalking if not given.
        variant: rn only: of the reward network; the preset's if not given.
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
    proxy: TunedForm = "rn"
    task: str | None = None
    variant: Variant | None = None
    preset: PresetName = "fast"
    strategies: tuple[StrategyName, ...] = ()
    num_trials: int = 50
    num_workers: int = 1
    num_generations: int | None = None
    num_searches: int = 1
    resume: bool = False
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)

    @property
    def chosen_task(self) -> str:
        """The task, or the one that stands for none."""
        return self.task or ("CliffWalking" if self.proxy == "rn" else "CartPole-v0")

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"tune-{self.proxy}-{self.chosen_task}-{self.preset}-seed{self.common.seed}"


@dataclasses.dataclass(frozen=True)
class List:
    """Name the tasks, the shipped proxies with their scores, and the presets."""

    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)


Command = MetaTrain | Train | Evaluate | Plot | Demo | Tune | List
NAMES = {
    MetaTrain: "meta-train",
    Train: "train",
    Evaluate: "evaluate",
    Plot: "plot",
    Demo: "demo",
    Tune: "tune",
    List: "list",
}
