"""The networks of agents and proxies: our multilayer perceptron, or a flax.linen module that was registered by name.

A module goes along with its weights as their static part, so whoever applies them need not know which of the two they
are. Modules have no masked widths: agents that draw their width draw none where they have a module.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from synthenv.core.errors import UserError
from synthenv.nets.mlp import apply_mlp, init_mlp
from synthenv.nets.registry import NETWORKS, NetworkKind


@struct.dataclass
class ModuleParams:
    """Weights of a linen module, and the module."""

    weights: Any
    module: nn.Module = struct.field(pytree_node=False)


Network = Any  # the layers of an MLP, or a ModuleParams


def init_network(
    key: jax.Array,
    name: str,
    in_size: int,
    hidden_size: int | jax.Array,
    out_size: int,
    depth: int,
    max_hidden: int | None = None,
) -> Network:
    """Draw the network of this name, or without a name the MLP that the other arguments describe.

    Args:
        key: random key.
        name: name of a registered module, or empty.
        in_size: number of inputs.
        hidden_size: units per hidden layer; may be traced if ``max_hidden`` is given.
        out_size: number of outputs.
        depth: number of hidden layers.
        max_hidden: static width of the arrays; ``hidden_size`` if None.

    Raises:
        UserError: nobody has registered the name, or its module is not one of [..., in_size] to [..., out_size].
    """
    if name:
        return _init_module(key, NETWORKS.find(name), in_size, out_size)
    return init_mlp(key, in_size, hidden_size, out_size, depth, max_hidden)


def apply_network(params: Network, x: jax.Array, activation: str) -> jax.Array:
    """Map x [..., in] to [..., out]; the activation is that of an MLP's hidden layers."""
    if isinstance(params, ModuleParams):
        return jnp.asarray(params.module.apply({"params": params.weights}, x))
    return apply_mlp(params, x, activation)


def _init_module(key: jax.Array, kind: NetworkKind, in_size: int, out_size: int) -> ModuleParams:
    module = _built(kind, out_size)
    variables = module.init(key, jnp.zeros(in_size, jnp.float32))
    if set(variables) != {"params"}:
        raise UserError(
            f"network {kind.name!r} holds {', '.join(variables) or 'nothing'}: pass a module with weights (params)"
            " and nothing else"
        )
    for leading in ([], [3]):  # one observation, and a batch
        x = jax.ShapeDtypeStruct((*leading, in_size), jnp.float32)
        given = list(jax.eval_shape(module.apply, variables, x).shape)
        if given != [*leading, out_size]:
            raise UserError(
                f"network {kind.name!r} gives {given} for inputs {[*leading, in_size]}, where {[*leading, out_size]}"
                " are needed: let its module end with out_size outputs"
            )
    return ModuleParams(variables["params"], module)


@cache
def _built(kind: NetworkKind, out_size: int) -> nn.Module:
    """One module of a size: two whose fields hold functions of their own would make unlike trees of their weights."""
    return kind.build(out_size)
