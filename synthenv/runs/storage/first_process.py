"""Several processes as one run: all of them train, the first one writes and decides.

A first process that meets a damaged checkpoint or a full disk must not leave the others waiting. So it tells them how
anything ended that it did alone. With a single process nothing here does anything.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from synthenv.core.errors import UserError

PyTree = Any
T = TypeVar("T")


def on_first(act: Callable[..., T], *args: Any) -> T | None:
    """Call ``act(*args)`` on process 0 while the others wait for the outcome.

    Returns:
        the result on process 0, None elsewhere.

    Raises:
        Exception: on process 0 whatever ``act`` raises, and then a UserError on the others.
    """
    result, error = None, None
    if jax.process_index() == 0:
        try:
            result = act(*args)
        except BaseException as raised:  # an interrupt as well: the others have to hear of it
            error = raised
    failed = from_first(np.bool_(error is not None))
    if error is not None:
        raise error
    if failed:
        raise UserError("process 0 has stopped: see its message")
    return result


def from_first(tree: PyTree) -> PyTree:
    """Send arrays and numbers from process 0 to every process; ``tree`` has the same shapes everywhere."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(jnp.asarray, multihost_utils.broadcast_one_to_all(tree))
