"""What a person may choose about agents that learn step by step. It imports nothing heavy: ``--help`` reads it.

References:
    Ferreira et al. (2022), tables 2-5, 9, 11, 15 and 17.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from synthenv.agents.config import Activation, AgentConfig, ICMConfig
from synthenv.core.bounds import Bounds, Count, CountOrZero, NotNegative, Positive, Rate, Share
from synthenv.core.traced import traced


@dataclass(frozen=True)
class DDQNConfig(AgentConfig):
    """Double DQN, plain or dueling. Defaults: table 5.

    Attributes:
        name: ddqn, or dueling_ddqn for a dueling head.
        learning_rate: Adam's.
        tau: Polyak rate of the target network, every gradient step.
        epsilon_init: Exploration in the first episode.
        epsilon_min: Lowest exploration.
        epsilon_decay: Factor per episode.
        batch_size: Transitions per gradient step.
        hidden_size: Units per hidden layer.
        depth: Hidden layers.
        activation: Activation of every hidden layer.
        feature_size: dueling_ddqn only: outputs of the shared layers, and units of the two heads.
        advantage_mean: dueling_ddqn only: what is taken off an advantage: the mean over the actions of its state, or,
            as the released code has it, over the actions and the whole batch.
        curiosity: A bonus for transitions that a learned model does not foresee; None: none.
        network: A registered flax.linen module in place of the MLP; hidden_size and depth do not apply to it.
    """

    module: ClassVar[str] = "synthenv.agents.ddqn"
    replayed_actions: ClassVar[Literal["none", "index", "vector"]] = "index"
    actions: ClassVar[tuple[str, ...]] = ("discrete",)

    name: Literal["ddqn", "dueling_ddqn"] = "ddqn"
    learning_rate: Positive = traced(1e-3)
    tau: Rate = traced(0.01)
    epsilon_init: Share = traced(1.0)
    epsilon_min: Share = traced(0.01)
    epsilon_decay: Share = traced(0.9)
    batch_size: Count = traced(128)
    hidden_size: Count = traced(128)
    depth: Count = 2
    activation: Activation = "relu"
    feature_size: Count = 128
    advantage_mean: Literal["state", "batch"] = "state"
    curiosity: ICMConfig | None = None
    network: str = ""

    @property
    def blocks_of_batch(self) -> bool:  # type: ignore[override]
        """Tell whether gradients may be summed over blocks: not where advantages need the mean of the whole."""
        return self.advantage_mean != "batch"

    def as_released(self) -> Self:
        """Take the mean advantage of a dueling head over the whole batch."""
        return replace(self, advantage_mean="batch") if self.name == "dueling_ddqn" else self


@dataclass(frozen=True)
class TD3Config(AgentConfig):
    """TD3 for continuous actions, or for discrete ones by Gumbel-softmax. Defaults: table 17.

    Attributes:
        name: td3, or td3_discrete.
        learning_rate: Adam's, of actor and critics.
        tau: Polyak rate of the target networks.
        batch_size: Transitions per gradient step.
        hidden_size: Units per hidden layer.
        depth: Hidden layers.
        activation: Activation of every hidden layer.
        policy_delay: Gradient steps of the critics for each one of the actor and the targets.
        action_std: Standard deviation of the noise on actions in training.
        policy_std: Standard deviation of the noise on the target's action.
        policy_clip: Bound of that noise.
        test_noise: Act with exploration noise in tests too, as the released code does.
        temperature: td3_discrete only: first temperature of the Gumbel-softmax.
        temperature_mode: td3_discrete only: annealed falls to a twentieth in 2,000 gradient steps, learned is trained
            with the actor, fixed stays.
        one_hot: td3_discrete only: act on hard samples with the gradient of relaxed ones.
        curiosity: A bonus for transitions that a learned model does not foresee; None: none.
        network: A registered flax.linen module in place of the MLPs; hidden_size and depth do not apply to it.
    """

    module: ClassVar[str] = "synthenv.agents.td3"
    replayed_actions: ClassVar[Literal["none", "index", "vector"]] = "vector"

    name: Literal["td3", "td3_discrete"] = "td3"
    learning_rate: Positive = traced(3e-4)
    tau: Rate = traced(0.005)
    batch_size: Count = traced(256)
    hidden_size: Count = traced(128)
    depth: Count = 2
    activation: Activation = "relu"
    policy_delay: Count = traced(2)
    action_std: NotNegative = traced(0.1)
    policy_std: NotNegative = traced(0.2)
    policy_clip: NotNegative = traced(0.5)
    test_noise: bool = False
    temperature: Positive = traced(1.0)
    temperature_mode: Literal["annealed", "learned", "fixed"] = "annealed"
    one_hot: bool = False
    curiosity: ICMConfig | None = None
    network: str = ""

    @property
    def actions(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return the kinds of actions that it can choose: discrete ones as ``td3_discrete``, else continuous ones."""
        return ("discrete",) if self.name == "td3_discrete" else ("continuous",)

    def as_released(self) -> Self:
        """Explore in tests, too."""
        return replace(self, test_noise=True)


class TabularVariation(NamedTuple):
    """Ranges to draw tabular agents from. Defaults: table 9.

    Attributes:
        learning_rate: Uniform.
        discount: Uniform.
    """

    learning_rate: tuple[Positive, Positive] = (0.1, 1.0)
    discount: tuple[Share, Share] = (0.1, 1.0)

    logarithmic = False  # as numbers are drawn of ranges that do not say so


@dataclass(frozen=True)
class TabularConfig(AgentConfig):
    """Q-learning or SARSA on one-hot observations. Defaults: table 11.

    Attributes:
        name: q_learning or sarsa.
        learning_rate: Of the table.
        epsilon_init: Exploration in the first episode.
        epsilon_min: Lowest exploration.
        epsilon_decay: Factor per episode.
        count_bonus: Bonus for rare state-action pairs (beta); 0: none.
        count_form: The bonus is beta / n in the paper, beta / sqrt(n) in the released code.
    """

    module: ClassVar[str] = "synthenv.agents.tabular"
    needs_table: ClassVar[bool] = True
    actions: ClassVar[tuple[str, ...]] = ("discrete",)

    name: Literal["q_learning", "sarsa"] = "q_learning"
    discount: Share = 0.8
    init_episodes: CountOrZero = 0
    buffer_size: Annotated[int, Bounds(1, 1)] = 1  # it learns from the last transition only
    time_limit: Literal["terminal", "bootstrap"] = "terminal"
    learning_rate: Positive = traced(1.0)
    epsilon_init: Share = traced(0.1)
    epsilon_min: Share = traced(0.1)
    epsilon_decay: Share = traced(0.0)
    count_bonus: NotNegative = traced(0.0)
    count_form: Literal["n", "sqrt_n"] = "n"
    variation: Any = field(default_factory=TabularVariation)

    def with_room(self, num_transitions: int) -> Self:
        """Return the config unchanged: it learns from the last transition only."""
        return self

    def bare(self) -> Self:
        """Return the config without a bonus for rare state-action pairs."""
        return replace(self, count_bonus=0.0)

    def exploring(self) -> tuple[str, Self] | None:
        """Return the agent with its count-based bonus, that of table 12 if it has none."""
        return "count_based", replace(self, count_bonus=self.count_bonus or 0.1)

    def as_released(self) -> Self:
        """Divide the count-based bonus by sqrt(n), not by n."""
        return replace(self, count_form="sqrt_n")
