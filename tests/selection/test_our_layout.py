"""Our own layout: whatever was written is read back to the bit."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synthenv.core.errors import UserError
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.readers.write import write_meta_dataset
from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.meta_dataset import MetaDataset
from tests.selection.real_data import real_data

COLUMNS = (
    Column("lr", "number", 1e-5, 0.1, is_log=True),
    Column("momentum", "number", 0.1, 0.99),
    Column("layers", "levels", values=(1, 2.5, 4.0)),
    Column("opt, or none", "choice", values=("sgd", "None", True)),
    Column("odd", "choice", values=("1", 1, "")),  # texts cannot tell these apart
)


def meta_of(**changed: object) -> MetaDataset:
    """Two runs of two configurations on two data sets, with something of everything."""
    nan = np.nan
    small = MetaDataset(
        datasets=("cats", 'dogs, "all"'),
        columns=COLUMNS,
        config_names=("a", "b"),
        configs=np.array([[0.5, nan, 0.5, 2, 1], [0.1, 1 / 3, nan, 0, nan]], np.float32),
        dataset_of=np.array([1, 0], np.int32),
        config_of=np.array([0, 1], np.int32),
        curves=np.array([[0.1, nan, 0.3], [1e-30, 1.0, nan]], np.float32),
        costs=np.array([[1, 2, nan], [nan, 0.1, 3e10]], np.float32),
        crashed=np.array([False, True]),
        meta_names=("size",),
        meta_features=np.array([[nan], [-0.0]], np.float32),
        score_name="accuracy",
        tuned_on=np.array([-1, 1], np.int32),
    )
    return dataclasses.replace(small, **changed)


def assert_same(one: MetaDataset, other: MetaDataset) -> None:
    """To the bit, NaN and the signs of zeros included."""
    for field in dataclasses.fields(MetaDataset):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and a.shape == b.shape, field.name
            np.testing.assert_array_equal(a, b, field.name)
            assert a.dtype.kind != "f" or (np.signbit(a) == np.signbit(b))[~np.isnan(a)].all(), field.name
        else:
            assert a == b and repr(a) == repr(b), field.name


def there_and_back(meta: MetaDataset, path: Path) -> MetaDataset:
    write_meta_dataset(meta, path)
    return read_meta_dataset(path)


def test_small_one(tmp_path):
    meta = meta_of()
    assert_same(there_and_back(meta, tmp_path), meta)
    text = (tmp_path / "configs.csv").read_text().splitlines()
    assert text[1].endswith(",,2.5,True,1.0") and text[2].split(",")[4] == "sgd"  # as a person reads them


def test_without_what_is_optional(tmp_path):
    costs = np.full((2, 3), np.nan, np.float32)
    bare = meta_of(costs=costs, tuned_on=None, columns=(), configs=np.zeros((2, 0), np.float32))
    bare = dataclasses.replace(bare, meta_names=(), meta_features=np.zeros((2, 0), np.float32))
    assert_same(there_and_back(bare, tmp_path), bare)
    assert not (tmp_path / "costs.csv").exists() and not (tmp_path / "tuned_on.csv").exists()


def test_over_another_one(tmp_path):
    write_meta_dataset(meta_of(), tmp_path)
    bare = meta_of(costs=np.full((2, 3), np.nan, np.float32), tuned_on=None)
    assert_same(there_and_back(bare, tmp_path), bare)


STORED = hnp.arrays(
    np.float32, (2, 4), elements=st.floats(0, 1, width=32) | st.just(np.nan) | st.sampled_from([0.5, 1e-40])
)
NUMBERS = hnp.arrays(np.float32, (2, 3), elements=st.floats(0, 2.0**100, width=32) | st.just(np.nan))
NAMES = st.lists(
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=2, max_size=2, unique=True
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=STORED, costs=NUMBERS, names=NAMES, curves=STORED)
def test_any(tmp_path, stored, costs, names, curves):
    curves = np.array(curves[:, :3])
    curves[0, 0] = 0.25  # one score at least
    configs = np.concatenate([stored, np.array([[np.nan], [0]], np.float32)], axis=1)
    configs[:, 3] = np.round(configs[:, 3])
    meta = meta_of(
        configs=configs, costs=costs, datasets=tuple(names), config_names=tuple(names), curves=curves
    )
    assert_same(there_and_back(meta, tmp_path), meta)


BROKEN = {
    "another version": ("meta_dataset.json", '"version": 1', '"version": 2', "is of no version that we know"),
    "no columns": ("meta_dataset.json", '"columns"', '"kolumns"', "meta_dataset.json is damaged"),
    "a column's name": ("configs.csv", "lr", "rate", "configs.csv has no column 'lr'"),
    "an unknown choice": ("configs.csv", "sgd", "adam", "line 3: opt, or none has no value 'adam'"),
    "a word for a number": ("configs.csv", "0.001", "low", "line 2: lr is a number, not 'low"),
    "an unknown configuration": ("runs.csv", "cats,b", "cats,c", "line 3 has a config 'c' that configs.csv"),
    "a run too many": ("runs.csv", "cats,b,1\n", "cats,b,1\ncats,a,0\n", "has 2 runs, where runs.csv has 3"),
    "another order": ("curves.csv", "1,1e-30", "2,1e-30", "line 3 is of run 2, where 1 belongs"),
    "perhaps a crash": ("runs.csv", "b,1", "b,perhaps", "line 3 has crashed 'perhaps'"),
    "nowhere tuned": (
        "tuned_on.csv",
        "b,",
        "c,",
        "line 3 has a configuration or a data set that is not there",
    ),
    "a lost file": ("curves.csv", None, None, "cannot use .*curves.csv"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_ones(tmp_path, what):
    write_meta_dataset(meta_of(), tmp_path)
    file, old, new, message = BROKEN[what]
    text = (tmp_path / file).read_text()
    (tmp_path / file).unlink()
    if old is not None:
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        read_meta_dataset(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", " cats", "cats\ndogs"])
def test_names_that_no_csv_holds(tmp_path, name):
    with pytest.raises(UserError, match="cannot be a name"):
        write_meta_dataset(meta_of(datasets=(name, "dogs")), tmp_path)


def test_no_pickle_and_plain_json(tmp_path):
    write_meta_dataset(meta_of(), tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".csv", ".json"}
    assert json.loads((tmp_path / "meta_dataset.json").read_text())["score_range"] == [0.0, 1.0]


def test_real_one(tmp_path):
    meta = read_meta_dataset(real_data("medquicktune_portfolio"))
    assert_same(there_and_back(meta, tmp_path), meta)
