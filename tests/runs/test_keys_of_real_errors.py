"""Randomness of the real steps that a pretraining is watched on: no key is used for two things."""

import jax
import numpy as np

from synthenv.runs.oswm.pretrain import real_task_errors
from synthenv.runs.oswm.pretrain.real_task_errors import RealConfig, collect_real
from synthenv.worldmodel.small.network import ModelConfig
from synthenv.worldmodel.small.prior.sample import PriorBatch


def test_collecting_and_fitting_draw_from_keys_of_their_own(monkeypatch):
    """The fit splits its key for each task, and split(key)[i] is fold_in(key, i), from which contexts are drawn."""
    used = []

    def collect(key, spec, collection):
        used.append(key)

    def prepare(key, batch, **_):
        return jax.random.key_data(key)

    monkeypatch.setattr(real_task_errors, "collect", collect)
    monkeypatch.setattr(real_task_errors, "prepare", prepare)
    monkeypatch.setattr(
        real_task_errors, "_task", lambda *_: PriorBatch(*[np.zeros(1)] * len(PriorBatch._fields))
    )
    tasks = ("GridWorld", "SimpleEnv")
    steps = collect_real(jax.random.key(7), RealConfig(tasks, 8), ModelConfig())
    fit = jax.random.wrap_key_data(steps.examples)
    drawn = {tuple(jax.random.key_data(key).tolist()) for key in (*used, *jax.random.split(fit, len(tasks)))}
    roots = [jax.random.fold_in(jax.random.key(7), i) for i in range(len(tasks))]
    drawn |= {tuple(jax.random.key_data(key).tolist()) for key in roots}
    assert len(drawn) == 2 * len(tasks) + len(tasks) + len(tasks)
