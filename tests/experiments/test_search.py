"""The search over tables 6 and 7: its space, its judges by hand, its bookkeeping, and two tiny trials."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optuna
import pytest

from experiments.one_shot_world_model import search, search_judges, search_plot
from experiments.one_shot_world_model.search import PRESETS
from experiments.one_shot_world_model.search_judges import Questions, columns_of, in_units_of, log_errors
from experiments.one_shot_world_model.search_space import (
    SPACES,
    Coder,
    Networks,
    Tables,
    config_of,
    tables_of,
)
from synthenv.core.errors import UserError
from synthenv.runs.oswm.pretrain import run as pretrain
from synthenv.runs.storage.csv_tables import read_csv
from synthenv.runs.tune.plan import suggest
from synthenv.runs.tune.spaces import drawn
from synthenv.worldmodel.paper import network as paper_model
from synthenv.worldmodel.paper.train_step import PaperPretrainConfig
from synthenv.worldmodel.small.prior.sample import PriorBatch


class Interrupted(BaseException):
    """Stands for whatever ends a process."""


def test_final_values_are_in_the_space_and_are_the_paper():
    first = drawn(SPACES["both"], Tables())
    assert len(first) == len(SPACES["both"]) == 11 + 12, "one outside of its range would be left out"
    config = config_of(tables_of(first), PaperPretrainConfig())
    assert config == PaperPretrainConfig()
    params = jax.eval_shape(lambda key: paper_model.init(key, config.model), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 16_129_280


def test_whatever_is_drawn_can_be_trained_and_read_back():
    study, seen = optuna.create_study(sampler=optuna.samplers.RandomSampler(0)), set()
    for _ in range(100):
        trial = study.ask()
        tables = suggest(trial, SPACES["both"], Tables())
        assert tables_of(trial.params) == tables
        config = config_of(tables, search.SIZES["tiny"])
        assert config.prior.networks.activations and config.model.transformer.width == 8
        seen.add(config.prior.networks.activations)
        if not tables.networks.has_others:
            assert config.prior.networks.activations == ("tanh",)
            assert "networks.tanh" not in trial.params
    assert len(seen) == 15, "all sets of activations but the empty one"


def test_activations_keep_the_order_of_the_released_prior():
    assert Networks().activations == ("sin", "tanh")
    assert Networks(relu=True, sin=False, sigmoid=True, tanh=False).activations == ("relu", "sigmoid")


def test_columns_by_hand():
    """A discrete action becomes its number, a continuous one stays."""
    inputs = np.float32(
        [[[1, 2, 0, 0, 1, 0], [3, 4, 1, 0, 0, 0]], [[1, 2, 0.5, -1, 0, 0], [3, 4, 0, 1, 0, 0]]]
    )
    after, targets = inputs + np.float32([10, 10, 0, 0, 0, 0]), np.float32([[[10, 10, 7]] * 2] * 2)
    x, y = columns_of(PriorBatch(inputs, after, targets, *(None,) * 4))
    np.testing.assert_array_equal(x[..., :2], inputs[..., :2])
    np.testing.assert_array_equal(x[..., 11:], [[[2, 0, 0], [0, 0, 0]], [[0.5, -1, 0], [0, 1, 0]]])
    np.testing.assert_array_equal(y[..., [0, 1, 13]], [[[11, 12, 7], [13, 14, 7]]] * 2)
    assert not x[..., 2:11].any() and not y[..., 2:13].any()


def test_units_are_those_of_the_context():
    values = np.float32([[[0, 5], [2, 5], [4, 9]]])
    np.testing.assert_allclose(in_units_of(values, 2), [[[-(0.5**0.5), 0], [0.5**0.5, 0], [3 * 0.5**0.5, 0]]])


def test_log_errors_by_hand():
    """A model that answers zero; columns that the context holds constant do not count."""
    narrow = Coder("mlp", 4, 1)
    sizes = config_of(Tables(encoder=narrow, decoder=narrow), search.SIZES["tiny"]).model
    params = jax.eval_shape(lambda key: paper_model.init(key, sizes), jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), params)
    x, y = np.zeros((2, 2, 4, 14), np.float32)
    y[:, :2, :2] = [[1], [-1]]
    y[0, 2:, 0], y[0, 2:, 1], y[1, 2:, 0] = [3, 1], [2, 2], [1e-9, 0]
    y[1, 2:, 5] = 100.0
    found = log_errors(params, sizes, Questions(x, y, 2))
    np.testing.assert_allclose(found, [0.5 * np.log((9 + 1 + 4 + 4) / 4), np.log(1e-4)], rtol=1e-5)


@pytest.fixture
def imagined(monkeypatch):
    """Trials without training: the wider, the better, but narrow ones diverge. Returns the numbers that were begun."""
    begun = []

    def measure(config, number, tables, questions):
        begun.append(number)
        place = config.out / "trials" / f"{number:03d}"
        place.mkdir(parents=True, exist_ok=True)
        width = tables.encoder.width
        found = {"value": -width if width > 16 else float("nan"), "low": 0.0, "high": 1.0, "cpu_seconds": 1.0}
        (place / "judged.json").write_text(json.dumps(found))
        return found

    monkeypatch.setattr(search, "measure", measure)
    monkeypatch.setattr(search_judges, "draw", lambda *asked: None)
    return begun


@pytest.mark.long
def test_study_is_on_record_and_goes_on(tmp_path, imagined):
    config = replace(PRESETS["smoke"], out=tmp_path, num_trials=5)
    search.run(replace(config, num_trials=2))
    before = (tmp_path / "search.csv").read_text()
    search.run(config)
    assert imagined == list(range(5)) and (tmp_path / "search.csv").read_text().startswith(before)
    lines = read_csv(tmp_path / "search.csv")
    assert [line["state"] for line in lines] == [
        "fail" if line["encoder.width"] == "16" else "complete" for line in lines
    ]
    assert {line["state"] for line in lines} == {"fail", "complete"}
    assert (lines[0]["encoder.width"], lines[0]["decoder.activation"]) == ("512", "sigmoid"), "the paper's"
    results = json.loads((tmp_path / "search.json").read_text())["results"]
    assert results["best"]["value"] == -512 and results["best"]["trial"] == 0
    assert results["final_values_of_the_paper"]["encoder.width"] == 512 and results["cpu_seconds"] == 5
    search.plot(config)
    assert (tmp_path / "search.png").stat().st_size > 1000
    shares = dict.fromkeys(lines[0], 0.1)
    search_plot.draw(lines, results | {"importances": shares}, "real", tmp_path / "real.png")
    assert (tmp_path / "real.png").read_bytes() != (tmp_path / "search.png").read_bytes()
    with pytest.raises(UserError, match=r"begun with objective = held_out, not real"):
        search.run(replace(config, objective="real"))


def test_interrupted_trial_is_taken_up_with_what_was_drawn(tmp_path, imagined, monkeypatch):
    config, told = replace(PRESETS["smoke"], out=tmp_path), []
    whole = search.measure

    def measure(config, number, tables, questions):
        told.append((number, tables))
        if len(told) == 2:
            raise Interrupted
        return whole(config, number, tables, questions)

    monkeypatch.setattr(search, "measure", measure)
    with pytest.raises(Interrupted):
        search.run(config)
    search.run(config)
    assert [number for number, _ in told] == [0, 1, 1] and told[1] == told[2]


def test_search_without_a_value_says_so(tmp_path, imagined, monkeypatch):
    monkeypatch.setattr(
        search, "Tables", lambda: replace(Tables(), encoder=replace(Tables().encoder, width=16))
    )
    with pytest.raises(UserError, match=r"no trial in .* has a value"):
        search.run(replace(PRESETS["smoke"], out=tmp_path, num_trials=1))


@pytest.mark.rank_promotion_ok
@pytest.mark.parametrize(
    "source", ["generic", *(pytest.param(name, marks=pytest.mark.long) for name in ("released", "real"))]
)
def test_questions_of_all_sources(source, monkeypatch):
    monkeypatch.setattr(search_judges, "GENERIC", ("linear",))
    questions = search_judges.draw(jax.random.key(0), source, 5, 40)
    assert questions.x.shape == questions.y.shape == (len(questions.x), 40, 14) and len(questions.x) >= 4
    told = questions.y[:, :30]
    varies = told.any(axis=1)
    assert varies.any(axis=1).all() and not questions.y[:, :, 11:13].any()
    np.testing.assert_allclose(told.mean(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose(told.std(axis=1, ddof=1)[varies], 1, atol=1e-3)


@pytest.mark.long
@pytest.mark.rank_promotion_ok
def test_it_trains_and_judges(tmp_path, monkeypatch):
    """One trial, which is stopped between its training and its judgement."""
    config = replace(PRESETS["smoke"], out=tmp_path, held_out="released", num_trials=1)
    trained, whole = [], pretrain.run
    monkeypatch.setattr(pretrain, "run", lambda *a, **k: trained.append(a[2].name) or whole(*a, **k))

    def stop(*asked):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(search_judges, "log_errors", stop)
        with pytest.raises(Interrupted):
            search.run(config)
    search.run(config)
    search.run(config)
    search.plot(config)
    assert trained == ["000"]
    (line,) = read_csv(tmp_path / "search.csv")
    assert float(line["low"]) <= float(line["value"]) <= float(line["high"])
    assert -1 < float(line["value"]) < 3, "a model of two steps knows about as much as the mean"
    stored = json.loads((tmp_path / "trials" / "000" / "config.json").read_text())["config"]["pretrain"]
    assert stored["model"]["encoder"]["width"] == int(line["encoder.width"]) == 512
    assert not (tmp_path / "trials" / "000" / "checkpoints").exists()
    assert (tmp_path / "search.png").stat().st_size > 1000
