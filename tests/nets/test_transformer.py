"""The transformer against NumPy, and a cached query against the full forward pass."""

import functools
import math
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.nets import transformer
from synthenv.nets.transformer import TransformerConfig

CONFIG = TransformerConfig(
    width=16, num_heads=4, hidden_size=24, num_layers=2, norm="post", zero_init_residual=False
)
PRE = replace(CONFIG, norm="pre")
C, Q = 9, 5
init, encode, query, forward = (
    jax.jit(f, static_argnums=1)
    for f in (transformer.init, transformer.encode, transformer.query, transformer.forward)
)
CONFIGS = pytest.mark.parametrize("config", [CONFIG, PRE], ids=["post", "pre"])


def random_params(config, seed=0):
    """Weights away from their initial zeros and ones, so that every one of them matters."""
    params = init(jax.random.key(seed), config)
    noise = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + 0.2 * noise.normal(size=leaf.shape).astype(np.float32), params)


def tokens(seed=7):
    """A context [C, W] and queries [Q, W]."""
    rows = jax.random.normal(jax.random.key(seed), (C + Q, CONFIG.width))
    return rows[:C], rows[C:]


@functools.partial(jax.jit, static_argnums=1)
def answers(params, config, context, queries, mask=None):
    """Encode once, then query."""
    mask = jnp.ones(context.shape[0], bool) if mask is None else mask
    return query(params, config, encode(params, config, context, mask), queries)


def numpy_norm(norm, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-5) * np.asarray(norm.scale) + np.asarray(
        norm.bias
    )


def numpy_layer(block, num_heads, pre, rows, num_context):
    """A layer row by row and head by head in float64: rows [T, W], of which the first are context."""
    apply = lambda part, x: x @ np.asarray(part.kernel, np.float64) + np.asarray(part.bias)  # noqa: E731
    x = numpy_norm(block.attention_norm, rows) if pre else rows
    queries, keys, values = (apply(part, x) for part in (block.query, block.key, block.value))
    size = rows.shape[1] // num_heads
    mixed = np.zeros_like(rows)
    for row in range(len(rows)):
        for head in range(num_heads):
            part = slice(head * size, (head + 1) * size)
            scores = [queries[row, part] @ keys[j, part] / math.sqrt(size) for j in range(num_context)]
            weights = np.exp(np.array(scores) - max(scores))
            weights /= weights.sum()
            mixed[row, part] = sum(w * values[j, part] for j, w in enumerate(weights))
    x = rows + apply(block.out, mixed)
    x = x if pre else numpy_norm(block.attention_norm, x)
    hidden = apply(block.up, numpy_norm(block.feedforward_norm, x) if pre else x)
    gelu = 0.5 * hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    x = x + apply(block.down, gelu)
    return x if pre else numpy_norm(block.feedforward_norm, x)


@CONFIGS
def test_forward_is_numpys(config):
    """All layers and the last norm, context rows and queries."""
    params, (context, queries) = random_params(config), tokens()
    rows = jnp.concatenate([context, queries])
    expected = np.asarray(rows, np.float64)
    for block in params.blocks:
        expected = numpy_layer(block, config.num_heads, config.norm == "pre", expected, C)
    if config.norm == "pre":
        expected = numpy_norm(params.final_norm, expected)
    found = forward(params, config, rows, jnp.arange(C + Q) < C)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert (params.final_norm is None) == (config.norm == "post")


@CONFIGS
def test_cached_queries_are_the_forward_pass(config):
    """A batch, single tokens, vmap over them and a second leading axis all give the rows of `forward`."""
    params, (context, queries) = random_params(config), tokens()
    rows = jnp.concatenate([context, queries])
    expected = forward(params, config, rows, jnp.arange(C + Q) < C)[C:]
    cache = encode(params, config, context, jnp.ones(C, bool))
    one = lambda token: query(params, config, cache, token)  # noqa: E731
    np.testing.assert_allclose(one(queries), expected, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(one)(queries), expected, atol=1e-5)
    np.testing.assert_allclose(jnp.stack([one(token) for token in queries]), expected, atol=1e-5)
    np.testing.assert_allclose(one(queries.reshape(1, Q, -1))[0], expected, atol=1e-5)


