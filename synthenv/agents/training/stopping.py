"""When to stop training an agent: the two early-stop rules of the SE/RN code.

Both look at training returns, exploration included, after each episode.

References:
    Ferreira et al. (2022), appendix A.1. The released code compares the last d episodes with the d before
    them, where the text says d against 2d; the code's rule is the one here. The code of late 2020, which found the
    paper's synthetic environments, wrote > where the released one has >=: its agents warmed up for one episode more
    and could stop one episode later.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

StopRule = Literal["plateau", "solved", "none"]


class StopState(NamedTuple):
    """The last 2d training returns, newest last, and what the rule made of them."""

    returns: jax.Array  # [2d]
    mean_return: jax.Array
    triggered: jax.Array


def init_stop(window: int) -> StopState:
    """Begin with no episodes seen."""
    return StopState(jnp.zeros(2 * window), jnp.float32(0), jnp.bool_(False))


def update_stop(
    state: StopState, episode: jax.Array, episode_return: jax.Array, hyperparams: Any, rule: StopRule
) -> StopState:
    """Take in the return of an episode and apply the rule.

    ``plateau``: stop when the means m over the last d episodes and p over the up to d before them satisfy
    |m - p| / |p| < ``plateau_tolerance``, from episode ``init_episodes + d`` on.
    ``solved``: stop when m >= ``solved_return``, from episode ``init_episodes`` on, be there fewer than d
    episodes yet.

    Args:
        state: of the rule so far.
        episode: number of the episode, from 0, int32 [].
        episode_return: float32 [].
        hyperparams: traced numbers of one agent.
        rule: plateau, solved or none.

    Raises:
        ValueError: the rule is none of these.
    """
    window = state.returns.size // 2
    returns = jnp.concatenate([state.returns[1:], episode_return[None]])
    count = episode + 1
    recent = jnp.minimum(count, window)
    earlier = jnp.clip(count - window, 0, window)
    age = jnp.arange(2 * window)[::-1]  # 0 is the newest
    mean_recent = jnp.sum(jnp.where(age < recent, returns, 0.0)) / recent
    before = (age >= window) & (age < window + earlier)
    mean_before = jnp.sum(jnp.where(before, returns, 0.0)) / jnp.maximum(earlier, 1)
    if rule == "plateau":
        change = jnp.abs(mean_recent - mean_before) / (jnp.abs(mean_before) + 1e-9)
        triggered = (change < hyperparams.plateau_tolerance) & (episode >= hyperparams.init_episodes + window)
    elif rule == "solved":
        triggered = (mean_recent >= hyperparams.solved_return) & (episode >= hyperparams.init_episodes)
    elif rule == "none":
        triggered = jnp.bool_(False)
    else:
        raise ValueError(f"unknown stop rule {rule!r}: use 'plateau', 'solved' or 'none'")
    return StopState(returns, mean_recent, triggered)
