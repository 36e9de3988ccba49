"""Search spaces of ConfigSpace as columns."""

import warnings

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.space import SearchSpace, read_space, search_space
from tests.selection.real_data import real_data

cs = pytest.importorskip("ConfigSpace")


@pytest.fixture
def space() -> SearchSpace:
    """Something of everything, with a condition."""
    source = cs.ConfigurationSpace()
    opt = cs.CategoricalHyperparameter("opt", ["sgd", "adam"])
    momentum = cs.Float("momentum", (0.1, 0.9))
    source.add(
        opt,
        momentum,
        cs.Float("lr", (1e-5, 0.1), log=True),
        cs.Integer("layers", (1, 4)),
        cs.Integer("units", (8, 1024), log=True),
        cs.OrdinalHyperparameter("drop", [0, 0.1, 0.5]),
        cs.Constant("epochs", 50),
        cs.EqualsCondition(momentum, opt, "sgd"),
    )
    return search_space(source)


def test_columns(space):
    by_name = {column.name: column for column in space.columns}
    assert set(by_name) == {"opt", "momentum", "lr", "layers", "units", "drop"}
    assert by_name["lr"] == Column("lr", "number", 1e-5, 0.1, is_log=True)
    assert by_name["layers"] == Column("layers", "levels", values=(1, 2, 3, 4))
    assert by_name["units"].kind == "number" and by_name["units"].is_log
    assert by_name["opt"].values == ("sgd", "adam") and by_name["drop"].values == (0, 0.1, 0.5)


def test_there_and_back(space):
    drawn = space.sample(200, seed=3)
    rows = space.encode(drawn)
    names = [column.name for column in space.columns]
    inactive = np.array([config["opt"] == "adam" for config in drawn])
    assert 50 < inactive.sum() < 150
    np.testing.assert_array_equal(np.isnan(rows[:, names.index("momentum")]), inactive)
    assert np.isnan(rows).sum() == inactive.sum() and np.nanmin(rows) >= 0
    back = [space.decode(row) for row in rows]
    np.testing.assert_array_equal(space.encode(back), rows)
    for config, again in zip(drawn, back, strict=True):
        assert again == {
            name: pytest.approx(x, rel=1e-5) if isinstance(x, float) else x for name, x in config.items()
        }
        assert again["epochs"] == 50 and isinstance(again["units"], int)
    assert space.sample(2, seed=3) == drawn[:2] and space.sample(2, seed=4) != drawn[:2]


GOOD = {"opt": "adam", "lr": 0.01, "layers": 2, "units": 64, "drop": 0.1}
BROKEN = {
    "an unknown category": ({"opt": "lion"}, "Value lion.* is not allowed"),
    "out of bounds": ({"lr": 1.0}, "Value 1.0.* is not allowed"),
    "inactive": ({"momentum": 0.5}, "inactive but has a value"),
    "missing": ({"lr": None}, "active but has no value"),
    "unknown": ({"depth": 3}, "Unknown hyperparameter.*depth"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_none_of_the_space(space, what):
    changed, message = BROKEN[what]
    with pytest.raises(
        UserError, match=f"configuration 1 does not lie in the search space: .*{message}"
    ) as caught:
        space.encode([GOOD, GOOD | changed])
    assert "\n" not in str(caught.value)


def test_spaces_without_bounds_and_other_things():
    source = cs.ConfigurationSpace()
    source.add(cs.NormalFloatHyperparameter("lr", mu=0, sigma=1, lower=-1, upper=1))
    assert search_space(source).columns == (Column("lr", "number", -1.0, 1.0),)
    with pytest.raises(UserError, match=r"a search space is a ConfigSpace.ConfigurationSpace, not a dict"):
        search_space({"lr": (0, 1)})


def test_files(space, tmp_path):
    file = tmp_path / "space.json"
    space.source.to_json(file)
    assert read_space(file).columns == space.columns
    file.write_text('{"hyperparameters": [{"name": "lr"}]}')
    with pytest.raises(UserError, match=r"space.json is no space that ConfigSpace has written"):
        read_space(file)
    with pytest.raises(UserError, match=r"cannot use .*nowhere.json"):
        read_space(tmp_path / "nowhere.json")


def test_real_one():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space = read_space(real_data("quicktune_extended") / "space.json")
    assert len(space.columns) == 32
    drawn = space.sample(20, seed=0)
    assert [space.decode(row) for row in space.encode(drawn)] == drawn
