"""The history of a search as an Optuna study, for its plots and its importances."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.tables.columns import Column
from synthenv.selection.tuner.search import Search


def to_study(search: Search) -> Any:
    """An Optuna study in memory with a trial for every candidate that was begun.

    Finished trials are complete with their best score, paused and running ones pruned, crashed ones failed; scores on
    the way are intermediate values, by step.

    Raises:
        UserError: Optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("the export needs Optuna: pip install 'synthenv[hpo]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize" if search.minimise else "maximize")
    distributions = {
        column.name: _distribution(column, search.pool.configs) for column in search.pool.columns
    }
    states = {"finished": "COMPLETE", "crashed": "FAIL"}
    for candidate, config in enumerate(search.pool.configs):
        if (state := search.state_of(candidate)) == "new":
            continue
        scores = search.curves[candidate]
        there = np.flatnonzero(~np.isnan(scores))
        best = (np.nanmin if search.minimise else np.nanmax)(scores) if len(there) else None
        params = {name: config[name] for name in distributions if config.get(name) is not None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that are no numbers or texts
            trial = optuna.trial.create_trial(
                state=optuna.trial.TrialState[states.get(state, "PRUNED")],
                value=float(best) if state == "finished" and best is not None else None,
                params=params,
                distributions={name: distributions[name] for name in params},
                intermediate_values={int(step) + 1: float(scores[step]) for step in there},
                user_attrs={"candidate": candidate, "reason": search.reasons.get(candidate, "")},
            )
        study.add_trial(trial)
    return study


def _distribution(column: Column, configs: Sequence[dict[str, Any]]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values = [config[column.name] for config in configs if config.get(column.name) is not None]
    if any(isinstance(value, str | bool) for value in values):
        return CategoricalDistribution(tuple(dict.fromkeys(values)))
    low, high = min(values), max(values)
    kind = IntDistribution if all(isinstance(value, int) for value in values) else FloatDistribution
    return kind(low, high, log=column.is_log and low > 0)
