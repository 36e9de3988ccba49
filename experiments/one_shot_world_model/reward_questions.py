"""What figures 4 and 7 ask: states and actions of three tasks, what the real task pays, and the bin each belongs to.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, section 4.4 and appendix E.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.classic_control import cartpole, pendulum

from synthenv.envs import registry
from synthenv.envs.oswm_toys import GOAL_X, MOVES, SIZE, GridWorldState

# How far from zero the states of CartPole lie: the released code's. The chapter caps its velocities at 5, ten times as
# far as any context of random actions goes.
CART_REACH = (0.5, 0.5, 0.42, 0.5)


class Questions(NamedTuple):
    """Steps that need not follow each other.

    Attributes:
        obs: [N, d]
        action: int32 [N] or [N, a]
        reward: what the real task pays. [N]
        index: of the bin. int [N]
        places: where the bins are: a cell and an action, or the middle of a range of angles. [bins, 3] or [bins, 1]
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    index: np.ndarray
    places: np.ndarray


def grid_world(key: jax.Array, num: int, num_bins: int | None) -> Questions:
    """Every action in every cell, those of the ring and the goals among them, where no step of an episode begins."""
    places = np.stack(np.meshgrid(*map(np.arange, (SIZE, SIZE, len(MOVES))), indexing="ij"), -1).reshape(
        -1, 3
    )
    x, y, action = jnp.asarray(places.T, jnp.int32)
    states = GridWorldState(x=x, y=y, time=jnp.zeros_like(x))
    return _ask("GridWorld", states, action, np.arange(len(places)), places)


def cart_pole(key: jax.Array, num: int, num_bins: int) -> Questions:
    """States around zero, in bins of the pole's angle, the angle that the step begins at."""
    key_state, key_action = jax.random.split(key)
    reach = jnp.array(CART_REACH)[:, None]
    x, x_dot, theta, theta_dot = jax.random.uniform(key_state, (4, num), minval=-reach, maxval=reach)
    time: Any = jnp.zeros(num, jnp.int32)
    states = cartpole.EnvState(x=x, x_dot=x_dot, theta=theta, theta_dot=theta_dot, time=time)
    action = jax.random.randint(key_action, (num,), 0, 2)
    return _ask("CartPole-v0", states, action, *_bins(theta, CART_REACH[2], num_bins))


def swinging_pole(key: jax.Array, num: int, num_bins: int) -> Questions:
    """All states of the pendulum, in bins of its angle. The released code's lie off the circle: cosine and sine are
    drawn apart."""
    reach = jnp.array([jnp.pi, 8.0, 2.0])[:, None]
    angle, speed, torque = jax.random.uniform(key, (3, num), minval=-reach, maxval=reach)
    time: Any = jnp.zeros(num, jnp.int32)
    states = pendulum.EnvState(theta=angle, theta_dot=speed, last_u=jnp.zeros(num), time=time)
    return _ask("Pendulum-v1", states, torque[:, None], *_bins(angle, np.pi, num_bins))


QUESTIONS: dict[str, Callable[[jax.Array, int, int], Questions]] = {
    "GridWorld": grid_world,
    "CartPole-v0": cart_pole,
    "Pendulum-v1": swinging_pole,
}


def is_standing(places: np.ndarray) -> np.ndarray:
    """Whether steps of an episode begin in these cells of GridWorld [N, 3]: not on the ring, not on a goal. bool [N]"""
    x, y = places[:, 0], places[:, 1]
    return (x >= 1) & (x < GOAL_X) & (y >= 1) & (y < SIZE - 1)


def _bins(values: jax.Array, reach: float, num_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Bins of equal width between -reach and reach: which one each value [N] is in, and their middles [bins, 1]."""
    edges = np.linspace(-reach, reach, num_bins + 1)
    index = np.clip(np.searchsorted(edges, np.asarray(values), side="right") - 1, 0, num_bins - 1)
    return index, ((edges[1:] + edges[:-1]) / 2)[:, None]


def _ask(task: str, states: Any, action: jax.Array, index: np.ndarray, places: np.ndarray) -> Questions:
    """Step the real task from each of these states."""
    spec = registry.make(task)
    env: Any = spec.env
    key = jax.random.key(0)  # these tasks draw nothing in a step

    @jax.jit
    @jax.vmap
    def step(state: Any, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        return env.get_obs(state), env.step_env(key, state, action, spec.env_params)[2]

    obs, reward = step(states, action)
    return Questions(obs.astype(jnp.float32), action, reward.astype(jnp.float32), index, places)
