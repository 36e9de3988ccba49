"""Double precision on the host's processor, where everything in closed form is fitted.

A TPU has no double precision, and decompositions of many small matrices are what a processor is good at. What comes out
is small, and goes to the accelerator once.
"""

import contextlib
from collections.abc import Iterator

import jax

from synthenv.core.host import on_host


@contextlib.contextmanager
def double_on_host() -> Iterator[None]:
    """Within it, programs run on the host and in double precision; raises UserError as ``on_host``."""
    with on_host(), jax.enable_x64(True):
        yield
