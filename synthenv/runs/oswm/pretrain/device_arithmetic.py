"""The share of a device's arithmetic that a program uses: operations that it needs, over those the device can do.

Operations are those of the matrix products, counted in the traced program. XLA's own count of a compiled program misses
products that a backend hands to a library, and counts the body of a loop once; and only products are what the peak is
measured with. Elementwise work is not counted, so a share is a lower bound.
"""

import math
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_REPEATS = 5


def count_flops(jaxpr: Any) -> int:
    """Count the floating-point operations of all matrix products of a traced program that its results depend on.

    A loop whose length is not known counts once, and of several branches the most expensive one counts.

    Args:
        jaxpr: closed, as ``jax.jit(f).trace(...).jaxpr``.
    """
    used = dce_jaxpr(jaxpr.jaxpr, [True] * len(jaxpr.jaxpr.outvars))[0]
    return _count(used)


def _count(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[i] for i in contracted)
            continue
        inner = [_count(part) for part in _inner(equation.params)]
        if equation.primitive.name == "cond":
            inner = [max(inner)]
        total += equation.params.get("length", 1) * sum(inner)
    return total


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """Yield the programs inside an equation: bodies of loops, branches and calls."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                yield item


def measure_peak(mesh: Mesh, precision: str | None) -> float:
    """Measure operations per second of large square matrix products, one on each device at the same time.

    The best of a few short runs counts, because other work on the machine is no property of the device.

    Args:
        mesh: the devices, along one axis.
        precision: precision of the products; see ``jax.default_matmul_precision``.
    """
    size = 1024 if mesh.devices.flat[0].platform == "cpu" else 8192
    spread = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
    with jax.default_matmul_precision(precision):
        product = jax.jit(lambda x: x @ x, out_shardings=spread).lower(
            jax.ShapeDtypeStruct((mesh.size, size, size), jnp.float32, sharding=spread)
        )
        product = product.compile()
    x = jax.device_put(jnp.zeros((mesh.size, size, size)), spread)
    product(x).block_until_ready()
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        product(x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2.0 * mesh.size * size**3 / min(seconds)
