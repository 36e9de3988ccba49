"""The host's processor beside an accelerator."""

import contextlib
from collections.abc import Iterator

import jax

from synthenv.core.errors import UserError


@contextlib.contextmanager
def on_host() -> Iterator[None]:
    """Within it, programs run on the host's processor, unless their arguments are bound to another device.

    Raises:
        UserError: JAX was told to see no processor.
    """
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        raise UserError(
            "JAX does not see the host's processor, which is needed beside an accelerator: add cpu to JAX_PLATFORMS,"
            " as in JAX_PLATFORMS=cuda,cpu"
        ) from None
    with jax.default_device(host):
        yield
