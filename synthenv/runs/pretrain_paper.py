"""Pretraining the paper's transformer: nothing is prepared, batch i is drawn on the device when its turn comes."""

from collections.abc import Iterator
from functools import partial

import jax

from synthenv.runs.pretrain import HELD_OUT, Method
from synthenv.runs.real_errors import of_paper
from synthenv.worldmodel import paper_pretrain
from synthenv.worldmodel.paper_pretrain import Examples, PaperPretrainConfig


class PaperBatches:
    """Batches in order; batch i depends on the key and i alone. Use it in a ``with`` statement, as ``Batches``."""

    def __init__(self, key: jax.Array, config: PaperPretrainConfig, first: int, num_workers: int):
        self._draw = jax.jit(partial(paper_pretrain.draw_batch, config=config))
        self._key, self._first = key, first

    def make(self, index: int) -> Examples:
        """Batch ``index``."""
        return jax.block_until_ready(self._draw(jax.random.fold_in(self._key, index)))

    def held_out(self, num: int) -> list[Examples]:
        """Batches that are never trained on."""
        return [self.make(HELD_OUT - 2 - i) for i in range(num)]

    def __iter__(self) -> Iterator[Examples]:
        index = self._first
        while True:
            yield self.make(index)
            index += 1

    def __enter__(self) -> "PaperBatches":
        return self

    def __exit__(self, *_: object) -> None:
        pass


PAPER = Method(
    "paper", paper_pretrain.init, PaperBatches, paper_pretrain.train_step, paper_pretrain.score, of_paper
)
