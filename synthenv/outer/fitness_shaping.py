"""The eight score transformations of appendix E, by name.

Each maps the scores of n members and the incumbent's score to n weights; the update is the weighted sum of the
members' perturbations. Scores are maximised. A member whose score is not finite ranks below all others and weighs
nothing, so that a diverged agent can neither win nor poison its siblings.

Members of equal scores are ranked in order of appearance, as in the released code. That favours no direction, since
perturbations are drawn alike for all of them.

Where text and released code differ, the code is followed: ranks count from 1 = best (the text's 0 = worst would put a
zero into the logarithm), and the NES form is divided by its maximum, not by its maximal absolute value.

References:
    Ferreira et al. (2022), appendix E.1, equations 2-13.
    Wierstra et al. (2008), Natural evolution strategies.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core.registry import Registry

_EPS = 1e-9
_BETTER = 1e-6  # how much better than the incumbent counts as better


def ranks(scores: jax.Array) -> jax.Array:
    """0 for the lowest score, n-1 for the highest; ties in order of appearance."""
    return jnp.argsort(jnp.argsort(scores))


def linear(scores: jax.Array, baseline: jax.Array) -> jax.Array:
    """Scores mapped to [0, 1] (equation 2)."""
    low, high = jnp.min(scores, where=jnp.isfinite(scores), initial=jnp.inf), jnp.max(scores)
    return (scores - low) / (high - low + _EPS)


def rank(scores: jax.Array, baseline: jax.Array) -> jax.Array:
    """Ranks mapped to [0, 1] (equation 3)."""
    return ranks(scores) / (scores.size - 1)


def _log_utility(scores: jax.Array) -> jax.Array:
    best_first = scores.size - ranks(scores)  # 1 = best
    utility = jnp.maximum(0.0, jnp.log(scores.size / 2 + 1) - jnp.log(best_first))
    return utility / jnp.sum(utility)


def nes(scores: jax.Array, baseline: jax.Array) -> jax.Array:
    """Logarithmic utilities less their mean, scaled to a maximum of 1 (equations 4, 5)."""
    utility = _log_utility(scores) - 1.0 / scores.size
    return utility / jnp.max(utility)


def nes_unnormalized(scores: jax.Array, baseline: jax.Array) -> jax.Array:
    """Logarithmic utilities scaled to a maximum of 1; the worse half weighs nothing (equations 6, 7)."""
    utility = _log_utility(scores)
    return utility / jnp.max(utility)


def single_best(scores: jax.Array, baseline: jax.Array) -> jax.Array:
    """1 for the first best member (equation 8)."""
    return jax.nn.one_hot(jnp.argmax(scores), scores.size)


def single_better(scores: jax.Array, baseline: jax.Array) -> jax.Array:
    """1 for the best member if it beats the incumbent, else nothing (equation 9)."""
    return single_best(scores, baseline) * (jnp.max(scores) > baseline + _BETTER)


def _above_baseline(scores: jax.Array, baseline: jax.Array) -> jax.Array:
    gain = (scores - baseline) / (jnp.max(scores) - baseline + _EPS)
    return jnp.where(scores > baseline + _BETTER, gain, 0.0)


def all_better_1(scores: jax.Array, baseline: jax.Array) -> jax.Array:
    """Gains over the incumbent, scaled to a maximum of 1 (equations 10, 11)."""
    gain = _above_baseline(scores, baseline)
    return gain / jnp.maximum(jnp.max(gain), _EPS)


def all_better_2(scores: jax.Array, baseline: jax.Array) -> jax.Array:
    """Gains over the incumbent, scaled to a sum of 1 (equations 12, 13)."""
    gain = _above_baseline(scores, baseline)
    return gain / jnp.maximum(jnp.sum(gain), _EPS)


class Shaping(NamedTuple):
    """A score transformation: its name, and (scores [n], the incumbent's score []) -> weights [n]."""

    name: str
    weigh: Callable[[jax.Array, jax.Array], jax.Array]


SHAPINGS: Registry[Shaping] = Registry(
    "score transformation",
    Shaping,
    ours=(
        Shaping("linear", linear),
        Shaping("rank", rank),
        Shaping("nes", nes),
        Shaping("nes_unnormalized", nes_unnormalized),
        Shaping("single_best", single_best),
        Shaping("single_better", single_better),
        Shaping("all_better_1", all_better_1),
        Shaping("all_better_2", all_better_2),
    ),
)


def shape(name: str, scores: jax.Array, baseline: jax.Array) -> jax.Array:
    """Apply the transformation ``name`` to scores [n]; returns weights [n], all finite.

    Scores that are not finite weigh 0; a baseline that is not finite counts as the worst finite score.

    Raises:
        UserError: if there is no transformation of that name.
    """
    weigh = SHAPINGS.find(name).weigh
    finite = jnp.isfinite(scores)
    worst = jnp.min(scores, where=finite, initial=jnp.inf)
    baseline = jnp.where(jnp.isfinite(baseline), baseline, worst)
    weights = weigh(jnp.where(finite, scores, -jnp.inf), baseline)
    return jnp.where(finite, weights, 0.0)
