"""Pairs of a position and its velocity, the OSWM prior's physics: pendulums, walls, falling and gliding points.

A step of dt = 0.01 moves the velocity first, and then the position with the new velocity:

    v <- clip((v + a dt - pull dt) damping, -7, 7),    p <- p + v dt

``a`` is one of the environment's actions. A pair is an angle seen as its sine, its cosine or in radians, a point
between two walls (x), or one that also falls (y). The pull is 5 g cos p for an angle with gravity and, as released, g p
for y: a spring rather than a weight. At a wall p stays there and v <- -elasticity v.

References:
    OSWM: section 3.2 of the chapter; released code automl/oswm at 70647fb, priors/rl_prior.py (``VelDym``, ``PosDym``).
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from synthenv.core import keys

KINDS = ("sin", "cos", "rad", "x", "y")
SINE, COSINE, RADIANS, GLIDING, FALLING = range(5)
DT = 0.01
MAX_VELOCITY = 7.0
ANGLE_PULL = 5.0  # gravity of an angle, so that it matters beside actions of the same size
WORDS = 10  # number of random words that a pair takes

_POLYNOMIAL = (0.999999583, -0.166665539, 0.00833240803, -0.000198087408, 2.69982274e-06, -2.03662314e-08)


class Options(Protocol):
    """The part of ``sample.ReleasedPriorConfig`` that is about pairs, which says what each means."""

    @property
    def hidden_velocity(self) -> bool: ...
    @property
    def radians_are_cosines(self) -> bool: ...
    @property
    def gravity(self) -> str: ...


class Pairs(NamedTuple):
    """Constants of the pairs of each environment, all [B, K].

    Attributes:
        kind: index into ``KINDS``.
        control: slot of the action that accelerates the pair.
        inverted: whether the velocity is seen with its sign changed.
        gravity: 5 to 10, or 0 without.
        damping: factor on the velocity, 1 without friction.
        elasticity: share of the velocity left at a wall; 0 for angles, which have none.
        shift: added to an angle seen in radians, 0 or pi.
    """

    kind: jax.Array
    control: jax.Array
    inverted: jax.Array
    gravity: jax.Array
    damping: jax.Array
    elasticity: jax.Array
    shift: jax.Array


def draw(words: jax.Array, action_order: jax.Array, action_size: jax.Array, options: Options) -> Pairs:
    """Draw pairs.

    Args:
        words: uint32 [B, K, ``WORDS``].
        action_order: which action stands in each slot, int [B, A].
        action_size: actions in use, int [B].
        options: which of the released code's defects to keep.
    """
    u = keys.uniform(words)
    kind = jnp.floor(u[..., 0] * len(KINDS)).astype(jnp.int32)
    is_angle = kind <= RADIANS
    action = jnp.floor(u[..., 1] * action_size[:, None]).astype(jnp.int32)
    control = jnp.argmax(action_order[:, None, :] == action[:, :, None], axis=2)
    pulled = (kind == FALLING) | (is_angle & (u[..., 3] < 0.5))
    bounce = jnp.where((kind == GLIDING) & (u[..., 6] < 0.5), 0.0, 0.3 + 0.7 * u[..., 7])
    return Pairs(
        kind,
        control,
        u[..., 2] < 0.5,
        jnp.where(pulled, 5.0 + 5.0 * u[..., 4], 0.0),
        jnp.where(pulled & is_angle, 0.9 + 0.1 * u[..., 5], 1.0),
        jnp.where(is_angle, 0.0, bounce),
        jnp.where(u[..., 8] < 0.5, jnp.pi, 0.0),
    )


def start(pairs: Pairs, words: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draw positions and velocities [B, K, E] at the start of E episodes from words uint32 [2, B, K, E]."""
    u = keys.uniform(words)
    kind = pairs.kind[:, :, None]
    low = jnp.where(kind == GLIDING, -1.0, 0.0)
    high = jnp.where(kind <= RADIANS, 2.0 * jnp.pi, 1.0)
    return low + (high - low) * u[0], 6.0 * (u[1] - 0.5)


def sine(x: jax.Array) -> jax.Array:
    """Return sin(x) within 1e-6 for the angles that occur here, which are below 50 in size.

    It is five times as fast as XLA's on a CPU.
    """
    t = x - 2.0 * jnp.pi * jnp.round(x * (0.5 / jnp.pi))
    s, total = t * t, jnp.full_like(x, _POLYNOMIAL[-1])
    for coefficient in _POLYNOMIAL[-2::-1]:
        total = total * s + coefficient
    return t * total


