"""One exercise for a curve transformer: candidates trained so far, runs on other data sets, and questions.

Exercises come from the prior and from real curves alike. What was seen of a curve is a handful of its scores at even
shares of the steps done, so that a run is one token, however long it is.

Axis letters: S candidates, R runs on other data sets, Q questions, F features, K meta-features, P scores shown.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

NUM_SHOWN = 9  # at eighths of the steps done, and the one before the last


class Progress(NamedTuple):
    """What was seen of runs [...].

    Attributes:
        shown: scores from 0 to 1 at ``shown_steps``, NaN where there is none. [..., P]
        done: steps done, crashed ones included; 0 for a candidate that is not started. int32 [...]
        num_steps: of a whole run. int32 [...]
        log_seconds: mean logarithm of the seconds of a step, NaN if unknown. [...]
        crashed: whether its last step ended in a crash. bool [...]
    """

    shown: jax.Array
    done: jax.Array
    num_steps: jax.Array
    log_seconds: jax.Array
    crashed: jax.Array


class Table(NamedTuple):
    """Configurations of runs, the data sets that they are of, and what came.

    Attributes:
        features: see ``columns.features``. [..., F]
        meta_features: standardised over data sets, NaN where unknown. [..., K]
        progress: [...]
        mask: which rows there are. bool [...]
    """

    features: jax.Array
    meta_features: jax.Array
    progress: Progress
    mask: jax.Array


class Questions(NamedTuple):
    """What is asked of candidates, and what is true.

    Attributes:
        candidate: which one. int32 [Q]
        step: after so many steps. int32 [Q]
        score: what came, NaN if it crashed until then. [Q]
        log_seconds: logarithm of the mean seconds of a step, NaN if unknown. [Q]
        crashed: whether it crashed until then. bool [Q]
        mask: which questions there are. bool [Q]
    """

    candidate: jax.Array
    step: jax.Array
    score: jax.Array
    log_seconds: jax.Array
    crashed: jax.Array
    mask: jax.Array


class Exercise(NamedTuple):
    """Candidates on one data set [S], runs on others [R], questions [Q]."""

    own: Table
    others: Table
    questions: Questions


def shown_steps(done: jax.Array) -> jax.Array:
    """After which steps the scores of runs with so many steps [...] are shown; 0 if none. int32 [..., P]"""
    eighths = jnp.arange(1, NUM_SHOWN, dtype=jnp.int32)
    eighths = eighths.reshape((1,) * done.ndim + (NUM_SHOWN - 1,))
    even = (done[..., None] * eighths + NUM_SHOWN - 2) // (NUM_SHOWN - 1)
    before = jnp.minimum(jnp.maximum(done - 1, 1), done)
    return jnp.concatenate([even, before[..., None]], axis=-1)


def progress(
    done: jax.Array,
    crash_step: jax.Array,
    num_steps: jax.Array,
    log_seconds: jax.Array,
    score: Callable[[jax.Array], jax.Array],
) -> Progress:
    """What was seen of runs [S].

    Args:
        done: steps done. int32 [S]
        crash_step: the step in which a run crashes; more than ``done`` for one that has not. int32 [S]
        num_steps: of a whole run. int32 [S]
        log_seconds: of a step. [S]
        score: tells scores [S, P] after steps [S, P] of at least 1.
    """
    crashed = (done >= crash_step) & (done > 0)
    steps = shown_steps(done - crashed)
    shown = jnp.where(steps > 0, score(jnp.maximum(steps, 1)), jnp.nan)
    return Progress(shown, done, num_steps, jnp.where(done > 0, log_seconds, jnp.nan), crashed)