def test_context_rows_may_stand_anywhere():
    """`forward` needs no order: context and queries may be mixed in one sequence."""
    params, (context, queries) = random_params(CONFIG), tokens()
    order = jax.random.permutation(jax.random.key(3), C + Q)
    rows = jnp.concatenate([context, queries])
    found = forward(params, CONFIG, rows[order], order < C)
    np.testing.assert_allclose(found, forward(params, CONFIG, rows, jnp.arange(C + Q) < C)[order], atol=1e-5)


def test_vmapped_forward_is_the_loop():
    """A batch axis changes nothing, with a mask of its own for each sequence."""
    params = random_params(CONFIG)
    rows = jax.random.normal(jax.random.key(1), (3, C, CONFIG.width))
    masks = jnp.arange(C)[None, :] < jnp.array([2, 5, 9])[:, None]
    found = jax.vmap(lambda rows, mask: forward(params, CONFIG, rows, mask))(rows, masks)
    for i in range(3):
        np.testing.assert_allclose(found[i], forward(params, CONFIG, rows[i], masks[i]), atol=1e-5)


def test_query_does_not_see_other_queries():
    """Nor itself as a key: other queries may be anything, here NaN."""
    params, (context, queries) = random_params(CONFIG), tokens()
    found = answers(params, CONFIG, context, queries.at[1:].set(jnp.nan))
    np.testing.assert_array_equal(found[0], answers(params, CONFIG, context, queries)[0])
    assert np.isnan(found[1:]).all()


def test_context_is_a_set():
    """Its order does not matter, its members do."""
    params, (context, queries) = random_params(CONFIG), tokens()
    expected = answers(params, CONFIG, context, queries)
    np.testing.assert_allclose(answers(params, CONFIG, context[::-1], queries), expected, atol=1e-5)
    assert np.abs(answers(params, CONFIG, context.at[0].add(1.0), queries) - expected).max() > 1e-3


@CONFIGS
@pytest.mark.parametrize("junk", [1e4, jnp.nan, jnp.inf])
def test_masked_rows_have_no_influence(config, junk):
    """Bit by bit: whatever stands in a masked row, and as if it was not there up to rounding."""
    params, (context, queries) = random_params(config), tokens()
    mask = jnp.arange(C) < 6
    expected = answers(params, config, context, queries, mask)
    found = answers(params, config, context.at[6:].set(junk), queries, mask)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, answers(params, config, context[:6], queries), atol=1e-5)


def test_masked_rows_have_no_gradient():
    """Exactly zero where masked, not zero elsewhere."""
    params, (context, queries) = random_params(CONFIG), tokens()
    mask = jnp.arange(C) < 6
    gradient = jax.grad(lambda context: jnp.sum(answers(params, CONFIG, context, queries, mask) ** 3))(
        context
    )
    assert not gradient[6:].any()
    assert np.abs(gradient[:6]).min(axis=-1).max() > 0


def test_empty_context_is_finite():
    """Without a single context token an answer depends on the query alone, and is a number."""
    params, (context, queries) = random_params(CONFIG), tokens()
    none = jnp.zeros(C, bool)
    found = answers(params, CONFIG, context, queries, none)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, answers(params, CONFIG, 2 * context, queries, none))


