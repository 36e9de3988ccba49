"""What every surrogate can do: learn from other data sets, be told of a new one step by step, and forecast scores.

    params = surrogate.fit(key, meta)                 # once, on the host: from the runs of other data sets
    state = surrogate.start(params, candidates)       # a new data set and what may be run on it
    state = surrogate.update(params, state, seen)     # one more step of one candidate was trained
    forecast = surrogate.forecast(params, state, steps)

``start``, ``update`` and ``forecast`` are pure functions of arrays, so that whole searches are compiled and run side by
side. A surrogate that ignores what was seen (zero-shot) returns its state as it is.

Axis letters here: N candidates, F features, K meta-features, T steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from synthenv.selection.forecast import Forecast
from synthenv.selection.tables.meta_dataset import MetaDataset

Params = Any
State = Any


class Candidates(NamedTuple):
    """What may be run on a new data set.

    Attributes:
        features: configurations, see ``columns.features``. float32 [N, F]
        meta_features: of the data set, NaN where unknown. float32 [K]
        mask: which candidates there are. bool [N]
    """

    features: jax.Array
    meta_features: jax.Array
    mask: jax.Array


class Seen(NamedTuple):
    """One more step of one candidate.

    Attributes:
        candidate: which one. int32 []
        step: how many steps it has been trained for now. int32 []
        score: after this step; NaN if it crashed. []
        seconds: what the step took. []
    """

    candidate: jax.Array
    step: jax.Array
    score: jax.Array
    seconds: jax.Array


class Surrogate(NamedTuple):
    """A surrogate by name.

    Attributes:
        name: what commands call it.
        about: one line for lists.
        fit: ``(key, meta) -> params``, from the runs of other data sets; on the host, may take minutes.
        start: ``(params, candidates, num_steps) -> state``; num_steps, an int, is the longest training.
        update: ``(params, state, seen) -> state``.
        forecast: ``(params, state, steps) -> Forecast`` of every candidate after so many steps, int32 [N].
    """

    name: str
    about: str
    fit: Callable[[jax.Array, MetaDataset], Params]
    start: Callable[[Params, Candidates, int], State]
    update: Callable[[Params, State, Seen], State]
    forecast: Callable[[Params, State, jax.Array], Forecast]
