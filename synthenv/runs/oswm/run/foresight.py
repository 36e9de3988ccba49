"""Tell in sentences whether a world model foresees anything: where it does not, no number of a run means anything.

Axis letters here: C rows, d columns of an observation.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from synthenv.core.types import Prediction, Transition
from synthenv.runs.oswm.run.real_tasks import RealTask
from synthenv.worldmodel.context import quadratic_law
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.context import Context, spread

Predict = Callable[[Any, jax.Array, jax.Array], Prediction]

NUM_HELD_OUT = 1000  # real steps to ask about; fewer would miss what is rare
_CONSTANT = 1e-9  # what varies by less than this share of its mean square does not vary
_STRAYS = 0.1  # a constant reward may be missed by this share of its size, a column by 0.01 deviations
_OUTSIDE = 0.25  # how far outside counts, as a share of the range of a task's first observations
_ELSEWHERE = 0.05  # share of a log's episodes that may begin outside
_HALF = 0.5  # a model that expects to miss this share of the variance foresees little
_NARROW = 0.75  # actions in other units often reach no further than this share of what a task takes
_LEAST_NEAR, _MOST_NEAR = 20, 500  # fewest rows near to shown ones, and most shown rows to compare with
_MISSED, _MUCH = 0.05, 0.15  # shares of the variance: a miss beyond what the model expects, and a miss anyway
_PART = 0.25  # least share of the whole variance that an error near shown rows is compared with
_SURE = 3.0  # how many times the squared error that the model expects is a contradiction


@functools.partial(jax.jit, static_argnames="predict")
def predict_all(cache: Any, obs: Any, action: Any, predict: Predict) -> Prediction:
    """Ask a world model C questions; every field of the prediction has the leading axis [C]."""
    return jax.vmap(predict, in_axes=(None, 0, 0))(cache, obs, action)


def held_out_error(
    key: jax.Array,
    task: RealTask | None,
    collection: Collection,
    predict: Predict,
    cache: Any,
    context: Context,
    log: Context | None,
    seed: int,
) -> tuple[dict[str, float] | None, int, list[str]]:
    """Measure how well the world model foresees real steps that it was not shown.

    This comes after the training, so whatever goes wrong here becomes a notice.

    Args:
        key: random key, for the steps.
        task: the real one, if there is one.
        collection: what to collect from it.
        predict: the world model's function of that name.
        cache: the encoded context.
        context: what the model was shown.
        log: all rows of the file that the context is from, if it is from one.
        seed: number of the seed, for the notices.

    Returns:
        mean squared errors as shares of the variance of what is predicted: ``next_obs`` (of its change, mean over the
        columns) and ``reward``; NaN where nothing varies. They are None if there is no task to step, or its steps could
        not be used. Then the number of real steps, and notices if the model foresees nothing; without a task, these
        follow from how sure it is of its context.
    """
    if task is None:
        steps = context.transitions
        said = predict_all(cache, steps.obs, steps.action, predict)
        return None, 0, by_own_account(said, context)
    try:
        held_out = task.collect(key, collection)
    except Exception as error:  # somebody's environment may raise anything
        cause = " ".join(str(error).partition(": ")[0].split()) or type(error).__name__
        cause = cause.replace("the context", "the held-out steps")  # the context itself is sound
        return (
            None,
            collection.num_steps,
            [
                f"seed {seed}: one_step_error is null, because of {collection.num_steps:,} real steps taken after the"
                f" training to measure it some could not be used ({cause}); nothing else depends on them"
            ],
        )
    steps = held_out.transitions
    said = predict_all(cache, steps.obs, steps.action, predict)

    def share(said: Any, target: Any) -> float:
        error, variance = np.asarray(said) - target, np.var(target, axis=0)
        told = variance > 1e-12
        return float(np.mean(np.square(error).mean(axis=0)[told] / variance[told])) if told.any() else np.nan

    errors = {
        "next_obs": share(said.next_obs - steps.obs, steps.next_obs - steps.obs),
        "reward": share(said.reward[:, None], steps.reward[:, None]),
    }
    doubts = of_task(said, held_out, log, context)
    if log is None:  # every seed has a context of its own
        doubts = [f"seed {seed}: {doubt}" for doubt in doubts]
    return errors, held_out.real_steps, doubts


def of_task(said: Prediction, held_out: Context, log: Context | None, shown: Context) -> list[str]:
    """Return notices about a model that was asked about steps of the real task.

    Args:
        said: its answers to them. [C]
        held_out: these steps, and first observations of the task.
        log: the file that the model was shown rows of, if it is one.
        shown: the rows that it was shown.
    """
    obs, _, reward, next_obs, *_ = (np.asarray(leaf) for leaf in held_out.transitions)
    change, reward, going = next_obs - obs, reward[:, None], _before_failures(held_out.transitions)
    missed = np.square(np.asarray(said.next_obs) - next_obs)
    missed_reward = np.square(np.asarray(said.reward)[:, None] - reward)
    columns = np.flatnonzero(_is_unforeseen(missed[going], change[going], 0.1 * _STRAYS * obs.std(axis=0)))
    known = np.abs(reward if log is None else np.append(reward, log.transitions.reward)).max(initial=0.0)
    pays = _is_unforeseen(missed_reward[going], reward[going], np.array([_STRAYS * known]))
    notices = []
    if what := _listed(columns, bool(pays[0])):
        remedy = (
            "show it more with --context"
            if log is None
            else f"is {log.task} of this task, its columns and rows in order and in the task's units{_narrow(log)}?"
        )
        notices.append(
            f"the world model foresees {what} of {held_out.task} no better than the mean does: {remedy}"
        )
    elif log is not None and (what := _contradicted(said, held_out, shown, going)):
        notices.append(
            f"next to rows of {log.task} steps of {held_out.task} come to something else in {what}: is it of this task,"
            f" its rows single steps in order, and its numbers in the task's units{_narrow(log)}?"
        )
    if log is not None and (away := _listed(_starts_elsewhere(log, held_out), False)):
        notices.append(
            f"some episodes of {log.task} begin with {away} where those of {held_out.task} never do: is it of this"
            " task, its columns in order and in the task's units?"
        )
    if log is not None and (stuck := _listed(_starts_alike(log, held_out), False)):
        notices.append(
            f"all {len(log.first_obs):,} episodes of {log.task} begin with the very same {stuck}, and those of"
            f" {held_out.task} do not: were resets given one seed, or observations counted from where an episode began?"
        )
    return notices


def by_own_account(said: Prediction, shown: Context) -> list[str]:
    """Return notices about a model of a file without a known task, by how unsure it is of the rows it was shown.

    Args:
        said: its answers to them. [C]
        shown: these rows.
    """
    obs, _, reward, next_obs, *_ = (np.asarray(leaf) for leaf in shown.transitions)
    doubt, doubt_of_reward = (np.square(np.asarray(std)) for std in (said.next_obs_std, said.reward_std))
    columns = np.flatnonzero(_is_unforeseen(doubt / _HALF, next_obs - obs, np.zeros(obs.shape[1])))
    pays = _is_unforeseen(doubt_of_reward[:, None] / _HALF, reward[:, None], np.zeros(1))
    if not (what := _listed(columns, bool(pays[0]))):
        return []
    return [
        f"by its own account the world model misses half or more of how {what} of {shown.task} varies: are its columns"
        " and rows in order?"
    ]


def _contradicted(said: Prediction, held_out: Context, shown: Context, going: np.ndarray) -> str:
    """Say what a model misses next to rows that it was shown; empty if there is nothing.

    An error counts if it is large, or larger than the model expects. Far from the shown rows a model may be wrong even
    if every one of them is right.
    """
    steps = held_out.transitions
    near = going & _are_near(_asked(held_out), _asked(shown))
    if near.sum() < _LEAST_NEAR:
        return ""

    def is_missed(mean: Any, std: Any, came: Any) -> np.ndarray:
        missed, doubt = np.square(mean - came)[near].mean(axis=0), np.square(std)[near].mean(axis=0)
        size = np.square(came[going]).mean(axis=0)
        # Near the shown rows little may vary; an error that is a small part of the whole variance does not count.
        variance = np.maximum(came[near].var(axis=0), _PART * came[going].var(axis=0))
        share = missed / np.maximum(np.maximum(variance, _CONSTANT * size), np.finfo(float).tiny)
        return (share > _MUCH) | (share > _MISSED) & (missed > _SURE * doubt)

    change = np.asarray(said.next_obs) - steps.obs
    columns = is_missed(change, np.asarray(said.next_obs_std), steps.next_obs - steps.obs)
    reward = (np.asarray(leaf)[:, None] for leaf in (said.reward, said.reward_std, steps.reward))
    return _listed(np.flatnonzero(columns), bool(is_missed(*reward)[0]))


def _asked(context: Context) -> np.ndarray:
    """Return what a model is asked, and shown, of each row. float64 [C, D]"""
    steps = context.transitions
    action = quadratic_law.action_columns(np.asarray(steps.action), context.num_actions)
    return np.concatenate([steps.obs, action], axis=1).astype(float)


def _are_near(asked: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return which rows [C, D] are as near to a shown row as half of the shown rows are to each other. bool [C]"""
    shown = shown[spread(np.arange(len(shown)), _MOST_NEAR)]
    scale = np.maximum(shown.std(axis=0), 1e-6 * np.maximum(1.0, np.abs(shown).max(axis=0)))
    asked, shown = (asked - shown.mean(axis=0)) / scale, (shown - shown.mean(axis=0)) / scale
    size = np.square(shown).sum(axis=1)
    away, apart = (
        np.square(rows).sum(axis=1)[:, None] + size - 2 * rows @ shown.T for rows in (asked, shown)
    )
    np.fill_diagonal(apart, np.inf)
    return away.min(axis=1) <= np.median(apart.min(axis=1))


