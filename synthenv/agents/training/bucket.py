"""Static shapes of networks and batches: agents of one bucket share a compiled program.

Learning rate, batch and width vary freely inside one program; depth and the array width do not. Widths are bounded by
the rungs of a ladder: padding to the next one costs at most 2.2 times the arithmetic of a width above 64, where padding
all to the widest would cost up to 80. Below that a step is mostly overhead, and a finer ladder would cost more to
compile than it saves.
"""

from typing import NamedTuple

WIDTHS = (*range(64, 384 + 1, 32), 512, 768, 1024)
BLOCK = 64  # rows of a gradient block when the batch size varies


class Bucket(NamedTuple):
    """The static shape of an agent.

    Attributes:
        depth: hidden layers.
        max_hidden: width of the arrays; ``hyperparams.hidden_size`` may be anything up to it.
        max_batch: bound of ``hyperparams.batch_size``.
        batch_block: rows per gradient block. Equal to ``max_batch``: one block, the batch is masked. Smaller: a loop
            over as many blocks as the member's batch needs, so that a small batch costs little.
    """

    depth: int = 1
    max_hidden: int = 1
    max_batch: int = 1
    batch_block: int = 1

    @property
    def batch_rows(self) -> int:
        """Rows that a gradient step may touch: ``max_batch`` rounded up to whole blocks."""
        return -(-self.max_batch // self.batch_block) * self.batch_block


def rung(width: int) -> int:
    """The smallest array width of the ladder that holds ``width`` units."""
    return next((w for w in WIDTHS if w >= width), width)
