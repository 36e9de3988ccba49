"""The synthetic prior of OSWM, "NN + momentum": random environments with random actions, as rows to learn from.

Dimensions of an environment's state are outputs of random networks, which see everything, or pairs of a position and
its velocity, which see only the action and themselves. Episodes of 51 steps are independent, so all of a batch are
stepped side by side: the pairs first, then the networks' dimensions given the pairs', then the rewards. Everything is
pure and stays on the device.

Presets: ``RELEASED`` is the prior as coded (``MomentumEnv``), defects included, ``NN_ONLY`` the ablation's (``NNEnv``).
``PAPER`` is the chapter's: velocities are seen, radians are radians, gravity is constant, the context comes first and
gives the moments. Where the chapter contradicts itself or says nothing, ``PAPER`` follows table 6 and the code:

- activations: the text has ReLU, tanh and sigmoid, table 6 has sine and tanh as the outcome of the optimisation;
- gravity of an angle acts along its cosine, and friction damps only those (the formula has neither);
- the previous state is always an input of the reward ("optionally" in the text).

References:
    OSWM: sections 3.1 and 3.2 of the chapter, appendix tables 6 and 8; released code automl/oswm at 70647fb.
"""

import math
import statistics
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.worldmodel.paper.prior import momentum, networks
from synthenv.worldmodel.paper.prior.transition_rows import (
    MAX_CONTEXT,
    Rows,
    normalize,
    sample_eval_position,
    shuffle,
)
from synthenv.worldmodel.paper.prior.worlds import (
    STATE_SLOTS,
    STEPS,
    Episodes,
    ReleasedPriorConfig,
    Worlds,
    draw_episodes,
    draw_networks,
    draw_worlds,
    used_rewards,
    used_slots,
)

RELEASED = ReleasedPriorConfig()
PAPER = ReleasedPriorConfig(
    hidden_velocity=False,
    radians_are_cosines=False,
    gravity="constant",
    shuffled=False,
    normalize_over="context",
)
NN_ONLY = ReleasedPriorConfig(momentum=False)


class Drawn(NamedTuple):
    """Everything random in a sample, after which ``rows_of`` is deterministic."""

    worlds: Worlds
    episodes: Episodes
    state_networks: networks.Networks
    reward_networks: networks.Networks


def draw_batch(
    key: jax.Array, config: ReleasedPriorConfig, batch_size: int, num_rows: int = 1001
) -> tuple[Rows, jax.Array]:
    """Draw what a training step takes: normalised rows, and how many of them are context, int [].

    Of 1,001 rows, 500 to 999 are context; of another number, as large a share. The shuffle is one permutation for all
    environments, as released.
    """
    sample_key, position_key, shuffle_key = jax.random.split(key, 3)
    rows = sample(sample_key, config, batch_size, num_rows)
    num_context = sample_eval_position(position_key) * num_rows // (MAX_CONTEXT + 1)
    if config.shuffled:
        rows = shuffle(shuffle_key, rows)
    return normalize(rows, num_context if config.normalize_over == "context" else None), num_context


def sample(key: jax.Array, config: ReleasedPriorConfig, batch_size: int, num_rows: int = 1001) -> Rows:
    """Draw environments and play them; rows are in the order of time, not normalised.

    The function is pure; jit it where the loop is owned. For a larger batch ask for a larger ``batch_size``: ``vmap``
    over keys would run every bucket of ``networks.run_bucket``.
    """
    return rows_of(draw(key, config, batch_size, num_rows), config, num_rows)


