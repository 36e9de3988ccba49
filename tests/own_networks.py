"""Networks as a user may have them: flax.linen modules, registered by name."""

from flax import linen as nn

from synthenv.core.registry import register
from synthenv.nets.registry import NetworkKind


class Gated(nn.Module):
    """A layer of units that are gated by others, with a norm in front of the output."""

    out_size: int
    width: int = 16

    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Dense(self.width)(x)) * nn.sigmoid(nn.Dense(self.width)(x))
        return nn.Dense(self.out_size)(nn.LayerNorm()(x))


GATED = register(NetworkKind("own gated", Gated))
# Its activation is another function each time, and so no two modules of it are equal.
SEQUENTIAL = register(
    NetworkKind(
        "own sequential", lambda out: nn.Sequential([nn.Dense(16), lambda x: nn.silu(x), nn.Dense(out)])
    )
)
