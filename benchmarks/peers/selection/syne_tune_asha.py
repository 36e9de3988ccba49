"""Syne Tune's ASHA on tables of past runs (``table.py`` says by which rules).

Its searcher may be given the points to begin with. It gets the whole pool in random order, so nothing has to be moved
until every configuration was begun.
"""

import importlib.metadata
import logging
import math
import sys

import numpy as np

try:
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import choice, randint, uniform
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving
except ImportError:
    sys.exit("this peer needs the package syne-tune: pip install syne-tune")
import datetime

from table import Table, answer

ETA = 3


def _space(table: Table) -> dict:
    space = {}
    for name, values in table.space().items():
        if isinstance(values, tuple):
            space[name] = uniform(*values)
        else:
            space[name] = randint(0, len(values) - 1) if table.is_ordered(name) else choice(values)
    return space


def search(table: Table, seed: int) -> None:
    """Train what ASHA suggests until it stops it, with one worker."""
    np.random.seed(seed)  # noqa: NPY002  (brackets are drawn from the global generator)
    order = np.random.default_rng(seed).permutation(len(table.rows))
    scheduler = AsynchronousSuccessiveHalving(
        _space(table),
        metric="score",
        do_minimize=False,
        time_attr="step",
        max_t=table.num_steps,
        reduction_factor=ETA,
        random_seed=seed,
        searcher_kwargs={"points_to_evaluate": [table.proposal_of(i) for i in order]},
    )
    number = 0
    while True:
        config = scheduler.suggest().config
        # Two configurations may look alike to the space: then the nearest one that was not begun is the other.
        candidate = table.nearest(config)
        trial = Trial(number, config, datetime.datetime.now())
        scheduler.on_trial_add(trial)
        result = None
        for step in range(table.seen[candidate] + 1, table.lengths[candidate] + 1):
            score = table.step(candidate, step)
            if math.isnan(score):
                scheduler.on_trial_error(trial)
                break
            result = {"score": score, "step": step}
            if scheduler.on_trial_result(trial, result) != SchedulerDecision.CONTINUE:
                scheduler.on_trial_remove(trial)
                break
        else:
            scheduler.on_trial_complete(trial, result)
        number += 1


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    answer(search, f"syne-tune {importlib.metadata.version('syne-tune')}")
