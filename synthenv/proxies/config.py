"""Static shape of a proxy, and kinds of proxies by name. ``--help`` reads it, so it imports nothing heavy."""

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import tyro

from synthenv.core.bounds import Count, Positive
from synthenv.core.registry import Registry

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


@dataclass(frozen=True)
class ProxyConfig:
    """What is asked of any proxy's config.

    A kind of proxy derives from it, adds fields of its own, and says where its environment is made: by ``module``, or
    by overriding ``make``.
    """

    module: ClassVar[str] = ""  # a module with make(real_env, real_params, config)
    kind: ClassVar[str] = ""  # what ``--proxy`` calls it
    shapes_rewards: ClassVar[bool] = False  # whether agents step the real task and get other rewards

    def make(self, real_env: Any, real_params: Any) -> Any:
        """Build the proxy of a real task.

        Returns:
            a gymnax environment with ``init_params(key)`` and ``env_params(proxy_params, discount)``.

        Raises:
            UserError: the task does not allow such a proxy.
        """
        return importlib.import_module(self.module).make(real_env, real_params, self)

    def as_seen(self, agent_time_limit: str) -> Self:
        """Return the config for agents that see a time limit as terminal, or bootstrap through it."""
        return self

    def stored(self) -> dict[str, Any]:
        """Return the config as run directories and proxy files keep it, without the fields that it leaves open."""
        opened = {
            field.name: field.default for field in dataclasses.fields(self) if field.default in (None, "")
        }
        values = {name: x for name, x in dataclasses.asdict(self).items() if (name, x) not in opened.items()}
        return values if type(self) in (SyntheticConfig, RewardConfig) else {"kind": self.kind, **values}


@dataclass(frozen=True)
class SyntheticConfig(ProxyConfig):
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
        network: A registered flax.linen module for every network; hidden_size, depth and activation do not apply then.
    """

    module: ClassVar[str] = "synthenv.proxies.synthetic_env"

    form: Literal["mdp", "bandit"] = "mdp"
    hidden_size: Count = 128
    depth: Count = 1
    activation: Activation = "leaky_relu"
    done: Literal["raw", "threshold", "never"] = "raw"
    reset: Literal["real", "learned"] = "real"
    max_steps: Count = 200
    time_limit: Literal["terminal", "truncated"] | None = None
    network: str = ""

    @property
    def kind(self) -> str:  # type: ignore[override]
        """Return scb for a synthetic contextual bandit, else se."""
        return "scb" if self.form == "bandit" else "se"

    def as_seen(self, agent_time_limit: str) -> Self:
        """Say how synthetic episodes end where the config leaves it open: as the agents of its search see them end.

        A synthetic environment teaches what it was evolved to teach. Where its agents stored the last step as
        terminal, an agent that bootstraps through it learns other values, and may learn nothing.
        """
        if self.time_limit is not None:
            return self
        return dataclasses.replace(
            self, time_limit="terminal" if agent_time_limit == "terminal" else "truncated"
        )


@dataclass(frozen=True)
class RewardConfig(ProxyConfig):
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
        network: A registered flax.linen module as the network; hidden_size, depth and activation do not apply then.
    """

    module: ClassVar[str] = "synthenv.proxies.reward_network"
    kind: ClassVar[str] = "rn"
    shapes_rewards: ClassVar[bool] = True

    variant: Annotated[Variant, tyro.conf.arg(aliases=["--variant"])] = "additive_non_potential"
    hidden_size: Count = 32
    depth: Count = 1
    activation: Activation = "prelu"
    terminal_potential: Literal["learned", "zero"] = "learned"
    inputs: Literal["raw", "box"] = "raw"
    output_scale: Positive = 1.0
    network: str = ""


PROXIES: Registry[ProxyConfig] = Registry(
    "proxy",
    ProxyConfig,
    ours=(SyntheticConfig(), SyntheticConfig(form="bandit", max_steps=1), RewardConfig()),
    name_of=lambda config: config.kind,
)


def from_stored(stored: Mapping[str, Any]) -> ProxyConfig:
    """Rebuild a config from a run directory or a proxy file; those without a kind are ours, and known by their fields.

    Raises:
        UserError: it is of a kind that is not registered.
        TypeError: it has a field that its kind lacks.
    """
    values = dict(stored)
    kind = values.pop("kind", "rn" if "variant" in values else "se")
    return type(PROXIES.find(kind))(**values)
