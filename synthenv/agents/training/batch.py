"""One gradient over a batch whose size is a traced value.

The batch is a prefix: rows beyond ``batch_size`` have weight zero. It is worked off in blocks, as many as it needs, so
that on a CPU a small batch costs little; on an accelerator there is one block (``Bucket.batch_block``).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from synthenv.agents.training.bucket import Bucket

PyTree = Any


def sum_over_blocks(
    words: jax.Array,
    batch_size: Any,
    bucket: Bucket,
    of_block: Callable[[jax.Array, jax.Array], PyTree],
) -> PyTree:
    """Sum what ``of_block(words [block, ...], weight [block])`` gives for each block of the batch.

    Args:
        words: random words, one line for each row that the batch may have, uint32 [bucket.batch_rows, ...].
        batch_size: rows in use, at most ``bucket.max_batch``.
        bucket: bounds and block length.
        of_block: for example a gradient; ``weight`` is 1/batch_size inside the batch and 0 outside.
    """
    block = bucket.batch_block
    max_blocks = bucket.batch_rows // block
    words = words.reshape(max_blocks, block, *words.shape[1:])
    batch_size = jnp.asarray(batch_size)

    def one(i: jax.Array) -> PyTree:
        inside = i * block + jnp.arange(block) < batch_size
        return of_block(words[i], jnp.where(inside, 1.0 / batch_size.astype(jnp.float32), 0.0))

    if max_blocks == 1:
        return one(jnp.int32(0))
    num_blocks = (batch_size + block - 1) // block
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, jnp.int32(0)))
    return jax.lax.fori_loop(0, num_blocks, lambda i, total: jax.tree.map(jnp.add, total, one(i)), zeros)
