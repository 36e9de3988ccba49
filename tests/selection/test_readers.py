"""Layouts of meta-data sets: tiny ones written by hand, and the published ones where they are there."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.selection.readers import aslib, model_sizes
from synthenv.selection.readers.from_runs import Run, from_runs
from synthenv.selection.readers.registry import READERS, read_meta_dataset
from synthenv.selection.tables.columns import Column, original
from synthenv.selection.tables.meta_dataset import MetaDataset
from tests.selection.real_data import real_data

TOOL = {
    "config.csv": ",dataset,model,lr,frozen\n1,liver,big,0.1,True\n2,liver,small,0.01,\n3,gist,big,0.01,False\n",
    "curve.csv": ",0,1,2,3\n1,10,20,20,20\n2,5,6,7,8\n3,50,,,\n",
    "cost.csv": ",cost\n1,60\n2,40\n3,5\n",
    "meta.csv": ",dataset,classes,modality\n1,liver,2,CT\n2,liver,2,CT\n3,gist,,MRI\n",
}
MATRIX = {
    "perf_matrix.csv": ",cats,plain\ncats,0.9,0.0\ndogs,-0.2,0.5\nbirds,,0.7\n",
    "pipelines.csv": "pipeline,lr,score_type\ncats,0.1,auc\nplain,0.01,auc\nunused,1,auc\n",
    "meta_features.csv": ",classes,resolution_0\ncats,10,-1\ndogs,5,32\n",
}
SCENARIO = {
    "description.txt": "scenario_id: tiny\nperformance_type:\n- runtime\nalgorithm_cutoff_time: 100\n",
    "algorithm_runs.arff": "@RELATION r\n@ATTRIBUTE instance_id STRING\n@ATTRIBUTE repetition NUMERIC\n"
    "@ATTRIBUTE algorithm STRING\n@ATTRIBUTE runtime NUMERIC\n@ATTRIBUTE runstatus {ok, timeout, crash}\n@DATA\n"
    "% a comment\ni1,1,A,2.5,ok\ni1,1,B,100,timeout\n'i, 2',1,A,7,crash\n'i, 2',1,B,3,ok\ni1,2,A,99,ok\n",
    "feature_values.arff": "@relation f\n@attribute instance_id string\n@attribute repetition numeric\n"
    "@attribute 'number of rules' numeric\n@data\ni1,1,12\n'i, 2',1,?\n",
    "cv.arff": "@attribute instance_id string\n@attribute repetition numeric\n@attribute fold numeric\n@data\n"
    "i1,1,1\n'i, 2',1,2\n",
}
RUNS = [
    {"hp": {"lr": 0.1}, "train": {"loss": [9, 9, 9]}, "valid": {"loss": [2.0, 1.0, 0.5]}},
    {"hp": {"lr": 0.2}, "train": {"loss": [9, 9, 9]}, "valid": {"loss": [2.0, 1e9, 3.0]}},
    {"hp": {"lr": 0.3}, "train": {"loss": [9, 9, 9]}, "valid": {"loss": [4.0, None, None]}},
]
TASKS = {"one.json": json.dumps(RUNS), "two.json": json.dumps(RUNS[:1])}
SIZES = {
    "flan.csv": "config name,0,200,400,size,family\nA,4,3,2,1000,x\nB,29.5,2,1,1000000,y\n",
    "wmt.csv": "config name,0,200,400,size,family\nA,5,4,3,1000,x\n",
}


def write(path: Path, files: dict[str, str]) -> Path:
    """Write files into a directory."""
    for name, text in files.items():
        (path / name).write_text(text, "utf-8")
    return path


def test_quick_tune_tool(tmp_path):
    meta = read_meta_dataset(write(tmp_path, TOOL))
    assert meta.datasets == ("liver", "gist") and meta.lengths.tolist() == [2, 4, 1]
    np.testing.assert_allclose(np.nansum(meta.costs, 1), [60, 40, 5])
    np.testing.assert_allclose(meta.costs[0], [30, 30, np.nan, np.nan])
    assert meta.meta_names == ("classes", "modality=CT", "modality=MRI")
    np.testing.assert_allclose(meta.meta_features, [[2, 1, 0], [np.nan, 0, 1]])
    assert original(meta.columns, meta.configs[0]) == {"model": "big", "lr": 0.1, "frozen": True}
    assert read_meta_dataset(tmp_path, flat_tails=True).lengths.tolist() == [4, 4, 1]


def test_autodl_matrix(tmp_path):
    meta = read_meta_dataset(write(tmp_path, MATRIX))
    np.testing.assert_allclose(meta.matrix(), [[0.9, np.nan], [-0.2, 0.5], [np.nan, 0.7]])
    assert meta.crashed.sum() == 1 and meta.score_range == (-1.0, 1.0)
    assert meta.tuned_on is not None and meta.tuned_on.tolist() == [0, -1]
    np.testing.assert_allclose(meta.meta_features, [[10, np.nan], [5, 32], [np.nan, np.nan]])
    as_scores = read_meta_dataset(tmp_path, metric="score")
    assert not as_scores.crashed.any() and as_scores.matrix()[0, 1] == 0.0


def test_matrix_alone(tmp_path):
    (tmp_path / "mine.csv").write_text("data,a,b\nx,80,0\ny,90.5,100\n")
    meta = read_meta_dataset(tmp_path / "mine.csv")
    assert meta.score_range == (0.0, 100.0) and meta.num_steps == 1 and not meta.crashed.any()
    assert [original(meta.columns, row) for row in meta.configs] == [{"pipeline": "a"}, {"pipeline": "b"}]


def test_aslib(tmp_path):
    meta = read_meta_dataset(write(tmp_path, SCENARIO))
    np.testing.assert_allclose(meta.matrix(), [[-2.5, -1000], [np.nan, -3]])
    assert meta.crashed.tolist() == [False, False, True, False] and meta.score_range == (-1000.0, 0.0)
    np.testing.assert_allclose(meta.costs[:, 0], [2.5, 100, 7, 3])
    assert meta.meta_names == ("number of rules",)
    np.testing.assert_allclose(meta.meta_features, [[12], [np.nan]])
    assert aslib.read_folds(tmp_path) == {"i1": 1, "i, 2": 2}
    quality = SCENARIO["description.txt"].replace("- runtime", "- solution_quality\nmaximize:\n- true")
    best = read_meta_dataset(write(tmp_path, {"description.txt": quality}))
    np.testing.assert_allclose(best.matrix(), [[2.5, 100], [np.nan, 3]])


def test_taskset(tmp_path):
    meta = read_meta_dataset(write(tmp_path, TASKS))
    nan = np.nan
    np.testing.assert_allclose(
        meta.curves,
        [[0.5, 2 / 3, 0.8], [0.5, nan, nan], [1 / 3, nan, nan], [0.5, 2 / 3, 0.8]],
        rtol=1e-6,
    )
    assert meta.crashed.tolist() == [False, True, True, False]
    assert meta.config_of.tolist() == [0, 1, 2, 0] and np.isnan(meta.costs).all()
    assert (read_meta_dataset(tmp_path, split="train").curves == 0.5).all()


def test_taskset_of_other_configurations(tmp_path):
    meta = read_meta_dataset(write(tmp_path, {**TASKS, "two.json": json.dumps(RUNS[1:])}))
    assert meta.config_names == ("run 0", "run 1", "run 2", "two 0", "two 1")


def test_model_sizes(tmp_path):
    meta = read_meta_dataset(write(tmp_path, SIZES))
    assert meta.datasets == ("flan", "wmt") and meta.score_range == (-30.0, 0.0)
    np.testing.assert_allclose(meta.curves, [[-4, -3, -2], [-29.5, -2, -1], [-5, -4, -3]])
    assert original(meta.columns, meta.configs[1]) == {"family": "y", "parameters": pytest.approx(1e6)}
    assert model_sizes.training_sizes(tmp_path) == (0, 200, 400)
    assert read_meta_dataset(tmp_path / "wmt.csv").datasets == ("wmt",)


LAYOUTS: dict[str, dict[str, str]] = {
    "quick_tune_tool": TOOL,
    "matrix": MATRIX,
    "aslib": SCENARIO,
    "taskset": TASKS,
    "model_sizes": SIZES,
}
# layout, file, what is replaced by what (all of the file if it is empty), and what the error says
BROKEN = {
    "a curve without costs": ("quick_tune_tool", "cost.csv", "3,5\n", "", "cost.csv has no run 3"),
    "a negative cost": ("quick_tune_tool", "cost.csv", "40", "-4", "run 1 .* has a cost below 0"),
    "an infinite cost": ("quick_tune_tool", "cost.csv", "40", "inf", "line 3, column cost holds an infinite"),
    "a wrong header": ("quick_tune_tool", "cost.csv", "cost", "seconds", "cost.csv has no column 'cost'"),
    "no data sets": ("quick_tune_tool", "meta.csv", "dataset", "task", "meta.csv has no column 'dataset'"),
    "two meta-features": (
        "quick_tune_tool",
        "meta.csv",
        "2,liver,2",
        "2,liver,3",
        "line 3 has another classes",
    ),
    "above 100 %": ("quick_tune_tool", "curve.csv", "50", "500", "run 2 .* outside of 0 to 100"),
    "a row twice": ("quick_tune_tool", "curve.csv", "2,5", "1,5", "line 3 is there twice, as 1"),
    "a nameless run": ("quick_tune_tool", "curve.csv", "2,5", ",5", "line 3 has no name"),
    "an open quote": ("quick_tune_tool", "config.csv", "big", '"big', "config.csv, line 4 is no csv"),
    "only a header": ("quick_tune_tool", "cost.csv", "", ",cost\n", "a header and no lines"),
    "a short line": ("matrix", "perf_matrix.csv", "0.9,", "", "line 2 has 2 cells, where the header has 3"),
    "a word": ("matrix", "perf_matrix.csv", "0.9", "good", "line 2, column cats holds 'good'"),
    "an ALC above 1": ("matrix", "perf_matrix.csv", "0.9", "1.9", "run 0 .* outside of -1 to 1"),
    "an empty matrix": ("matrix", "perf_matrix.csv", "", "\n", "perf_matrix.csv is empty"),
    "no numbers": ("matrix", "perf_matrix.csv", "", ",a\nx,\n", "holds no runs"),
    "a data set twice": ("matrix", "perf_matrix.csv", "dogs", "cats", "line 3 is there twice, as cats"),
    "a pipeline twice": ("matrix", "perf_matrix.csv", "plain", "cats", "two columns called 'cats'"),
    "no cutoff": ("aslib", "description.txt", "100", "'?'", "description.txt has no algorithm_cutoff_time"),
    "no attribute": ("aslib", "algorithm_runs.arff", "runstatus", "status", "no attribute 'runstatus'"),
    "a short data line": (
        "aslib",
        "algorithm_runs.arff",
        "2.5,ok",
        "ok",
        "line 9 has 4 cells, where there are 5",
    ),
    "no data": ("aslib", "cv.arff", "i1,1,1\n'i, 2',1,2\n", "", "cv.arff has no data"),
    "a run twice": ("aslib", "algorithm_runs.arff", "i1,1,B,100", "i1,1,A,100", "run 0 .* is there twice"),
    "a negative loss": ("taskset", "one.json", "0.5", "-0.5", "run 0 has a loss below 0"),
    "no loss": ("taskset", "one.json", "valid", "other", "run 0 has no hp or no valid loss"),
    "all NaN": ("taskset", "two.json", "2.0, 1.0, 0.5", "NaN, NaN, NaN", "no run with a valid loss above 0"),
    "no parameters": ("model_sizes", "flan.csv", "1000,x", ",x", "line 2 has no number of parameters"),
    "other sizes": ("model_sizes", "wmt.csv", "400", "500", "has other sizes of the training set"),
    "another family": ("model_sizes", "wmt.csv", "1000,x", "1000,y", "another size or family for A"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_tables(tmp_path, what):
    layout, file, old, new, message = BROKEN[what]
    text = LAYOUTS[layout][file]
    assert old in text
    write(tmp_path, {**LAYOUTS[layout], file: text.replace(old, new) if old else new})
    with pytest.raises(UserError, match=message) as caught:
        aslib.read_folds(tmp_path) if file == "cv.arff" else read_meta_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_scores_of_no_usual_range(tmp_path):
    with pytest.raises(UserError, match=r"has scores from 0.1 to 1000, and scores lie within one of 0 to 1"):
        read_meta_dataset(write(tmp_path, {"perf_matrix.csv": ",a,b\nx,0.1,1000\n"}))


def test_one_data_set_is_read(tmp_path):
    assert read_meta_dataset(write(tmp_path, {"perf_matrix.csv": ",a,b\nx,0.1,0.2\n"})).datasets == ("x",)


def test_other_encodings(tmp_path):
    (tmp_path / "perf_matrix.csv").write_bytes(",a\nx,1\nMünster,2\n".encode("latin-1"))
    with pytest.raises(UserError, match="line 3 is not UTF-8"):
        read_meta_dataset(tmp_path)
    (tmp_path / "perf_matrix.csv").write_bytes(
        "\ufeff,a\r\nMünster,1\r\n".encode()
    )  # as spreadsheets save it
    assert read_meta_dataset(tmp_path).datasets == ("Münster",)


def test_what_no_layout_fits(tmp_path):
    with pytest.raises(UserError, match="no known layout: looked for perf_matrix") as caught:
        read_meta_dataset(tmp_path)
    assert all(name in str(caught.value) for name in READERS)
    with pytest.raises(UserError, match=r"there is no .*nowhere"):
        read_meta_dataset(tmp_path / "nowhere")
    with pytest.raises(UserError, match="unknown layout of meta-data sets 'zap'"):
        read_meta_dataset(tmp_path, "zap")
    with pytest.raises(UserError, match="no option 'seed': it takes metric"):
        read_meta_dataset(tmp_path, "matrix", seed=1)


def test_runs_of_ones_own():
    with pytest.raises(UserError, match="run of b on x has no configuration"):
        from_runs([Run("x", "b", [0.5])], {"a": {"lr": 1}})
    with pytest.raises(UserError, match="run of a on x has 1 scores and 2 costs"):
        from_runs([Run("x", "a", [0.5], [1, 2])], {"a": {"lr": 1}})
    with pytest.raises(UserError, match="betas cannot be"):
        from_runs([Run("x", "a", [0.5])], {"a": {"betas": [0.9, 0.99]}})
    lr = Column("lr", "number", 0.1, 1.0)
    with pytest.raises(UserError, match="configuration 0: lr cannot be inf: pass a finite number"):
        from_runs([Run("x", "a", [0.5])], {"a": {"lr": np.inf}}, columns=[lr])
    with pytest.raises(UserError, match="configuration 0: lr is a number, not 'fast'"):
        from_runs([Run("x", "a", [0.5])], {"a": {"lr": "fast"}}, columns=[lr])
    with pytest.raises(UserError, match="data set x has an infinite meta-feature"):
        from_runs([Run("x", "a", [0.5])], {"a": {"lr": 1}}, {"x": {"size": np.inf}})
    meta = from_runs([Run("x", "a", [0.5]), Run("x", "b", [0.1, 0.2])], {"a": {"lr": 1}, "b": {"lr": 2}})
    assert isinstance(meta, MetaDataset) and meta.lengths.tolist() == [1, 2] and np.isnan(meta.costs).all()


def test_places_that_are_none():
    meta = from_runs([Run("x", "a", [0.5])], {"a": {"lr": 1}})
    with pytest.raises(UserError, match="config_of of a meta-data set has a place outside of 0 to 0"):
        dataclasses.replace(meta, config_of=np.array([1], np.int32))
    with pytest.raises(
        UserError, match=r"tuned_on of a meta-data set has the shape .2,., where .1,. belongs"
    ):
        dataclasses.replace(meta, tuned_on=np.array([0, 0], np.int32))


SHAPES = {  # data sets, configurations, runs, steps, scores, crashes
    "medquicktune_portfolio": (6, 505, 505, 25, None, 0),
    "zap": (525, 525, 525 * 525, 1, 525 * 525, 0),
    "autodl_zap_precursor/autofolio_21x4": (21, 4, 84, 1, 84, 0),
    "autodl_zap_precursor/resnet_oldcs_24x20": (24, 20, 480, 1, 480, 0),
    "autodl_zap_precursor/effnet_oldcs_23x18": (23, 18, 414, 1, 350, 64),
    "autodl_zap_precursor/newcs_newdata_20x21": (20, 21, 420, 1, 400, 20),
    "aslib/ASP-POTASSCO": (1294, 11, 1294 * 11, 1, None, 0),
    "taskset": (8, 1000, 8000, 51, None, 740),
    "llm_scaling_law": (2, 30, 60, 15, 900, 0),
}


@pytest.mark.parametrize("name", SHAPES)
def test_real_ones(name):
    meta = read_meta_dataset(real_data(name))
    datasets, configs, runs, steps, scores, crashes = SHAPES[name]
    assert (len(meta.datasets), len(meta.config_names), *meta.curves.shape) == (
        datasets,
        configs,
        runs,
        steps,
    )
    assert scores is None or meta.lengths.sum() == scores
    assert meta.crashed.sum() == crashes
    assert not name.startswith("autodl") or len(meta.meta_names) >= 4
