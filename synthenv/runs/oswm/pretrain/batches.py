"""Batches of random tasks, in order, prepared by threads a few ahead of the gradient steps.

Batch i depends on the seed and i alone, so neither the number of threads nor a stop changes any number. They are
prepared on the host: the small model's experts want double precision, and the paper's prior is a long loop of tiny
operations, which a processor is quick at (benchmarks/bench_prior.py) and a GPU's compiler is not.
"""

import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from synthenv.core.host import on_host
from synthenv.worldmodel.paper import train_step as paper_pretrain
from synthenv.worldmodel.regression.double_precision import double_on_host
from synthenv.worldmodel.small import train_step as pretrain
from synthenv.worldmodel.small.training_examples import Examples

HELD_OUT = 2**31 - 1  # folded into the seed for tasks that are never trained on

# All batches of a config share it, since held-out ones are made before those of the training.
_draw = jax.jit(pretrain.draw_batch, static_argnames=("config", "num_context"))
_fit = jax.jit(pretrain.fit_experts, static_argnames=("config", "num_context"))
_draw_paper = jax.jit(paper_pretrain.draw_batch, static_argnames="config")


class Ahead:
    """Yields what ``make`` returns for ``first``, ``first + 1``, ...; use it in a ``with`` statement."""

    def __init__(self, key: jax.Array, config: Any, first: int, num_workers: int):
        self._key, self._config = key, config
        self._pool = ThreadPoolExecutor(num_workers)
        self._next = first
        self._ahead: list[Future[Any]] = []
        self._num_ahead = 2 * num_workers

    def make(self, index: int) -> Any:
        """Return batch ``index``, ready."""
        raise NotImplementedError

    def held_out(self, num: int) -> list[Any]:
        """Return batches that are never trained on."""
        return [self.make(HELD_OUT - 2 - i) for i in range(num)]

    def __iter__(self) -> Iterator[Any]:
        while True:
            while len(self._ahead) < self._num_ahead:
                self._ahead.append(self._pool.submit(self.make, self._next))
                self._next += 1
            yield self._ahead.pop(0).result()

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


class Batches(Ahead):
    """Batches of the small model: tasks, and the experts fitted to each."""

    def make(self, index: int, size: int | None = None) -> Examples:
        """Return batch ``index``, with contexts of at most ``size`` rows, or as many as it has in its turn."""
        key_tasks, key_slots = jax.random.split(jax.random.fold_in(self._key, index))
        size = size or self._config.context_sizes[index % len(self._config.context_sizes)]
        with on_host():
            batch = _draw(key_tasks, self._config, size)
        with double_on_host():
            return jax.block_until_ready(_fit(key_slots, batch, self._config, size))

    def held_out(self, num: int) -> list[Examples]:
        """Return batches that are never trained on, with contexts of all sizes in turn."""
        sizes = itertools.cycle(sorted(set(self._config.context_sizes)))
        return [self.make(HELD_OUT - 2 - i, next(sizes)) for i in range(num)]


class PaperBatches(Ahead):
    """Batches of the paper's model: environments of its prior."""

    def make(self, index: int) -> paper_pretrain.Examples:
        """Batch ``index``."""
        with on_host():
            return jax.block_until_ready(_draw_paper(jax.random.fold_in(self._key, index), self._config))
