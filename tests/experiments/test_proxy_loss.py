"""Table 3 at its smoke preset, its arithmetic by hand, and its experts."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.one_shot_world_model import proxy_loss
from experiments.one_shot_world_model.proxy_loss import PRESETS
from synthenv.core.types import Transition
from synthenv.envs import registry
from synthenv.envs.on_host import gymnasium_task
from synthenv.envs.rollout import evaluate
from synthenv.runs.oswm.benchmark import error_contexts
from synthenv.runs.oswm.benchmark.one_step_errors import errors_of, summarise
from synthenv.runs.storage.csv_tables import read_csv
from synthenv.worldmodel.baselines.ridge import PERSISTENCE

LINE = {"task": "MountainCar-v0", "strategy": "random", "model": "ridge", "raw": "1", "by_column": "2 nan"}


@pytest.mark.long
def test_it_runs_and_goes_on_where_it_stopped(tmp_path):
    config = replace(PRESETS["smoke"], out=tmp_path)
    proxy_loss.run(replace(config, models=("persistence",), strategies=("random",)))
    before = (tmp_path / "proxy_loss.csv").read_text()
    ends = {file: file.stat().st_mtime_ns for file in (tmp_path / "contexts").iterdir()}
    proxy_loss.run(config)
    proxy_loss.plot(config)
    assert (tmp_path / "proxy_loss.csv").read_text().startswith(before)
    assert all(file.stat().st_mtime_ns == end for file, end in ends.items()), "nothing is collected again"
    lines = read_csv(tmp_path / "proxy_loss.csv")
    keys = {tuple(line[name] for name in ("task", "strategy", "model", "context")) for line in lines}
    assert len(keys) == len(lines) == 2 * 2 * 2 * 2
    for line in lines:
        each = [float(line[name]) for name in ("random", "half", "expert")]
        assert float(line["raw"]) == pytest.approx(np.mean(each), rel=1e-3)
        assert float(line["relative"]) == pytest.approx(
            np.nanmean(np.array(line["by_column"].split(), float)), rel=1e-2
        )
        # Nothing there to predict is the reward of the car alone, always -1.
        assert line["by_column"].endswith("nan") == (line["task"] == "MountainCar-v0")
        if line["model"] == "persistence":
            assert 0.9 < float(line["relative"]) < 1.5
    summary = json.loads((tmp_path / "proxy_loss.json").read_text())["results"]["SimpleEnv"]["mixture"]
    low, high = summary["ridge"]["ci95_raw"]
    assert low <= summary["ridge"]["raw"] <= high
    assert summary["paper"]["raw"] == 0.139
    assert (tmp_path / "proxy_loss.png").stat().st_size > 1000


def test_errors_by_hand():
    """Persistence on two rows a set: changes of 3 and -1, rewards of 1 and 5 where the context has 2 on average."""
    zeros, never = np.zeros((2, 1), np.float32), np.zeros(2, bool)
    rows = Transition(
        zeros, zeros, np.float32([1, 5]), np.float32([[3], [-1]]), terminated=never, truncated=never
    )
    obs = np.arange(4, dtype=np.float32)[:, None] / 3
    context = Transition(
        obs, 0 * obs, np.float32([2, 1, 3, 2]), obs + 1, np.zeros(4, bool), np.zeros(4, bool)
    )
    errors = errors_of(PERSISTENCE, PERSISTENCE.encode(None, context, None), [rows, rows, rows])
    np.testing.assert_allclose(errors.raw, 3 * [((9 + 1) / 2 + (1 + 9) / 2) / 14], rtol=1e-5)
    np.testing.assert_allclose(errors.by_column, [5 / 4, 5 / 4], rtol=1e-5)


def test_summary_by_hand():
    others = {"relative": "0.5", "encode_cpu_seconds": "1"}
    summary = summarise([LINE | others, LINE | others | {"raw": "3", "by_column": "4 nan"}])
    of_ridge = summary["MountainCar-v0"]["random"]["ridge"]
    assert (of_ridge["raw"], of_ridge["num_contexts"], of_ridge["by_column"][0]) == (2.0, 2, 3.0)
    assert of_ridge["ci95_raw"] == [1.0, 3.0] and np.isnan(of_ridge["by_column"][1])
    assert summary["MountainCar-v0"]["random"]["paper"] == {"raw": 0.00065}


def test_rules_play_well():
    spec = registry.make("MountainCar-v0")
    act = error_contexts.expert("MountainCar-v0", 0)
    played = evaluate(jax.random.key(0), spec.env, spec.env_params, act, 20, spec.max_steps)
    assert (played.returns > -200).all() and played.returns.mean() > -130
    pull = jax.jit(jax.vmap(lambda obs: error_contexts.pull_to_target(jax.random.key(0), obs)))
    played = gymnasium_task.evaluate("Reacher-v5", pull, 20, 0)
    assert -8 < played.returns.mean() < -3
