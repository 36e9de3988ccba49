"""Small feed-forward networks stored as ONNX, evaluated in JAX.

Only the operations that tabular surrogates are made of are known. What depends on no input (constants, shapes) is
computed by NumPy when the function is traced, so that slices have fixed bounds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError

Network = Callable[[dict[str, jax.Array]], dict[str, jax.Array]]
_PLAIN: dict[str, Callable[..., Any]] = {
    "Add": jnp.add,
    "Sub": jnp.subtract,
    "Mul": jnp.multiply,
    "Relu": jax.nn.relu,
    "Sigmoid": jax.nn.sigmoid,
    "Log": jnp.log,
    "Exp": jnp.exp,
    "Shape": lambda x: np.array(x.shape),
    "Unsqueeze": lambda x, axes: jnp.expand_dims(x, tuple(map(int, axes))),
}
_ON_SHAPES = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.floor_divide}


def read_network(path: Path) -> Network:
    """The function of a stored network: arrays by the names of its inputs to arrays by the names of its outputs.

    Raises:
        UserError: onnx is not installed, the file is damaged, or it has an operation that is not known here.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise UserError(
            f"{path.name} needs onnx, which is not installed: pip install 'synthenv[select]'"
        ) from None
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # the parser's own errors have no common base
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is no ONNX network ({line}): copy it again from where it came") from None
    known = {"Cast", "Constant", "Concat", "Div", "Gather", "Gemm", "Slice", "BatchNormalization", *_PLAIN}
    if strange := sorted({node.op_type for node in graph.node} - known):
        raise UserError(
            f"{path} has the operation {strange[0]}, which is not known here: add it to {__name__}"
        )
    weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    nodes = [
        (node.op_type, list(node.input), node.output[0], _attributes(node, onnx, numpy_helper))
        for node in graph.node
    ]
    outputs = [output.name for output in graph.output]

    def network(inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        values: dict[str, Any] = {**weights, **inputs}
        with jax.numpy_rank_promotion("allow"):  # as ONNX itself does
            for operation, names, result, attributes in nodes:
                values[result] = _apply(operation, [values[name] for name in names], attributes)
        return {name: values[name] for name in outputs}

    return network


def _attributes(node: Any, onnx: Any, numpy_helper: Any) -> dict[str, Any]:
    found = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Constant":
        found["value"] = numpy_helper.to_array(found["value"])
    if node.op_type == "Cast":
        found["to"] = onnx.helper.tensor_dtype_to_np_dtype(found["to"])
    return found


def _apply(operation: str, values: list[Any], attributes: dict[str, Any]) -> Any:
    if operation == "Constant":
        return attributes["value"]
    first = values[0]
    fixed = all(isinstance(value, np.ndarray | np.generic) for value in values)
    if operation in _ON_SHAPES and fixed and np.issubdtype(np.asarray(first).dtype, np.integer):
        return _ON_SHAPES[operation](*values)
    if operation == "Div":
        return first / values[1]
    if operation == "Cast":
        return first.astype(attributes["to"] if fixed else jax.dtypes.canonicalize_dtype(attributes["to"]))
    if operation == "Concat":
        return jnp.concatenate(values, axis=attributes["axis"])
    if operation == "Gather":
        return (np if fixed else jnp).take(first, values[1], axis=attributes.get("axis", 0))
    if operation == "Gemm":
        return _gemm(*values, **attributes)
    if operation == "Slice":
        return _slice(*values)
    if operation == "BatchNormalization":
        return _normalise(*values, epsilon=attributes.get("epsilon", 1e-5))
    return _PLAIN[operation](*values)


def _gemm(
    a: jax.Array,
    b: jax.Array,
    c: jax.Array | float = 0.0,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> jax.Array:
    product = jnp.matmul(a.T if transA else a, b.T if transB else b, precision="highest")
    return alpha * product + beta * c


def _slice(x: jax.Array, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> jax.Array:
    axes = range(len(starts)) if axes is None else np.ravel(axes)
    steps = [1] * len(starts) if steps is None else np.ravel(steps)
    place = [slice(None)] * x.ndim
    for start, end, axis, step in zip(np.ravel(starts), np.ravel(ends), axes, steps, strict=True):
        place[int(axis)] = slice(int(start), int(end), int(step))
    return x[tuple(place)]


def _normalise(x: jax.Array, scale: Any, shift: Any, mean: Any, variance: Any, epsilon: float) -> jax.Array:
    return (x - mean) / np.sqrt(variance + np.float32(epsilon)) * scale + shift