def test_scores_of_any_size_stay_finite():
    """Attention to one token only, where exp of the scores alone would overflow, is still NumPy's."""
    params, (context, queries) = random_params(CONFIG), tokens()
    rows = 1e3 * jnp.concatenate([context, queries])
    expected = np.asarray(rows, np.float64)
    for block in params.blocks:
        expected = numpy_layer(block, CONFIG.num_heads, False, expected, C)
    np.testing.assert_allclose(forward(params, CONFIG, rows, jnp.arange(C + Q) < C), expected, atol=1e-3)
    total = lambda q: jnp.sum(answers(params, CONFIG, 1e3 * context, q) ** 2)  # noqa: E731
    found, gradient = jax.jit(jax.value_and_grad(total))(1e3 * queries)
    assert np.isfinite(found) and np.isfinite(gradient).all()


@CONFIGS
def test_gradients_are_finite_and_reach_every_weight(config):
    """All but the keys' biases, to which softmax is blind."""
    params, (context, queries) = random_params(config), tokens()
    gradients = jax.jit(jax.grad(lambda p: jnp.sum(answers(p, config, context, queries) ** 3)))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(leaf).all()
        name = jax.tree_util.keystr(path)
        assert "key.bias" in name or np.abs(leaf).max() > 1e-4, name


def test_heads_split_the_width():
    """The same weights with another number of heads are another function."""
    params, (context, queries) = random_params(CONFIG), tokens()
    eight = replace(CONFIG, num_heads=8)
    found = answers(params, eight, context, queries)
    assert np.abs(found - answers(params, CONFIG, context, queries)).max() > 1e-3
    cache = encode(params, eight, context, jnp.ones(C, bool))
    assert cache.keys[0].shape == cache.values[-1].shape == (8, C, 2)


def test_zero_residuals_start_as_norms():
    """Every branch adds nothing: a post-norm stack normalises, a pre-norm one does so once."""
    context, queries = tokens()
    for config in (CONFIG, PRE):
        config = replace(config, zero_init_residual=True)
        params = init(jax.random.key(0), config)
        centred = queries - queries.mean(-1, keepdims=True)
        expected = centred / jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True))
        np.testing.assert_allclose(answers(params, config, context, queries), expected, atol=1e-3)
        for block in params.blocks:
            assert not any(leaf.any() for leaf in (*block.out, *block.down))


def test_init_has_pytorchs_bounds():
    """Xavier over the stacked [W, 3W] map, 1/sqrt(fan-in) elsewhere; no two layers alike."""
    config = TransformerConfig(64, 4, 128, 2, norm="post", zero_init_residual=False)
    params = init(jax.random.key(0), config)
    for block in params.blocks:
        bounds = {"query": math.sqrt(6 / 256), "key": math.sqrt(6 / 256), "value": math.sqrt(6 / 256)}
        bounds |= {"out": 1 / 8, "up": 1 / 8, "down": 1 / math.sqrt(128)}
        for name, bound in bounds.items():
            part = getattr(block, name)
            assert 0.99 * bound < np.abs(part.kernel).max() <= bound
            assert np.asarray(part.kernel).std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
            if name in ("up", "down"):
                assert 0.9 * bound < np.abs(part.bias).max() <= bound
            else:
                assert not part.bias.any()
    first, second = params.blocks
    assert np.abs(first.query.kernel - second.query.kernel).max() > 0.1
    assert np.abs(first.query.kernel - first.key.kernel).max() > 0.1


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="no multiple"):
        replace(CONFIG, num_heads=3)


def test_one_trace_per_config():
    """Other weights, tokens and masks run the same program; another number of heads is another one."""

    @functools.partial(jax.jit, static_argnums=1)
    @chex.assert_max_traces(n=1)
    def program(params, config, context, queries, mask):
        return answers(params, config, context, queries, mask)

    for seed in range(3):
        context, queries = tokens(seed)
        program(random_params(CONFIG, seed), replace(CONFIG), context, queries, jnp.arange(C) < seed + 1)
    context, queries = tokens()
    with pytest.raises(AssertionError, match="traced > 1 times"):
        program(random_params(CONFIG), replace(CONFIG, num_heads=2), context, queries, jnp.ones(C, bool))
