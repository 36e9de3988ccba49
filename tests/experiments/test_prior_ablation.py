"""The ablation of the small model's prior: its variants, its arithmetic by hand, and two tiny models."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.one_shot_world_model import prior_ablation
from experiments.one_shot_world_model.prior_ablation import PRESETS, VARIANTS, config_of, named, refuse_twins
from experiments.one_shot_world_model.prior_measures import (
    ALL_TASKS,
    MEASURED,
    Pretrained,
    interval,
    scores,
    summarise,
    table_of,
)
from synthenv.core.errors import UserError
from synthenv.runs.oswm.pretrain import run as pretrain
from synthenv.runs.storage.csv_tables import read_csv
from synthenv.worldmodel.small.network import ModelConfig, Question
from synthenv.worldmodel.small.training_examples import Examples


def test_variants_differ_in_their_families_alone():
    base = PRESETS["cpu"].base
    configs = {name: config_of(name, base) for name in VARIANTS}
    assert {name: config.prior.batch_size for name, config in configs.items()} == {
        name: 9 if name.startswith("without-") else 10 for name in VARIANTS
    }
    assert {len(set(VARIANTS["all"]) - set(config.prior.families)) for config in configs.values()} == {
        0,
        1,
        5,
        9,
    }
    for config in configs.values():
        prior = replace(config.prior, families=base.prior.families, tasks_per_family=1)
        assert replace(config, prior=prior) == base
    assert base.num_steps == PRESETS["cpu"].num_steps and base.warmup_steps <= base.num_steps // 10
    assert PRESETS["paper"].base == prior_ablation.PRETRAININGS["small"].config, "as long as the preset small"


def test_names_that_are_none():
    with pytest.raises(UserError, match=r"unknown variant 'all-but-one': choose from all, generic, network"):
        config_of("all-but-one", PRESETS["cpu"].base)
    assert named("long=runs/a=b") == ("long", Path("runs/a=b"))
    for text in ("runs/a", "=runs/a", "long=", "generic=runs/a"):
        with pytest.raises(UserError, match="names no model: pass NAME=DIRECTORY"):
            named(text)


def test_twins_are_refused():
    one, other = (Pretrained("a", seed, ModelConfig(), None) for seed in (0, 1))
    refuse_twins([one, other])
    with pytest.raises(UserError, match="two models are called a and have seed 0"):
        refuse_twins([one, other, one])
    with pytest.raises(UserError, match="there is nothing to measure"):
        refuse_twins([])


def test_scores_by_hand():
    """Two columns in use, one of them constant: its misses count neither as error nor as surprise."""
    came = np.float32([[[2, 5, 0], [-2, 5, 9]]])
    mean, std = np.float32([[[3, 9, 1], [-3, 5, 1]]]), np.float32([[[0.5, 1, 1], [0.25, 1, 1]]])
    question = Question(*(None,) * 5, used=np.array([[True, True, False]]))
    error, calibration = scores(mean, std, Examples(None, question, came, None, None))
    np.testing.assert_allclose(error, [1 / 4])
    np.testing.assert_allclose(calibration, [((2**2 + 4**2) / 2) ** 0.5])


def line(task, context, seed, gain, error="1"):
    head = {"kind": "real", "task": task, "context": str(context), "model": "m", "seed": str(seed)}
    return head | dict.fromkeys(MEASURED, error) | {"gain": gain}


def test_summary_by_hand():
    lines = [line("t", context, seed, str(context + 10 * seed)) for context in (0, 1) for seed in (3, 4)]
    np.testing.assert_array_equal(table_of(lines, "gain"), [[30, 31], [40, 41]])
    lines += [line("u", 0, 3, "0", "1e-4"), line("u", 0, 4, "0", "1e-4")]
    found = {each["task"]: each for each in summarise(lines)}
    assert (found["t"]["gain"], found["t"]["num_seeds"], found["t"]["num_contexts"]) == (35.5, 2, 2)
    assert found["t"]["ci95_gain"] == [30, 41]
    assert found["u"]["error"] == pytest.approx(1e-4)
    # Context 0 has two tasks, 1 one of them: 15, 20, 31, 41.
    assert found[ALL_TASKS]["gain"] == pytest.approx((15 + 20 + 31 + 41) / 4)
    assert found[ALL_TASKS]["error"] == pytest.approx(0.1), "0.01 and 1, geometric"


def test_interval_is_wide_where_one_seed_decides():
    """Of 40 values that are all one seed's or the other's, an interval over 40 values would be narrow."""
    table = np.repeat([[0.0], [1.0]], 20, axis=1)
    assert interval(table) == [0, 1]
    of_contexts = interval(table.T)
    assert of_contexts == [0, 1]
    narrow = interval(np.random.default_rng(0).normal(size=(1, 400)))
    assert narrow[1] - narrow[0] == pytest.approx(2 * 1.96 / 20, rel=0.1)


@pytest.mark.long
@pytest.mark.rank_promotion_ok
def test_it_pretrains_measures_and_goes_on(tmp_path, monkeypatch):
    """Two seeds of one variant on one family, which share all programs, and the first of them under another name."""
    monkeypatch.setitem(VARIANTS, "all", ("linear",))
    config = replace(PRESETS["smoke"], out=tmp_path, variants=("all",))
    trained, whole = [], pretrain.run
    monkeypatch.setattr(pretrain, "run", lambda *a, **k: trained.append(a[2].name) or whole(*a, **k))
    prior_ablation.run(replace(config, num_batches=1, real_tasks=()))
    config = replace(config, num_seeds=2, models=(f"again={tmp_path / 'all_0'}",))
    prior_ablation.run(config)
    prior_ablation.plot(config)
    assert trained == ["all_0", "all_1"]
    lines = read_csv(tmp_path / "prior_ablation.csv")
    names = ("kind", "task", "context", "model", "seed")
    found = {tuple(each[name] for name in names): each for each in lines}
    places, models = (
        [("held_out", "linear"), ("real", "SimpleEnv")],
        [("all", "0"), ("all", "1"), ("again", "0")],
    )
    expected = {(*place, context, *model) for place in places for context in "01" for model in models}
    assert set(found) == expected and len(lines) == len(expected)
    for key, each in found.items():
        error, experts = float(each["error"]), float(each["experts_error"])
        assert float(each["gain"]) == pytest.approx(0.5 * np.log((experts + 1e-6) / (error + 1e-6)), abs=1e-4)
        assert abs(float(each["gain"])) < 0.1, "two steps change little"
        twin = found[*key[:3], "again", "0"]
        assert each["experts_error"] == twin["experts_error"], "all are asked the same"
        same = [name for name in MEASURED if each[name] == twin[name]]
        assert (len(same) == len(MEASURED)) == (key[4] == "0")
    results = json.loads((tmp_path / "prior_ablation.json").read_text())["results"]
    assert {(each["task"], each["model"], each["num_seeds"]) for each in results} == {
        (task, model, num)
        for task in ("linear", "SimpleEnv", ALL_TASKS)
        for model, num in (("all", 2), ("again", 1))
    }
    assert (tmp_path / "prior_ablation.png").stat().st_size > 1000
    with pytest.raises(UserError, match="holds a finished run of another config"):
        prior_ablation.run(replace(config, num_steps=3))
