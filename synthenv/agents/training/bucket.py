"""Static shapes of networks and batches: agents of one bucket share a compiled program.

Learning rate, batch and width vary freely inside one program; depth and the array width do not. Array widths are the
rungs of a ladder. For a width above 64, padding to the next rung costs at most 2.2 times its arithmetic, where padding
to the widest would cost up to 80 times. For a width below 64 a step is mostly overhead, and a finer ladder would cost
more to compile than it saves.
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
        batch_block: rows per gradient block. If it equals ``max_batch`` there is one block, and the batch is masked;
            if it is smaller, a loop runs over as many blocks as the member's batch needs, so that a small batch costs
            little.
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
    """Return the smallest array width of the ladder that holds ``width`` units."""
    return next((w for w in WIDTHS if w >= width), width)
