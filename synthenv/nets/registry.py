"""Networks of a user's by name: any flax.linen module, where a config says ``network``.

    register(NetworkKind("deep", lambda out_size: nn.Sequential([nn.Dense(64), nn.silu, nn.Dense(out_size)])))

Imports nothing heavy, so that a config can tell a name that nobody has registered.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from synthenv.core.registry import Registry

if TYPE_CHECKING:
    from flax import linen as nn


class NetworkKind(NamedTuple):
    """A network that agents and proxies may take in place of our multilayer perceptron.

    Attributes:
        name: what ``network`` of a config calls it.
        build: out_size -> a module that maps [..., in] to [..., out_size] and keeps nothing but weights.
    """

    name: str
    build: Callable[[int], "nn.Module"]


NETWORKS: Registry[NetworkKind] = Registry("network", NetworkKind)
