"""What the outer loop maximises: a score for one training and the real tests on its way.

References:
    Ferreira et al. (2022), section 4 (reward threshold) and appendix B.4 (area under the curve, maximal reward); the
    released code for the area: test return after each training episode times that episode's steps.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from synthenv.core.types import Curve, TrainResult
from synthenv.outer.config import ObjectiveName

# (training, real test returns [E] after it) -> score []
Objective = Callable[[TrainResult, jax.Array], jax.Array]


def max_reward(trained: TrainResult, returns: jax.Array) -> jax.Array:
    """Mean real return after training."""
    return jnp.mean(returns)


def reward_threshold(
    trained: TrainResult, returns: jax.Array, solved_return: float, unsolved_weight: float
) -> jax.Array:
    """Minus the training steps, minus ``unsolved_weight`` for every point of return that is missing to solved."""
    missing = jnp.maximum(0.0, solved_return - jnp.mean(returns))
    return -trained.num_steps.astype(jnp.float32) - unsolved_weight * missing


def area(curve: Curve) -> jax.Array:
    """Test returns [K] times the training steps before each of them [K], summed; unreached tests count nothing."""
    steps = jnp.diff(curve.steps, prepend=0)
    return jnp.sum(jnp.where(steps > 0, curve.returns * steps, 0.0))


def auc(trained: TrainResult, returns: jax.Array) -> jax.Array:
    """Area under the curve of real test returns over training steps, as released.

    Trainings of equally many episodes differ in steps: where returns are negative, short episodes score better.
    """
    if trained.curve is None:
        raise ValueError("auc needs tests on the way: set agent.test_episodes to 1 or more")
    return area(trained.curve)


def make_objective(name: ObjectiveName, solved_return: float, unsolved_weight: float) -> Objective:
    """The objective that ``name`` names.

    Args:
        name: max_reward, reward_threshold or auc.
        solved_return: of the task (C_sol), for reward_threshold.
        unsolved_weight: steps that a missing point of return is worth (w_sol), for reward_threshold.

    Raises:
        ValueError: if the name is unknown.
    """
    if name == "max_reward":
        return max_reward
    if name == "reward_threshold":
        return lambda trained, returns: reward_threshold(trained, returns, solved_return, unsolved_weight)
    if name == "auc":
        return auc
    raise ValueError(f"unknown objective {name!r}: use 'max_reward', 'reward_threshold' or 'auc'")
