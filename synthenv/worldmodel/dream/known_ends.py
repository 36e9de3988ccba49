"""Where episodes of known tasks end, as a function of the observation that a step leads to.

References:
    Ferreira et al. (2024), One-shot world models, section 3, which takes it as known; the rules are the tasks' own.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Termination = Callable[[jax.Array], jax.Array]  # obs [d] -> bool []

_CART_ANGLE = 12 * 2 * jnp.pi / 360


def _grid_world(obs: jax.Array) -> jax.Array:
    x, y = obs
    return (x <= 0) | (y <= 0) | (x >= 6) | (y >= 7)


def _cart_pole(obs: jax.Array) -> jax.Array:
    return (jnp.abs(obs[0]) > 2.4) | (jnp.abs(obs[2]) > _CART_ANGLE)


def _mountain_car(obs: jax.Array) -> jax.Array:
    return (obs[0] >= 0.5) & (obs[1] >= 0.0)


def _never(obs: jax.Array) -> jax.Array:
    return jnp.bool_(False)


KNOWN: dict[str, Termination] = {
    "GridWorld": _grid_world,
    "CartPole-v0": _cart_pole,
    "CartPole-v1": _cart_pole,
    "MountainCar-v0": _mountain_car,
    "SimpleEnv": _never,
    "Pendulum-v1": _never,
    "Reacher-v4": _never,
    "Reacher-v5": _never,
    "brax/reacher": _never,
}
