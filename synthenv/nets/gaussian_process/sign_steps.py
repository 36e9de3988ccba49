"""Search for length scales and noise by the signs of slopes: steps need no tuning to the size of a likelihood.

References:
    Riedmiller and Braun (1993), A direct adaptive method for faster backpropagation learning: the RPROP algorithm.
    Igel and Huesken (2003), Empirical evaluation of the improved Rprop learning algorithms: iRprop-.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

_FIRST, _LONGEST = 0.3, 1.0  # lengths of the first and of the longest step, in nats
_SLOWER = 0.5


class Logs(NamedTuple):
    """Logarithms of inverse length scales ([D] or [1]) and of the noise [], which are searched for."""

    scales: jax.Array
    noise: jax.Array


class Rules(NamedTuple):
    """How steps grow and where they end.

    Attributes:
        faster: factor of a step whose slope keeps its sign.
        shortest: length of the shortest step, in nats.
        log_scales: least and greatest logarithm of an inverse length scale.
        log_noise: least and greatest logarithm of the noise.
        skips_turns: whether the step after a turn is left out and the next one judged afresh (iRprop-).
    """

    faster: float
    shortest: float
    log_scales: tuple[float, float]
    log_noise: tuple[float, float]
    skips_turns: bool = False


def descend(start: Logs, slopes_at: Callable[[Logs], Logs], rules: Rules, num_steps: int) -> Logs:
    """Go down from ``start`` by so many sign steps; slopes that are not finite count as 0."""

    def step(carry: tuple[Logs, Logs, Logs], _: None) -> tuple[tuple[Logs, Logs, Logs], None]:
        logs, sizes, before = carry
        slopes = jax.tree.map(lambda slope: jnp.where(jnp.isfinite(slope), slope, 0.0), slopes_at(logs))
        sizes = jax.tree.map(partial(next_size, rules=rules), sizes, slopes, before)
        if rules.skips_turns:
            slopes = jax.tree.map(
                lambda slope, past: jnp.where(slope * past < 0.0, 0.0, slope), slopes, before
            )
        logs = jax.tree.map(lambda log, size, slope: log - size * jnp.sign(slope), logs, sizes, slopes)
        logs = Logs(jnp.clip(logs.scales, *rules.log_scales), jnp.clip(logs.noise, *rules.log_noise))
        return (logs, sizes, slopes), None

    sizes = jax.tree.map(lambda log: jnp.full_like(log, _FIRST), start)
    carry = (start, sizes, jax.tree.map(jnp.zeros_like, start))
    return jax.lax.scan(step, carry, None, length=num_steps)[0][0]


def next_size(size: jax.Array, slope: jax.Array, before: jax.Array, rules: Rules) -> jax.Array:
    """Lengthen a step where the slope has kept its sign, shorten it where it has not."""
    same = slope * before
    factor = jnp.where(same > 0, rules.faster, jnp.where(same < 0, _SLOWER, 1.0))
    return jnp.clip(size * factor, rules.shortest, _LONGEST)
