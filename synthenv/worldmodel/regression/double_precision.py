"""Double precision on the host's processor, where everything in closed form is fitted.

A TPU has no double precision, and a processor is good at decomposing many small matrices. The results are small, and go
to the accelerator once.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.host import on_host


@contextlib.contextmanager
def double_on_host() -> Iterator[None]:
    """Run programs on the host and in double precision within a ``with`` block.

    Raises:
        UserError: as ``on_host``.
    """
    with on_host(), jax.enable_x64(True):
        yield


def single(cache: Any) -> Any:
    """Bring a cache to single precision, and to the device that is used by default.

    Raises:
        UserError: it holds numbers that are not finite.
    """
    leaves, structure = jax.tree.flatten(cache)
    arrays = [
        np.asarray(leaf, bool if leaf.dtype == bool else np.float32) for leaf in map(np.asarray, leaves)
    ]
    if not all(np.isfinite(array).all() for array in arrays):
        raise UserError(
            "no regression fits this context: scale its columns to ordinary sizes, or drop outliers"
        )
    return jax.tree.unflatten(structure, map(jnp.asarray, arrays))
