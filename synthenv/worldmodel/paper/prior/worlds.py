"""The environments of the OSWM prior: what is drawn once for each, and the random numbers of its episodes.

States have 11 slots and actions 3. A world uses some of them, in random order: dimensions 0 to n - 1 are outputs of
random networks, then come position and velocity of each pair. All arrays here are in the order of the slots already.

References:
    OSWM: released code automl/oswm at 70647fb, priors/rl_prior.py (``MomentumEnv``, ``NNEnvironment``).
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core import keys
from synthenv.worldmodel.paper.prior import momentum, networks
from synthenv.worldmodel.paper.prior.networks import NetworkConfig

STATE_SLOTS, ACTION_SLOTS = 11, 3
MAX_PAIRS = STATE_SLOTS // 2
MAX_CHOICES = 4  # most choices of a discrete action
STEPS = 51  # length of an episode: the released counter ends it when it exceeds 50
_WORLD_WORDS = 16 + STATE_SLOTS


@dataclass(frozen=True)
class ReleasedPriorConfig:
    """Which OSWM prior to draw from. The defaults are the released code, defects included.

    Attributes:
        momentum: whether there are pairs of position and velocity; without them all dimensions are networks, and values
            and bounds of actions follow the rule of the released ``NNEnv``.
        hidden_velocity: the released defect. A coin that was to flip the sign of a pair's observed velocity shows it as
            -v or as a constant 0; without the defect as -v or v.
        radians_are_cosines: the released defect. An angle in radians shows its cosine, plus 0 or pi; without it the
            angle in [-pi, pi], plus 0 or pi.
        gravity: what pulls a falling point: "height_proportional" (released) or "constant" (chapter).
        networks: what they look like.
        start_scale: states of networks start at up to this times U(0, 1) less the offset, as of table 6.
        start_offset: it is this times U(-0.5, 0.5), one number an environment.
        shuffled: whether the time steps are permuted, so that context and queries are an i.i.d. split. Released; in the
            chapter the context comes first.
        normalize_over: rows that give the moments of normalisation. "all_rows" (released) lets the queries leak into
            them; "context" takes the rows before the evaluation position, as at inference.
    """

    momentum: bool = True
    hidden_velocity: bool = True
    radians_are_cosines: bool = True
    gravity: Literal["height_proportional", "constant"] = "height_proportional"
    networks: NetworkConfig = field(default_factory=NetworkConfig)
    start_scale: float = 18.147661409701062
    start_offset: float = 3.2802608490289904
    shuffled: bool = True
    normalize_over: Literal["all_rows", "context"] = "all_rows"


class Worlds(NamedTuple):
    """Constants of B environments. Slots not in use are zero or False.

    Attributes:
        obs_size: state dimensions d, 3 to 11. int [B].
        num_momentum: pairs m, 0 to d // 2. int [B].
        action_size: action dimensions, 1 to 3; 1 if discrete. int [B].
        order: which state dimension stands in each slot; from d on it is padding. int [B, 11].
        action_order: which action dimension stands in each slot; from ``action_size`` on padding. int [B, 3].
        num_choices: choices of a discrete action, 2 to 4; 0 if continuous. int [B].
        choice_values: what the dynamics take for each choice. [B, 4].
        action_bound: continuous actions are uniform between minus and plus this. [B].
        constant_reward: whether the reward is 1. bool [B].
        start_scale: a network's dimension starts at (U(0, 1) - start_offset) * start_scale. [B, 11].
        start_offset: see ``start_scale``. [B].
        pairs: constants of the pairs [B, 5]; those from ``num_momentum`` on are not seen.
    """

    obs_size: jax.Array
    num_momentum: jax.Array
    action_size: jax.Array
    order: jax.Array
    action_order: jax.Array
    num_choices: jax.Array
    choice_values: jax.Array
    action_bound: jax.Array
    constant_reward: jax.Array
    start_scale: jax.Array
    start_offset: jax.Array
    pairs: momentum.Pairs

    @property
    def num_networks(self) -> jax.Array:
        """Return the number of dimensions that networks drive, int [B]."""
        return self.obs_size - 2 * self.num_momentum

    @property
    def is_network(self) -> jax.Array:
        """Return the slots that networks drive, bool [B, 11]."""
        return self.order < self.num_networks[:, None]

    @property
    def state_mask(self) -> jax.Array:
        """Return the state slots in use, bool [B, 11]."""
        return self.order < self.obs_size[:, None]

    @property
    def action_mask(self) -> jax.Array:
        """Return the action slots in use, bool [B, 3]."""
        return self.action_order < self.action_size[:, None]


class Episodes(NamedTuple):
    """Random numbers of E episodes of each environment.

    Attributes:
        network_start: start of the networks' dimensions, zero in other slots. [B, 11, E].
        position, velocity: start of the pairs. [B, 5, E].
        shown: actions as the agent chose them, an index where discrete. [51, B, 3, E].
        used: actions as the dynamics take them. [51, B, 3, E].
    """

    network_start: jax.Array
    position: jax.Array
    velocity: jax.Array
    shown: jax.Array
    used: jax.Array


def draw_worlds(key: jax.Array, config: ReleasedPriorConfig, batch_size: int) -> Worlds:
    """Draw the constants of ``batch_size`` environments, everything but their networks."""
    seeds = jax.random.bits(key, (3, 2))
    orders = keys.stream(seeds[0], batch_size * (STATE_SLOTS + ACTION_SLOTS)).reshape(batch_size, -1)
    order = jnp.argsort(orders[:, :STATE_SLOTS], axis=1)
    action_order = jnp.argsort(orders[:, STATE_SLOTS:], axis=1)
    u = keys.uniform(keys.stream(seeds[1], batch_size * _WORLD_WORDS)).reshape(batch_size, _WORLD_WORDS)
    discrete = u[:, 0] < 0.5
    obs_size = 3 + _below(u[:, 1], STATE_SLOTS - 2)
    num_momentum = _below(u[:, 2], obs_size // 2 + 1) if config.momentum else jnp.zeros_like(obs_size)
    action_size = jnp.where(discrete, 1, 1 + _below(u[:, 3], ACTION_SLOTS))
    values, bound = _action_values(u[:, 4:11], config)
    words = keys.stream(seeds[2], batch_size * MAX_PAIRS * momentum.WORDS)
    words = words.reshape(batch_size, MAX_PAIRS, momentum.WORDS)
    return Worlds(
        obs_size,
        num_momentum,
        action_size,
        order,
        action_order,
        jnp.where(discrete, 2 + _below(u[:, 11], MAX_CHOICES - 1), 0),
        values,
        bound,
        u[:, 12] < 0.5,
        config.start_scale * u[:, 16:],
        config.start_offset * (u[:, 13] - 0.5),
        momentum.draw(words, action_order, action_size, config),
    )


def _action_values(u: jax.Array, config: ReleasedPriorConfig) -> tuple[jax.Array, jax.Array]:
    """Return values of discrete actions [B, 4] and bounds of continuous ones [B], from uniform numbers [B, 7]."""
    if config.momentum:
        return 6.0 * (u[:, :MAX_CHOICES] - 0.5), 0.5 + 2.5 * u[:, 4]
    offset, scale = 0.5 * _below(u[:, 5], 3), 1.0 + _below(u[:, 6], 4)
    choices = jnp.arange(MAX_CHOICES, dtype=jnp.float32)
    return (choices[None, :] - offset[:, None]) * scale[:, None], 1.0 + _below(u[:, 4], 4)


def draw_episodes(key: jax.Array, worlds: Worlds, num_episodes: int) -> Episodes:
    """Draw starts and uniformly random actions."""
    seeds = jax.random.bits(key, (3, 2))
    batch = worlds.obs_size.shape[0]
    shape = (batch, STATE_SLOTS, num_episodes)
    u = keys.uniform(keys.stream(seeds[0], batch * STATE_SLOTS * num_episodes)).reshape(shape)
    start = (u - worlds.start_offset[:, None, None]) * worlds.start_scale[:, :, None]
    pairs = (2, batch, MAX_PAIRS, num_episodes)
    position, velocity = momentum.start(
        worlds.pairs, keys.stream(seeds[1], 2 * batch * MAX_PAIRS * num_episodes).reshape(pairs)
    )
    shape = (STEPS, batch, ACTION_SLOTS, num_episodes)
    u = keys.uniform(keys.stream(seeds[2], STEPS * batch * ACTION_SLOTS * num_episodes)).reshape(shape)
    shown, used = _act(worlds, u)
    return Episodes(jnp.where(worlds.is_network[:, :, None], start, 0.0), position, velocity, shown, used)


def _act(worlds: Worlds, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return actions as shown and as used, each [S, B, 3, E], from uniform numbers of that shape."""

    def of_world(x: jax.Array) -> jax.Array:
        return jnp.broadcast_to(x[:, None, None], u.shape)

    continuous = (2.0 * u - 1.0) * of_world(worlds.action_bound)
    discrete, index = of_world(worlds.num_choices > 0), jnp.floor(u * of_world(worlds.num_choices))
    value = of_world(worlds.choice_values[:, 0])
    for i in range(1, MAX_CHOICES):
        value = jnp.where(index == i, of_world(worlds.choice_values[:, i]), value)
    in_use = jnp.broadcast_to(worlds.action_mask[:, :, None], u.shape)
    shown, used = jnp.where(discrete, index, continuous), jnp.where(discrete, value, continuous)
    return jnp.where(in_use, shown, 0.0), jnp.where(in_use, used, 0.0)


