"""What a person may choose about PPO. It imports nothing heavy: ``--help`` reads it.

References:
    Ferreira et al. (2022), table 18, and the released code for ``ppo_monte_carlo``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from synthenv.agents.config import Activation, AgentConfig, ICMConfig, Variation
from synthenv.core.bounds import Count, CountOrZero, Misfit, NotNegative, Positive, Share
from synthenv.core.traced import traced


@dataclass(frozen=True)
class PPOConfig(AgentConfig):
    """PPO with generalised advantage estimation, for discrete or continuous actions.

    Attributes:
        name: ppo.
        learning_rate: Adam's, of actor and critic.
        anneal_learning_rate: Let it fall linearly to zero at max_steps.
        num_envs: Environments stepped side by side.
        rollout_length: Steps of each environment per iteration.
        num_epochs: Passes over an iteration's steps.
        num_minibatches: Gradient steps per pass.
        gae_lambda: Decay of the advantage estimate: 0 is one-step, 1 Monte Carlo.
        clip_ratio: Distance from 1 beyond which a ratio of probabilities earns nothing.
        value_coefficient: Weight of the critic's mean squared error.
        entropy_coefficient: Weight of the policy's entropy.
        max_grad_norm: Bound of the gradient's norm, over all weights.
        hidden_size: Units per hidden layer.
        depth: Hidden layers.
        activation: Activation of every hidden layer.
        action_std: Continuous actions only: first standard deviation, in units of the action's bound.
        test_noise: Sample actions in tests too.
        normalize_observations: Shift and scale observations to mean 0 and standard deviation 1. For tasks whose
            observations are of very different scales; on CartPole it loses about one agent in twelve.
        normalize_rewards: Divide rewards by the standard deviation of the discounted return.
        curiosity: A bonus for transitions that a learned model does not foresee; None: none.
        network: A registered flax.linen module in place of the MLPs; hidden_size and depth do not apply to it.
    """

    module: ClassVar[str] = "synthenv.agents.ppo"

    name: Literal["ppo"] = "ppo"
    init_episodes: CountOrZero = 0
    max_episodes: Count = 1_000_000
    max_steps: Count = 200_000
    buffer_size: Count = 1
    learning_rate: Positive = traced(1e-3)
    anneal_learning_rate: bool = True
    num_envs: Count = 8
    rollout_length: Count = 128
    num_epochs: Count = 10
    num_minibatches: Count = 8
    gae_lambda: Share = traced(0.95)
    clip_ratio: Positive = traced(0.2)
    value_coefficient: NotNegative = traced(0.5)
    entropy_coefficient: NotNegative = traced(0.0)
    max_grad_norm: Positive = traced(0.5)
    hidden_size: Count = traced(64)
    depth: Count = 2
    activation: Activation = "tanh"
    action_std: Positive = traced(1.0)
    test_noise: bool = False
    normalize_observations: bool = False
    normalize_rewards: bool = True
    curiosity: ICMConfig | None = None
    variation: Variation = field(default_factory=lambda: Variation(batch_size=None, hidden_size=(21, 192)))
    network: str = ""

    @property
    def steps_per_update(self) -> int:  # type: ignore[override]
        """Return the environment steps of an iteration."""
        return self.num_envs * self.rollout_length

    def contradictions(self) -> Iterator[Misfit]:
        """Look for what ``AgentConfig`` does, and for steps that do not divide into minibatches of two or more."""
        yield from super().contradictions()
        steps, parts = self.num_envs * self.rollout_length, self.num_minibatches
        if steps % parts or steps < 2 * parts:  # advantages are standardised: that of one step alone is 0
            yield Misfit(
                "num_minibatches",
                parts,
                f"a divisor of --agent.num-envs {self.num_envs} times --agent.rollout-length"
                f" {self.rollout_length} that leaves each at least two steps",
            )


@dataclass(frozen=True)
class PPOMonteCarloConfig(AgentConfig):
    """PPO as the papers' code has it, for discrete or continuous actions. Defaults: table 18, MountainCarContinuous.

    ``init_episodes`` counts for the stop rule only.

    Attributes:
        name: ppo_monte_carlo.
        learning_rate: Adam's, of actor and critic.
        rollout_length: Decisions between two updates; the released code makes one once the collected steps exceed the
            number of episodes in table 18 times the time limit.
        num_epochs: Gradient steps per update, each on all steps since the last update.
        clip_ratio: Distance from 1 beyond which a ratio of probabilities earns nothing.
        value_coefficient: Weight of the critic's mean squared error.
        entropy_coefficient: Weight of the policy's entropy.
        hidden_size: Units per hidden layer.
        depth: Hidden layers.
        activation: Activation of every hidden layer.
        action_std: Continuous actions only: first standard deviation.
        test_noise: Sample actions in tests too, as the released code does.
        curiosity: A bonus for transitions that a learned model does not foresee; None: none.
        network: A registered flax.linen module in place of the MLPs; hidden_size and depth do not apply to it.
    """

    module: ClassVar[str] = "synthenv.agents.ppo_monte_carlo"

    name: Literal["ppo_monte_carlo"] = "ppo_monte_carlo"
    init_episodes: CountOrZero = 0
    max_episodes: Count = 3000
    max_steps: Count = 3_000_000
    buffer_size: Count = 1
    time_limit: Literal["terminal", "bootstrap"] = "terminal"
    learning_rate: Positive = traced(3e-4)
    rollout_length: Count = 10 * 999 + 1
    num_epochs: Count = 80
    clip_ratio: Positive = traced(0.2)
    value_coefficient: NotNegative = traced(1.0)
    entropy_coefficient: NotNegative = traced(0.01)
    hidden_size: Count = traced(64)
    depth: Count = 2
    activation: Activation = "relu"
    action_std: Positive = traced(0.5)
    test_noise: bool = True
    curiosity: ICMConfig | None = None
    variation: Variation = field(
        default_factory=lambda: Variation(learning_rate=(1e-4, 9e-4), batch_size=None, hidden_size=(21, 192))
    )
    network: str = ""

    @property
    def steps_per_update(self) -> int:  # type: ignore[override]
        """Return the environment steps of a rollout."""
        return self.rollout_length

    def with_time_limit(self, time_limit: str) -> Self:
        """Return the config unchanged: Monte-Carlo returns cannot look through a time limit."""
        return self

    def contradictions(self) -> Iterator[Misfit]:
        """Look for what ``AgentConfig`` does, and for returns that do not end with the episode."""
        yield from super().contradictions()
        if self.time_limit != "terminal":
            yield Misfit("time_limit", self.time_limit, "terminal: Monte-Carlo returns end with the episode")
        if self.rollout_length < 2:  # returns are standardised: that of one step alone is 0
            yield Misfit("rollout_length", self.rollout_length, "2 or more")
