"""YAHPO's surrogate of LCBench in JAX says what ONNX's own evaluator says."""

import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.selection.readers.lcbench import load_surrogate
from synthenv.selection.readers.onnx_network import read_network
from synthenv.selection.readers.registry import read_meta_dataset
from tests.selection.real_data import real_data

onnx = pytest.importorskip("onnx")
NUMBERS = ("batch_size", "epoch", "learning_rate", "max_dropout", "max_units", "momentum", "num_layers")
SPACE = [
    {
        "name": name,
        "type": "uniform_int" if name in ("epoch", "num_layers") else "uniform_float",
        "lower": 1,
        "upper": 4,
    }
    for name in (*NUMBERS, "weight_decay")
]
TASK = {"name": "OpenML_task_id", "type": "categorical", "choices": ["7", "3945"]}


def tiny(path: Path, operation: str = "Sigmoid") -> Path:
    """A surrogate of two tasks with the real one's inputs: an embedding, halves of a layer, six outputs."""
    from onnx import TensorProto, helper, numpy_helper

    draws = np.random.default_rng(0)
    weights = {
        "table": draws.normal(size=(3, 2)),
        "w1": 0.2 * draws.normal(size=(8, 10)),
        "b1": draws.normal(size=8),
        "scale": np.full(8, 1.5),
        "shift": np.full(8, 0.1),
        "mean": np.full(8, 0.2),
        "variance": np.full(8, 4.0),
        "w2": draws.normal(size=(6, 4)),
        "b2": draws.normal(size=6),
    }
    constants = {"zero": [0], "one": [1], "two": [2], "hundred": [100.0]}
    arrays = {n: np.array(x, np.float32 if n == "hundred" else np.int64) for n, x in constants.items()}
    nodes = [
        helper.make_node("Constant", [], [n], value=numpy_helper.from_array(x)) for n, x in arrays.items()
    ]
    nodes += [
        helper.make_node("Cast", ["x_cat"], ["cat"], to=TensorProto.INT64),
        helper.make_node("Gather", ["cat", "first"], ["place"], axis=1),
        helper.make_node("Gather", ["table", "place"], ["embedded"]),
        helper.make_node("Concat", ["embedded", "x_cont"], ["all"], axis=1),
        helper.make_node("Gemm", ["all", "w1", "b1"], ["h"], transB=1),
        helper.make_node("Shape", ["h"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["width"]),
        helper.make_node("Div", ["width", "two"], ["half"]),
        helper.make_node("BatchNormalization", ["h", "scale", "shift", "mean", "variance"], ["n"]),
        helper.make_node("Slice", ["n", "zero", "half", "one"], ["left"]),
        helper.make_node("Slice", ["n", "half", "width", "one"], ["right"]),
        helper.make_node("Relu", ["right"], ["gate"]),
        helper.make_node("Mul", ["left", "gate"], ["product"]),
        helper.make_node("Gemm", ["product", "w2", "b2"], ["logits"], transB=1),
        helper.make_node(operation, ["logits"], ["shares"]),
        helper.make_node("Mul", ["shares", "hundred"], ["output"]),
    ]
    stored = [numpy_helper.from_array(x.astype(np.float32), n) for n, x in weights.items()]
    stored.append(numpy_helper.from_array(np.array(0, np.int64), "first"))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("x_cat", TensorProto.INT32, ["n", 1]),
            helper.make_tensor_value_info("x_cont", TensorProto.FLOAT, ["n", 8]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 6])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    onnx.save(model, path / "model.onnx")
    (path / "config_space.json").write_text(json.dumps({"hyperparameters": [TASK, *SPACE]}))
    (path / "encoding.json").write_text(json.dumps({"OpenML_task_id": {"7": 1, "3945": 2}}))
    return path


def check_against_onnx(path: Path, num_rows: int) -> None:
    """Every output of some rows, drawn within the bounds, to a relative 1e-4."""
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(path / "model.onnx")
    # Below version 14 the evaluator mixes the batch's own statistics into a normalisation with one output, which the
    # standard does not; from there on it asks for training_mode, which is 0. All other operations are the same.
    model.opset_import[0].version = 15
    surrogate = load_surrogate(path)
    configs = surrogate.sample(num_rows, seed=1)
    names = (
        "batch_size",
        "learning_rate",
        "momentum",
        "weight_decay",
        "num_layers",
        "max_units",
        "max_dropout",
    )
    epochs = np.arange(num_rows) % surrogate.num_epochs + 1
    numbers = np.array(
        [[e, *(c[n] for n in names)] for e, c in zip(epochs, configs, strict=True)], np.float32
    )
    tasks = np.resize(list(surrogate.tasks.values()), (num_rows, 1)).astype(np.int32)
    want = next(iter(ReferenceEvaluator(model).run(None, {"x_cat": tasks, "x_cont": numbers})))
    (have,) = surrogate.network({"x_cat": jnp.asarray(tasks), "x_cont": jnp.asarray(numbers)}).values()
    np.testing.assert_allclose(have, np.asarray(want), rtol=1e-4, atol=1e-4)


def test_small_network(tmp_path):
    check_against_onnx(tiny(tmp_path), 16)


def test_small_surrogate(tmp_path):
    meta = read_meta_dataset(tiny(tmp_path), num_configs=3, seed=5)
    assert meta.datasets == ("7", "3945") and meta.curves.shape == (6, 4) and meta.config_names[0] == "5-0"
    assert (meta.costs >= 0).all() and not np.isnan(meta.curves).any()
    again = read_meta_dataset(tmp_path, num_configs=3, seed=5)
    np.testing.assert_array_equal(meta.curves, again.curves)
    assert not np.array_equal(meta.configs, read_meta_dataset(tmp_path, num_configs=3, seed=6).configs)


def test_what_it_does_not_know(tmp_path, monkeypatch):
    surrogate = load_surrogate(tiny(tmp_path))
    with pytest.raises(UserError, match="knows no task '1': it knows 7, 3945"):
        surrogate.curves(surrogate.sample(1, 0), ["1"])
    with pytest.raises(UserError, match="needs momentum of every configuration"):
        surrogate.curves([{"batch_size": 2, "learning_rate": 2}], ["7"])
    with pytest.raises(UserError, match="num_configs cannot be 0"):
        read_meta_dataset(tmp_path, num_configs=0)
    with pytest.raises(UserError, match="operation Tanh, which is not known here"):
        read_network(tiny(tmp_path, "Tanh") / "model.onnx")
    (tmp_path / "encoding.json").write_text('{"OpenML_task_id": {"7": 1}}')
    with pytest.raises(UserError, match=r"encoding.json has no number of the task 3945"):
        load_surrogate(tmp_path)
    (tmp_path / "config_space.json").write_text('{"hyperparameters": []}')
    with pytest.raises(UserError, match="has no OpenML_task_id: this is no space of LCBench"):
        load_surrogate(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"torn")
    with pytest.raises(UserError, match="is no ONNX network"):
        read_network(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"needs onnx, .*synthenv\[select\]"):
        read_network(tmp_path / "model.onnx")


def test_real_network():
    check_against_onnx(real_data("lcbench_surrogate"), 40)


def test_real_surrogate():
    meta = read_meta_dataset(real_data("lcbench_surrogate"), num_configs=4)
    assert (len(meta.datasets), *meta.curves.shape) == (34, 136, 52)
    assert np.median(meta.curves[:, -1]) > np.median(meta.curves[:, 0]) + 5
