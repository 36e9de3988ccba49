"""What a person may choose about an agent, and what others ask of it. ``--help`` reads it, so it imports nothing heavy.

Fields that are ``traced`` may differ between members of one compiled program; every value of another field needs a
program of its own.

References:
    Ferreira et al. (2022), tables 2-5, 9, 11, 15 and 17.
"""

import importlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, NamedTuple, Self

from synthenv.core.bounds import Count, CountOrZero, Misfit, NotNegative, Positive, Share
from synthenv.core.traced import traced
from synthenv.nets.registry import NETWORKS

Activation = Literal["tanh", "relu", "leaky_relu", "prelu"]


class Variation(NamedTuple):
    """Ranges to draw agents from, ends included. Defaults: table 2.

    Attributes:
        learning_rate: Log-uniform.
        batch_size: Log-uniform, truncated to an integer; None where agents have none.
        hidden_size: Log-uniform, truncated to an integer.
        depth: Uniform.
        max_steps: Log-uniform, truncated to an integer; None leaves every agent the same budget. Not in table 2:
            agents of unequal patience keep a proxy from teaching only those that stop in time.
    """

    learning_rate: tuple[Positive, Positive] = (1e-3 / 3, 3e-3)
    batch_size: tuple[Count, Count] | None = (42, 384)
    hidden_size: tuple[Count, Count] = (42, 384)
    depth: tuple[Count, Count] = (1, 3)
    max_steps: tuple[Count, Count] | None = None