def draw(key: jax.Array, config: ReleasedPriorConfig, batch_size: int, num_rows: int = 1001) -> Drawn:
    """Draw the parameters, starts and actions of ``sample`` with the same arguments."""
    world_key, episode_key, network_key = jax.random.split(key, 3)
    worlds = draw_worlds(world_key, config, batch_size)
    episodes = draw_episodes(episode_key, worlds, -(-num_rows // STEPS))
    return Drawn(worlds, episodes, *draw_networks(network_key, worlds, config))


def rows_of(drawn: Drawn, config: ReleasedPriorConfig, num_rows: int, packed: bool = True) -> Rows:
    """Play the drawn environments.

    Args:
        drawn: everything random.
        config: the prior.
        num_rows: rows of each environment.
        packed: run the smallest bucket of networks that holds those in use; otherwise all, to the same result.
    """
    worlds = drawn.worlds
    x, y = _transitions(drawn, _states(drawn, config, packed), config, num_rows, packed)
    return Rows(
        x,
        y,
        worlds.obs_size,
        worlds.action_size,
        worlds.num_momentum,
        worlds.state_mask,
        worlds.action_mask,
    )


def _states(drawn: Drawn, config: ReleasedPriorConfig, packed: bool) -> jax.Array:
    """Return observed states [STEPS + 1, B, 11, E] of all episodes."""
    worlds, episodes = drawn.worlds, drawn.episodes
    known = _momentum_slots(worlds, episodes, config)
    batch = worlds.obs_size.shape[0]
    members = used_slots(worlds)
    active = worlds.is_network
    place = jnp.where(active, jnp.cumsum(active).reshape(active.shape) - 1, 0)  # a slot's place in members

    def play(size: int) -> jax.Array:
        nets = jax.tree.map(lambda leaf: leaf[:size], drawn.state_networks)
        world = jnp.minimum(members[:size] // STATE_SLOTS, batch - 1)

        def advance(state: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            action, known_next = inputs
            outputs = networks.apply(nets, (_rows_at(state, world), _rows_at(action, world)), config.networks)
            state = jnp.where(active[:, :, None], _rows_at(outputs, place), known_next)
            return state, state

        start = known[0] + episodes.network_start
        _, rest = jax.lax.scan(advance, start, (episodes.used, known[1:]))
        return jnp.concatenate([start[None], rest])

    sizes = networks.bucket_sizes(*_count_moments(config.momentum, batch), batch * STATE_SLOTS)
    return networks.run_bucket(active.sum(), sizes if packed else sizes[-1:], play)


def _count_moments(has_momentum: bool, batch_size: int) -> tuple[float, float]:
    """Return mean and standard deviation of the number of networks that drive the states of a batch."""
    counts = [
        [d - 2 * m for m in range(d // 2 + 1 if has_momentum else 1)] for d in range(3, STATE_SLOTS + 1)
    ]
    mean = statistics.fmean(statistics.fmean(row) for row in counts)
    square = statistics.fmean(statistics.fmean(n * n for n in row) for row in counts)
    return batch_size * mean, math.sqrt(batch_size * (square - mean**2))


def _rows_at(x: jax.Array, index: jax.Array) -> jax.Array:
    """Return x[index] along the first axis, without a check inside the loop: indices are known to be in range."""
    return x.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _momentum_slots(worlds: Worlds, episodes: Episodes, config: ReleasedPriorConfig) -> jax.Array:
    """Return observed positions and velocities in their slots, zero elsewhere: [STEPS + 1, B, 11, E]."""
    batch, _, num_episodes = episodes.network_start.shape
    if not config.momentum:
        return jnp.zeros((STEPS + 1, batch, STATE_SLOTS, num_episodes))
    seen = momentum.simulate(worlds.pairs, episodes.position, episodes.velocity, episodes.used, config)
    pairs = worlds.pairs.kind.shape[1]
    columns = [part.reshape(STEPS + 1, batch * pairs, num_episodes) for part in seen]
    columns = jnp.concatenate([*columns, jnp.zeros((STEPS + 1, 1, num_episodes))], axis=1)
    dim = worlds.order - worlds.num_networks[:, None]
    row = jnp.arange(batch)[:, None] * pairs + dim // 2 + jnp.where(dim % 2 == 0, 0, batch * pairs)
    row = jnp.where(worlds.state_mask & ~worlds.is_network, row, 2 * batch * pairs)
    return columns[:, row]


def _transitions(
    drawn: Drawn, states: jax.Array, config: ReleasedPriorConfig, num_rows: int, packed: bool
) -> tuple[jax.Array, jax.Array]:
    """Return rows x and y [B, num_rows, 14] with their rewards.

    They are put together inside the branch of the rewards, so that XLA stores them. Otherwise it would follow the
    indices anew for every number that a later shuffle picks, which takes five times as long.
    """
    worlds, used = drawn.worlds, drawn.episodes.used
    batch = states.shape[1]
    payers = used_rewards(worlds)
    place = jnp.argsort(payers)

    def in_time(*parts: jax.Array) -> jax.Array:
        """Turn arrays [S, B, slots, E], side by side, into [B, T, slots]."""
        whole = jnp.concatenate([part.transpose(1, 3, 0, 2) for part in parts], axis=3)
        return whole.reshape(batch, -1, whole.shape[3])[:, :num_rows]

    def pay(size: int) -> tuple[jax.Array, jax.Array]:
        nets = jax.tree.map(lambda leaf: leaf[:size], drawn.reward_networks)
        seen = [part[:, payers[:size]] for part in (states[:-1], states[1:], used)]
        paid = jax.vmap(lambda seen: networks.apply(nets, seen, config.networks))(seen)  # [S, size, E]
        reward = jnp.where(worlds.constant_reward[None, :, None], 1.0, paid[:, jnp.minimum(place, size - 1)])[
            :, :, None
        ]
        zeros = jnp.zeros_like(used[:, :, 1:])
        return in_time(states[:-1], drawn.episodes.shown), in_time(states[1:], zeros, reward)

    sizes = networks.bucket_sizes(0.5 * batch, 0.5 * math.sqrt(batch), batch)
    return networks.run_bucket((~worlds.constant_reward).sum(), sizes if packed else sizes[-1:], pay)
