"""Quick-Tune without refitting: a deep kernel and a predictor of costs, learnt from the runs of other data sets.

``fit`` trains on curves that were seen before; in a search nothing is trained, the process is told what was seen. It
differs from the paper in five ways: it looks ``reach`` steps ahead instead of one, has one row for each candidate
instead of one for each step, compares with the best score of all steps, has a mean that the network tells, and does not
refit.

Axis letters here: D data sets, N runs of a data set, B batch, F inputs of a configuration, K meta-features, T steps.

References:
    Arango et al. (2024), Quick-Tune, algorithm 2.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.selection.forecast import Forecast, Normal
from synthenv.selection.surrogates import deep_kernel
from synthenv.selection.surrogates.deep_kernel import DeepKernelConfig, Points
from synthenv.selection.surrogates.inputs import of_configs, of_data_sets
from synthenv.selection.surrogates.quick_tune_training import Params, fit, predicted_log_seconds
from synthenv.selection.surrogates.surrogate import Candidates, Seen, Surrogate


class State(NamedTuple):
    """A data set in search.

    Attributes:
        config: inputs of the candidates. [N, F]
        meta: inputs of the data set. [K]
        curve: scores so far in [0, 1], 0 beyond. [N, T]
        steps: steps seen. int32 [N]
        seconds: of a step: as predicted, then as last seen. [N]
    """

    config: jax.Array
    meta: jax.Array
    curve: jax.Array
    steps: jax.Array
    seconds: jax.Array


def start(params: Params, candidates: Candidates, num_steps: int) -> State:
    """A data set of which nothing is seen yet."""
    config = of_configs(params.scaling, candidates.features)
    meta = of_data_sets(params.scaling, candidates.meta_features)
    num = len(candidates.mask)
    seconds = jnp.exp(predicted_log_seconds(params.costs, config, meta))
    return State(config, meta, jnp.zeros((num, num_steps)), jnp.zeros(num, jnp.int32), seconds)


def update(params: Params, state: State, seen: Seen) -> State:
    """Remember a score and its cost; a crash (NaN) has no score to remember."""
    low, high = params.score_range
    place = (seen.candidate, seen.step - 1)
    score = jnp.where(jnp.isnan(seen.score), state.curve[place], (seen.score - low) / (high - low))
    has_score = ~jnp.isnan(seen.score)
    seconds = jnp.where(jnp.isnan(seen.seconds), state.seconds[seen.candidate], seen.seconds)
    return state._replace(
        curve=state.curve.at[place].set(score),
        steps=state.steps.at[seen.candidate].set(
            jnp.where(has_score, seen.step, state.steps[seen.candidate])
        ),
        seconds=state.seconds.at[seen.candidate].set(seconds),
    )


def forecast(reach: int, params: Params, state: State, steps: jax.Array) -> Forecast:
    """Scores of all candidates after ``steps`` [N], in units of the meta-data set, and the seconds of the way there."""
    kernel, started = params.kernel, state.steps > 0
    told = Points(state.config, state.meta, state.curve, jnp.maximum(state.steps - reach, 0), state.steps)
    asked = Points(state.config, state.meta, state.curve, state.steps, steps)
    last = jnp.take_along_axis(state.curve, jnp.maximum(state.steps - 1, 0)[:, None], axis=1)[:, 0]
    rows, queries = (deep_kernel.coordinates(kernel, points) for points in (told, asked))
    mean, variance = deep_kernel.posterior(kernel.process, rows, last, started, queries)
    low, high = params.score_range
    score = Normal(low + mean * (high - low), jnp.sqrt(variance) * (high - low))
    return Forecast(score, state.seconds * (steps - state.steps))


def quick_tune_surrogate(name: str, about: str, config: DeepKernelConfig) -> Surrogate:
    """The surrogate under a name."""
    return Surrogate(name, about, partial(fit, config=config), start, update, partial(forecast, config.reach))