def _is_unforeseen(missed: np.ndarray, target: np.ndarray, strays: np.ndarray) -> np.ndarray:
    """Return which columns a constant would foresee as well. bool [Y]

    Args:
        missed: squared errors. [C, Y]
        target: true values. [C, Y]
        strays: by how much a column that does not vary may be missed; 0 leaves such columns out. [Y]
    """
    variance, size = target.var(axis=0), np.square(target).mean(axis=0)
    varies = variance > _CONSTANT * size
    bound = np.where(varies, variance, np.square(strays))
    return (bound > 0) & (missed.mean(axis=0) >= bound)


def _before_failures(steps: Transition) -> np.ndarray:
    """Return which rows are not steps after a failure, where no test ever is. bool [C]"""
    going = np.ones(len(steps.reward), bool)
    going[1:] = ~(
        steps.terminated[:-1] & steps.terminated[1:] & (steps.obs[1:] == steps.next_obs[:-1]).all(axis=1)
    )
    return going


def _starts_elsewhere(log: Context, held_out: Context) -> np.ndarray:
    """Return columns in which some episodes of a log begin where none of the task's does."""
    if len(log.first_obs) == log.num_rows:  # the log does not say where they begin
        return np.zeros(0, int)
    low, high = held_out.first_obs.min(axis=0), held_out.first_obs.max(axis=0)
    room = _OUTSIDE * (high - low) + 0.01 * held_out.transitions.obs.std(axis=0)
    outside = (log.first_obs < low - room) | (log.first_obs > high + room)
    return np.flatnonzero(outside.mean(axis=0) > _ELSEWHERE)


