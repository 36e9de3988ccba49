"""Actions as vectors of numbers, also where the environment takes an index: what actor-critic agents act with.

References:
    Jang et al. (2017), Categorical reparameterization with Gumbel-softmax.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Actions(NamedTuple):
    """The action space: ``size`` numbers, each in [-bound, bound], or one of ``size`` choices if ``discrete``."""

    size: int
    bound: float
    discrete: bool


def actions_of(space: Any) -> Actions:
    """Read a gymnax space.

    Raises:
        ValueError: if its bounds are not symmetric around zero or differ between dimensions.
    """
    if hasattr(space, "n"):
        return Actions(int(space.n), 1.0, True)
    low = np.broadcast_to(np.asarray(space.low), space.shape).ravel()
    high = np.broadcast_to(np.asarray(space.high), space.shape).ravel()
    if not ((high == high[0]).all() and (low == -high[0]).all() and np.isfinite(high[0])):
        raise ValueError(
            f"actions have to lie in [-bound, bound], not in {low} to {high}: wrap the environment"
        )
    return Actions(int(high.size), float(high[0]), False)


def gumbel_softmax(noise: jax.Array, logits: jax.Array, temperature: jax.Array, one_hot: bool) -> jax.Array:
    """A relaxed sample of [..., choices]; with ``one_hot`` a hard one that has the relaxed one's gradient."""
    soft = jax.nn.softmax((logits + noise) / temperature)
    if not one_hot:
        return soft
    hard = jax.nn.one_hot(jnp.argmax(soft, axis=-1), soft.shape[-1])
    return hard + soft - jax.lax.stop_gradient(soft)


def env_action(action: jax.Array, actions: Actions) -> jax.Array:
    """What the environment takes: the vector itself, or the index of its largest entry."""
    return jnp.argmax(action, axis=-1) if actions.discrete else action
