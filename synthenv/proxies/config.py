"""Static shape of a proxy. Imports nothing heavy, so that ``synthenv --help`` stays quick."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from synthenv.core.bounds import Count, Positive

Activation = Literal["tanh", "relu", "leaky_relu", "prelu"]
Variant = Literal[
    "additive_potential",
    "exclusive_potential",
    "additive_non_potential",
    "exclusive_non_potential",
    "additive_potential_augmented",
    "exclusive_potential_augmented",
    "additive_non_potential_augmented",
    "exclusive_non_potential_augmented",
    "additive_linear",
    "exclusive_linear",
]


class SyntheticConfig(NamedTuple):
    """Networks and episodes of a synthetic environment.

    Attributes:
        form: mdp has state, reward and done networks; bandit has an initial-state and a reward network and
            episodes of one step.
        hidden_size: Units per hidden layer of every network.
        depth: Hidden layers of every network.
        activation: Activation of every hidden layer.
        done: raw passes 1 - (linear done output) on as the bootstrap factor, as the released code does (it may
            leave [0, 1]); threshold passes 0 or 1; never has no done network and ends episodes at the time
            limit only. With raw and threshold an episode ends when the output exceeds 0.5.
        reset: real draws initial states from the real task; learned from a network fed with noise.
        max_steps: Length of a synthetic episode.
        time_limit: What the last step of an episode is reported as: terminal, the end of the synthetic MDP, with
            nothing to bootstrap from; truncated, a time limit that agents may look through; None, whichever the
            agents of the search took it for (agent.time_limit), or truncated where there is no search. Bandits always
            terminate.
    """

    form: Literal["mdp", "bandit"] = "mdp"
    hidden_size: Count = 128
    depth: Count = 1
    activation: Activation = "leaky_relu"
    done: Literal["raw", "threshold", "never"] = "raw"
    reset: Literal["real", "learned"] = "real"
    max_steps: Count = 200
    time_limit: Literal["terminal", "truncated"] | None = None


class RewardConfig(NamedTuple):
    """The network of a reward network, and what it does with the real reward. Defaults: table 10.

    Attributes:
        variant: additive keeps the real reward and adds to it, exclusive replaces it; potential pays
            discount * net(next state) - net(state), non_potential net(next state); augmented feeds the info vector of
            the transition to the network too; linear is a weighted sum of the info vector alone.
        hidden_size: Units per hidden layer.
        depth: Hidden layers.
        activation: Activation of every hidden layer.
        terminal_potential: Of a state that ends the task: learned as everywhere, as in the paper, or zero, without
            which a potential may change what the best policy is.
        inputs: raw observations, as in the papers, or those mapped to [-1, 1] between the bounds that the task states
            (box), without which a fresh network hardly sees small ones, such as MountainCar's velocity.
        output_scale: Factor on what the network says: a fresh one says less than 1, which shapes little where the real
            return is of the order of 100.
    """

    variant: Annotated[Variant, tyro.conf.arg(aliases=["--variant"])] = "additive_non_potential"
    hidden_size: Count = 32
    depth: Count = 1
    activation: Activation = "prelu"
    terminal_potential: Literal["learned", "zero"] = "learned"
    inputs: Literal["raw", "box"] = "raw"
    output_scale: Positive = 1.0


ProxyConfig = SyntheticConfig | RewardConfig


def from_stored(stored: Mapping[str, Any]) -> ProxyConfig:
    """The config that a run directory or a proxy file tells of, as JSON has it."""
    return (RewardConfig if "variant" in stored else SyntheticConfig)(**stored)


def as_seen(config: ProxyConfig, agent_time_limit: str) -> ProxyConfig:
    """A config that says how synthetic episodes end: if it did not, as the agents of its search saw them end.

    A synthetic environment teaches what it was evolved to teach. Where its agents stored the last step as terminal,
    an agent that bootstraps through it learns other values, and may learn nothing.

    Args:
        config: of a proxy; files of earlier versions say nothing about the end of their episodes.
        agent_time_limit: ``time_limit`` of the agents that it was evolved with: terminal or bootstrap.
    """
    if isinstance(config, RewardConfig) or config.time_limit is not None:
        return config
    return config._replace(time_limit="terminal" if agent_time_limit == "terminal" else "truncated")