def draw_networks(
    key: jax.Array, worlds: Worlds, config: ReleasedPriorConfig
) -> tuple[networks.Networks, ...]:
    """Draw networks of the state dimensions and of the rewards; those in use come first.

    Returns:
        B * 11 networks of 14 inputs, in the order of ``used_slots``, and B of 25 inputs (state, next state, action), in
        that of ``used_rewards``. What lies behind those in use is never looked at.
    """
    seeds = jax.random.bits(key, (2, 2))
    inputs = worlds.obs_size + worlds.action_size
    world = jnp.minimum(used_slots(worlds) // STATE_SLOTS, worlds.obs_size.shape[0] - 1)
    fans = (inputs[world], (inputs + worlds.obs_size)[used_rewards(worlds)])
    sizes = (STATE_SLOTS + ACTION_SLOTS, 2 * STATE_SLOTS + ACTION_SLOTS)
    drawn = []
    for seed, fan_in, size in zip(seeds, fans, sizes, strict=True):
        num_words = networks.num_words(size, config.networks)
        words = keys.stream(seed, fan_in.shape[0] * num_words).reshape(fan_in.shape[0], -1)
        drawn.append(networks.draw(words, fan_in, size, config.networks))
    return tuple(drawn)


def used_slots(worlds: Worlds) -> jax.Array:
    """Return flat indices (11 b + slot) of the slots that networks drive, ascending, then 11 B. int [B * 11]."""
    flat = worlds.is_network.reshape(-1)
    return jnp.sort(jnp.where(flat, jnp.arange(flat.shape[0]), flat.shape[0]))


def used_rewards(worlds: Worlds) -> jax.Array:
    """Return the environments whose reward is a network, then the others. int [B]."""
    return jnp.argsort(worlds.constant_reward, stable=True)


def _below(u: jax.Array, count: jax.Array | int) -> jax.Array:
    """Turn u in [0, 1) into integers from 0 to count - 1."""
    return jnp.floor(u * count).astype(jnp.int32)
