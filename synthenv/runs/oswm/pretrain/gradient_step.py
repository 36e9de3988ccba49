"""Gradient steps of a pretraining: on all devices, in the device's precision, and timed.

The batch's axis B is spread over the devices and the weights are on all of them, so XLA adds the gradients up and a
step is the same function of its batch on any number of devices, but for the order of that sum. Where the device has
them, matrix products round their inputs to bfloat16 and add up in float32; weights, and everything else, stay float32.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from synthenv.runs.oswm.pretrain.device_arithmetic import count_flops, measure_peak

TrainStep = Callable[[Any, Any], tuple[Any, jax.Array]]  # (state, examples) -> state, loss


def precision_of(platform: str) -> str | None:
    """Return the precision of matrix products on a platform; None is float32, and a CPU has no faster one."""
    return None if platform == "cpu" else "BF16_BF16_F32"


class Stepper:
    """A compiled gradient step, one program for each shape of the examples.

    Args:
        train_step: a pure function.
        batch_size: B. As many devices are used as divide it.
        notify: called with a line if that leaves some devices idle.
    """

    def __init__(self, train_step: TrainStep, batch_size: int, notify: Callable[[str], None] = print):
        devices = np.array(jax.devices()[: math.gcd(batch_size, jax.device_count())])
        self.mesh = Mesh(devices, ("batch",))
        if devices.size < jax.device_count():
            notify(
                f"gradient steps use {devices.size} of {jax.device_count()} devices: a batch has {batch_size} tasks"
            )
        self.precision = precision_of(devices[0].platform)
        self.peak = measure_peak(self.mesh, self.precision)
        self._everywhere = NamedSharding(self.mesh, PartitionSpec())
        self._spread = NamedSharding(self.mesh, PartitionSpec("batch"))
        self._jitted = jax.jit(train_step, out_shardings=self._everywhere)
        self._programs: dict[Any, tuple[Any, int]] = {}
        self._latest: Any = None
        self._reset()

    def _reset(self) -> None:
        self._flops, self._seconds, self._waited = 0, 0.0, 0.0

    def __call__(self, state: Any, examples: Any) -> tuple[Any, jax.Array]:
        """Take a step and wait for its end; leaves of ``examples`` are [B, ...] or []."""
        if state is not self._latest:  # what a step returns is on its devices already
            state = jax.device_put(state, self._everywhere)
        examples = jax.tree.map(
            lambda leaf: jax.device_put(leaf, self._spread if leaf.ndim else self._everywhere), examples
        )
        program, flops = self._program(state, examples)
        start = time.perf_counter()
        self._latest, loss = jax.block_until_ready(program(state, examples))
        self._seconds += time.perf_counter() - start
        self._flops += flops
        return self._latest, loss

    def _program(self, state: Any, examples: Any) -> tuple[Any, int]:
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(examples))
        if shapes not in self._programs:
            with jax.default_matmul_precision(self.precision):
                traced = self._jitted.trace(state, examples)
                self._programs[shapes] = traced.lower().compile(), count_flops(traced.jaxpr)
        return self._programs[shapes]

    def waited(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the same batches, and count the time until each comes as waiting for its preparation."""
        iterator = iter(batches)
        while True:
            start = time.perf_counter()
            examples = next(iterator, None)
            self._waited += time.perf_counter() - start
            if examples is None:
                return
            yield examples

    def numbers(self) -> dict[str, float]:
        """Since the last call of this.

        step_seconds: within gradient steps.
        wait_seconds: in which no step was taken because the next batch was not prepared yet.
        flops_share: operations per second of gradient steps, as a share of what the devices can do.
        """
        numbers = {
            "step_seconds": self._seconds,
            "wait_seconds": self._waited,
            "flops_share": self._flops / self._seconds / self.peak if self._seconds else 0.0,
        }
        self._reset()
        return numbers