class Coefficients(NamedTuple):
    """The numbers of a step that follow from ``Pairs``, as flat arrays [B, K, E], so that it is one vectorised loop.

    The velocity loses ``angular`` cos p + ``rising`` p + ``weight``; low and high are walls, infinite for angles.
    """

    angular: jax.Array
    rising: jax.Array
    weight: jax.Array
    damping: jax.Array
    elasticity: jax.Array
    low: jax.Array
    high: jax.Array


def coefficients(pairs: Pairs, num_episodes: int, options: Options) -> Coefficients:
    """Return the numbers of a step, the same for each of ``num_episodes`` episodes."""
    is_angle, pull = pairs.kind <= RADIANS, pairs.gravity * DT
    falling = jnp.where(is_angle, 0.0, pull)
    constant = options.gravity == "constant"
    columns = (
        jnp.where(is_angle, ANGLE_PULL * pull, 0.0),
        falling * (not constant),
        falling * constant,
        pairs.damping,
        pairs.elasticity,
        jnp.where(is_angle, -jnp.inf, jnp.where(pairs.kind == GLIDING, -1.0, 0.0)),
        jnp.where(is_angle, jnp.inf, 1.0),
    )
    return Coefficients(
        *(jnp.broadcast_to(column[:, :, None], (*column.shape, num_episodes)) for column in columns)
    )


def step(
    c: Coefficients, position: jax.Array, velocity: jax.Array, push: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Move positions and velocities [B, K, E] by one step; ``push`` is action times dt, of that shape."""
    pull = c.angular * sine(position + 0.5 * jnp.pi) + c.rising * position + c.weight
    velocity = jnp.clip((velocity + push - pull) * c.damping, -MAX_VELOCITY, MAX_VELOCITY)
    moved = position + velocity * DT
    position = jnp.clip(moved, c.low, c.high)
    return position, jnp.where(moved == position, velocity, -c.elasticity * velocity)


def observe(
    pairs: Pairs, position: jax.Array, velocity: jax.Array, options: Options
) -> tuple[jax.Array, jax.Array]:
    """Return what is seen of positions and velocities [..., B, K, E], each [..., B, K, E]."""

    def column(x: jax.Array) -> jax.Array:
        return jnp.broadcast_to(x[:, :, None], position.shape)

    kind = column(pairs.kind)
    is_sine = kind == SINE
    turned = sine(
        position + jnp.where(is_sine, 0.0, 0.5 * jnp.pi)
    )  # a cosine is seen, also where radians should be
    if options.radians_are_cosines:
        radians = turned + column(pairs.shift)
    else:
        radians = position - 2.0 * jnp.pi * jnp.round(position * (0.5 / jnp.pi)) + column(pairs.shift)
    seen = jnp.where(kind == RADIANS, radians, jnp.where(kind <= RADIANS, turned, position))
    upright = jnp.zeros_like(velocity) if options.hidden_velocity else velocity
    return seen, jnp.where(column(pairs.inverted), -velocity, upright)


def simulate(
    pairs: Pairs, position: jax.Array, velocity: jax.Array, actions: jax.Array, options: Options
) -> tuple[jax.Array, jax.Array]:
    """Return observed positions and velocities [S + 1, B, K, E] of S steps from the given start [B, K, E].

    Args:
        pairs: constants of the pairs [B, K].
        position: at the start [B, K, E].
        velocity: at the start [B, K, E].
        actions: as the dynamics use them, [S, B, A, E].
        options: which of the released code's defects to keep.
    """

    c = coefficients(pairs, position.shape[2], options)

    def advance(carry: tuple[jax.Array, jax.Array], push: jax.Array) -> tuple[tuple, tuple]:
        moved = step(c, *carry, push)
        return moved, moved

    control = pairs.control[None, :, :, None]
    shape = (*actions.shape[:2], *position.shape[1:])
    pushes = [
        jnp.where(
            jnp.broadcast_to(control == i, shape), jnp.broadcast_to(actions[:, :, i, None], shape) * DT, 0.0
        )
        for i in range(actions.shape[2])
    ]
    _, rest = jax.lax.scan(advance, (position, velocity), jnp.asarray(sum(pushes)))
    positions = jnp.concatenate([position[None], rest[0]])
    velocities = jnp.concatenate([velocity[None], rest[1]])
    return observe(pairs, positions, velocities, options)