@dataclass(frozen=True)
class AgentConfig:
    """The schedule that every agent follows, and what is asked of any agent. Defaults: table 5.

    A kind of agent derives from it, adds fields of its own, and says where its learner is made: by ``module``, or by
    overriding ``make``. The class attributes say what it can learn.

    Attributes:
        name: Which agent this is.
        discount: Discount factor.
        init_episodes: Episodes before the first gradient step.
        max_episodes: Most training episodes.
        max_steps: Most training steps.
        buffer_size: Replay capacity.
        stop: plateau ends training when the return in training stops changing, solved when it reaches the
            task's solved threshold, none leaves it to the bounds.
        stop_window: Episodes averaged by the stop rule (d).
        plateau_tolerance: Relative change below which plateau stops (C_diff).
        time_limit: terminal stores a time limit as a terminal state (gym 0.17, the papers); bootstrap looks
            through it.
        action_repeat: Environment steps for which every action is held, in training and in tests.
        test_episodes: Greedy episodes on the real task after every training episode; the stop rules then look at
            their mean return instead of the return in training. 0: none.
        vary: Draw the hyperparameters named in variation anew for every agent.
        variation: The ranges.
    """

    module: ClassVar[str] = ""  # a module with make(config, bucket, action_space, task)
    needs_table: ClassVar[bool] = False  # one-hot observations, each a cell of a table
    replayed_actions: ClassVar[Literal["none", "index", "vector"]] = (
        "none"  # form of actions in the replay that it leaves
    )
    blocks_of_batch: ClassVar[bool] = True  # whether a gradient may be summed over blocks of the batch
    actions: ClassVar[tuple[str, ...]] = ("discrete", "continuous")  # the kinds that it can choose
    steps_per_update: ClassVar[int] = 1  # environment steps between two times that it learns

    name: str = ""
    discount: Share = traced(0.99)
    init_episodes: CountOrZero = traced(10)
    max_episodes: Count = traced(1000)
    max_steps: Count = traced(1_000_000)
    buffer_size: Count = 100_000
    stop: Literal["plateau", "solved", "none"] = "plateau"
    stop_window: Count = 10
    plateau_tolerance: NotNegative = traced(0.01)
    time_limit: Literal["terminal", "bootstrap"] = "bootstrap"
    action_repeat: Count = 1
    test_episodes: CountOrZero = 0
    vary: bool = False
    variation: Variation = field(default_factory=Variation)

    @property
    def full_name(self) -> str:
        """Return the name that it is registered by: its own, with _icm if it is curious."""
        return f"{self.name}_icm" if getattr(self, "curiosity", None) else self.name

    def make(self, bucket: Any, action_space: Any, task: Any = None) -> Any:
        """Build the learner.

        Args:
            bucket: the static shape of its networks and batches, an ``agents.training.bucket.Bucket``.
            action_space: of the environments it trains in.
            task: the real task, an ``EnvSpec``, where it is tested while it trains; None if it is not.

        Returns:
            a ``core.types.Agent``.
        """
        return importlib.import_module(self.module).make(self, bucket, action_space, task)

    def with_room(self, num_transitions: int) -> Self:
        """Return the config with a replay of another capacity."""
        return replace(self, buffer_size=num_transitions)

    def with_time_limit(self, time_limit: str) -> Self:
        """Return the config with another view of time limits, if it can have one."""
        return replace(self, time_limit=time_limit)

    def bare(self) -> Self:
        """Return the config without a bonus for exploring."""
        changes: dict[str, Any] = {"curiosity": None} if hasattr(self, "curiosity") else {}
        return replace(self, **changes)

    def exploring(self) -> tuple[str, Self] | None:
        """Return the papers' baseline that explores, and its name; None if there is none. A bonus of its own stays."""
        if not hasattr(self, "curiosity"):
            return None
        changes: dict[str, Any] = {"curiosity": self.curiosity or ICMConfig()}  # type: ignore[attr-defined]
        return "icm", replace(self, **changes)

    def as_released(self) -> Self:
        """Return the config with what the papers' code does otherwise than their text."""
        return self

    def stored(self) -> dict[str, Any]:
        """Return the config as files keep it.

        A network is left out where there is none, as in files from before agents could have one.
        """
        opened = {
            (field.name, "") for field in fields(self) if field.name == "network" and field.default == ""
        }
        return {name: value for name, value in asdict(self).items() if (name, str(value)) not in opened}

    def contradictions(self) -> Iterator[Misfit]:
        """Yield numbers that make no sense beside others of the config, though each is one that its field allows.

        Raises:
            UserError: nobody has registered its network.
        """
        if network := getattr(self, "network", ""):
            NETWORKS.find(network)
        own, drawn = getattr(self, "batch_size", None), getattr(self.variation, "batch_size", None)
        path, value, most = "batch_size", own, own
        if drawn and (self.vary or own is None):
            path, value, most = "variation.batch_size", f"{drawn[0]} {drawn[1]}", drawn[1]
        if own is None and drawn and self.vary:
            yield Misfit(path, value, f"None: {self.name} has no batch size")
        elif most is not None and most > self.buffer_size:
            yield Misfit(
                path, value, f"at most the replay's capacity, --agent.buffer-size {self.buffer_size}"
            )


def around(agent: Any) -> Any:
    """Return ranges from a third to three times what an agent has, and one layer more or less, as in tables 2 and 9.

    Agents without layers keep the ranges that they have.
    """
    if not hasattr(agent, "hidden_size"):
        return agent.variation

    def thirds(value: int) -> tuple[int, int]:
        return -(-value // 3), 3 * value

    return Variation(
        learning_rate=(agent.learning_rate / 3, 3 * agent.learning_rate),
        batch_size=thirds(agent.batch_size) if hasattr(agent, "batch_size") else None,
        hidden_size=thirds(agent.hidden_size),
        depth=(max(1, agent.depth - 1), agent.depth + 1),
    )


class ICMConfig(NamedTuple):
    """An intrinsic curiosity module. Defaults: table 15.

    Attributes:
        learning_rate: Adam's.
        beta: Share of the forward loss, the rest is the inverse loss.
        eta: Factor of the bonus.
        feature_size: Features of an observation.
        hidden_size: Units per hidden layer of the features, the inverse and the forward model.
    """

    learning_rate: Positive = 1e-4
    beta: Share = 0.2
    eta: NotNegative = 0.5
    feature_size: Count = 64
    hidden_size: Count = 128
