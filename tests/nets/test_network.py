"""Linen modules by name: drawn and applied as linen does, and refused in one line where they do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.flatten_util import ravel_pytree

from synthenv.core.errors import UserError
from synthenv.core.registry import register
from synthenv.nets.mlp import apply_mlp, init_mlp
from synthenv.nets.network import apply_network, init_network
from synthenv.nets.registry import NetworkKind
from tests.own_networks import GATED, SEQUENTIAL, Gated

KEY, X = jax.random.key(0), jax.random.normal(jax.random.key(1), (5, 4))


def drawn(kind, in_size=4, out_size=2):
    return init_network(
        KEY, kind.name, in_size, 99, out_size, 99
    )  # of an MLP's width and depth nothing is taken


def test_without_a_name_it_is_our_mlp():
    params = init_network(KEY, "", 4, 7, 2, 2, 8)
    jax.tree.map(np.testing.assert_array_equal, params, init_mlp(KEY, 4, 7, 2, 2, 8))
    np.testing.assert_array_equal(apply_network(params, X, "relu"), apply_mlp(params, X, "relu"))


def test_a_module_is_what_linen_makes_of_it():
    """Weights and outputs, of one observation, a batch and a batch of batches."""
    params, module = drawn(GATED), Gated(2)
    variables = module.init(KEY, X[0])
    jax.tree.map(np.testing.assert_array_equal, params.weights, variables["params"])
    for x in (X[0], X, X[None]):
        np.testing.assert_array_equal(apply_network(params, x, "relu"), module.apply(variables, x))


@pytest.mark.parametrize("kind", [GATED, SEQUENTIAL], ids=lambda kind: kind.name)
def test_weights_are_a_tree_like_any_other(kind):
    """Flat and back, mapped with those of another draw, differentiated under jit and vmap."""
    params, other = drawn(kind), init_network(jax.random.key(1), kind.name, 4, 1, 2, 1)
    flat, unravel = ravel_pytree(params)
    np.testing.assert_array_equal(apply_network(unravel(flat), X, ""), apply_network(params, X, ""))
    pair = jax.tree.map(lambda a, b: jnp.stack([a, b]), params, other)
    slope = jax.grad(lambda params, x: jnp.sum(jnp.square(apply_network(params, x, ""))))
    found = jax.jit(jax.vmap(slope, in_axes=(0, None)))(pair, X)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-3, atol=1e-5), found, slope(params, X)
    )


class Average(nn.Module):
    """A mean over the features, whatever number of outputs is asked for."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x).mean(axis=-1)


class FirstOfBatch(nn.Module):
    """Right for one observation, and for a batch the answer to its first one."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(x if x.ndim == 1 else x[0])


class Counted(nn.Module):
    """Keeps a running mean beside its weights."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.BatchNorm(use_running_average=True)(x))


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda out: nn.Dense(3), r"'odd' gives \[3\] for inputs \[4\], where \[2\] are needed"),
        (lambda out: Average(), r"'odd' gives \[\] for inputs \[4\], where \[2\] are needed"),
        (lambda out: FirstOfBatch(), r"'odd' gives \[2\] for inputs \[3, 4\], where \[3, 2\] are needed"),
        (lambda out: Counted(), "'odd' holds .*batch_stats.*: pass a module with weights"),
        (lambda out: nn.Sequential([nn.relu]), "'odd' holds nothing: pass a module with weights"),
    ],
)
def test_a_module_that_does_not_fit_is_refused(build, complaint):
    with pytest.raises(UserError, match=complaint) as refused:
        drawn(register(NetworkKind("odd", build)))
    assert "\n" not in str(refused.value)


def test_a_name_that_nobody_has_registered():
    with pytest.raises(UserError, match="unknown network 'own gatde'; did you mean 'own gated'"):
        init_network(KEY, "own gatde", 4, 8, 2, 1)