def _starts_alike(log: Context, held_out: Context) -> np.ndarray:
    """Return columns in which a log's episodes, three or more, all begin alike, and the task's do not."""
    if len(log.first_obs) < 3:
        return np.zeros(0, int)
    spread_of_log, spread_of_task = (np.ptp(context.first_obs, axis=0) for context in (log, held_out))
    return np.flatnonzero((spread_of_log == 0) & (spread_of_task > 0))


def _narrow(log: Context) -> str:
    """Say which column of a log's actions, the first one, uses little of what the task takes; empty if none does."""
    if log.units is None or log.units.is_discrete:
        return ""
    columns = log.units.to_task(np.asarray(log.transitions.action)).T
    for i, (column, low, high) in enumerate(zip(columns, log.units.low, log.units.high, strict=True)):
        if np.isfinite(high - low) and np.ptp(column) < _NARROW * (high - low):
            seen = f"{column.min():g} to {column.max():g}"
            return f" (action column {i} goes from {seen}, and the task takes {low:g} to {high:g})"
    return ""


def _listed(columns: Iterable[int], with_reward: bool) -> str:
    """List columns in words; empty if there are none."""
    numbers = [str(column) for column in columns]
    parts = [f"observation column{'s' * (len(numbers) > 1)} {', '.join(numbers)}"] if numbers else []
    return " and ".join(parts + ["the reward"] * with_reward)
