"""Searches that ask a surrogate: train that candidate a little further from which the most is to be expected.

Runs are frozen after every step and thawed when they are chosen again, so nothing is ever stopped for good.

Axis letters here: N candidates, T steps.

References:
    Swersky et al. (2014), Freeze-thaw Bayesian optimization. Arango et al. (2024), Quick-Tune, for improvement over
    cost. Rakotoarison et al. (2024), In-context freeze-thaw Bayesian optimization, for ``random_improvement``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from synthenv.selection.forecast import Distribution
from synthenv.selection.search.simulate import NOBODY, Choice, Policy, View
from synthenv.selection.surrogates.surrogate import Candidates, Seen, Surrogate

_TINY = 1e-12
_LEAST_SECONDS = 1e-2
_DEVIATIONS = 1.0  # of the upper confidence bound


@dataclass(frozen=True)
class FreezeThawConfig:
    """How a candidate is chosen.

    Attributes:
        acquisition: ``improvement`` is expected improvement over the best score so far, ``upper_bound`` the mean and a
            standard deviation, ``thompson`` a draw, ``random_improvement`` the probability of more than a random
            improvement after a random number of steps (MFPI-random of ifBO).
        reach: steps ahead that a candidate is judged by; ``random_improvement`` draws them.
        cost_power: to which power of the seconds on the way an improvement is divided; 0 ignores costs.
    """

    acquisition: Literal["improvement", "upper_bound", "thompson", "random_improvement"] = "improvement"
    reach: int = 10
    cost_power: float = 1.0


Values = Callable[[jax.Array, Distribution, jax.Array], jax.Array]


def _improvement(key: jax.Array, score: Distribution, best: jax.Array) -> jax.Array:
    return score.expected_improvement(best)


def _upper_bound(key: jax.Array, score: Distribution, best: jax.Array) -> jax.Array:
    return jnp.maximum(score.mean + _DEVIATIONS * score.std - best, 0.0)


def _thompson(key: jax.Array, score: Distribution, best: jax.Array) -> jax.Array:
    return jnp.maximum(score.sample(key) - best, 0.0)


ACQUISITIONS: dict[str, Values] = {
    "improvement": _improvement,
    "upper_bound": _upper_bound,
    "thompson": _thompson,
}


def freeze_thaw(surrogate: Surrogate, config: FreezeThawConfig) -> Policy:
    """The policy that asks this surrogate.

    Its ``params`` are what ``surrogate.fit`` returned, and the range of scores: ``(fitted, (low, high))``.
    """

    def start(key: jax.Array, params: Any, candidates: Candidates, num_steps: int) -> Any:
        return surrogate.start(params[0], candidates, num_steps)

    def see(params: Any, state: Any, seen: Seen) -> Any:
        return surrogate.update(params[0], state, seen)

    def choose(key: jax.Array, params: Any, state: Any, view: View) -> tuple[Any, Choice]:
        fitted, (low, high) = params
        num_steps = view.curves.shape[1]
        key_reach, key_gain, key_value = jax.random.split(key, 3)
        best = jnp.max(jnp.where(jnp.isnan(view.curves), low, view.curves))
        reach = jnp.asarray(config.reach)
        if config.acquisition == "random_improvement":
            reach = jax.random.randint(key_reach, (), 1, num_steps + 1)
        steps = jnp.minimum(view.steps + reach, num_steps)
        said = surrogate.forecast(fitted, state, steps)
        if config.acquisition == "random_improvement":
            gain = 10.0 ** jax.random.uniform(key_gain, (), minval=-4.0, maxval=-1.0)
            value = said.score.probability_above(best + gain * (high - best))
        else:
            value = ACQUISITIONS[config.acquisition](key_value, said.score, best)
        seconds = jnp.maximum(said.seconds, _LEAST_SECONDS)
        value = jnp.log(value + _TINY) - config.cost_power * jnp.log(seconds)
        value = jnp.where(view.is_open, value, -jnp.inf)
        candidate = jnp.where(jnp.any(view.is_open), jnp.argmax(value), NOBODY).astype(jnp.int32)
        return state, Choice(candidate, (view.steps[candidate] + 1).astype(jnp.int32))

    return Policy(surrogate.name, start, choose, see)
