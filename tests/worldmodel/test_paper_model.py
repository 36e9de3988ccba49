"""The released world model: its size, its columns, and a loss by hand."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.nets.linear import Linear
from synthenv.nets.residual_mlp import ResidualMLPConfig, ResidualMLPParams, apply_residual_mlp
from synthenv.nets.transformer import TransformerConfig
from synthenv.worldmodel.paper import network as paper_model
from synthenv.worldmodel.paper.network import PAPER, PRESETS

SMALL = replace(
    PAPER,
    transformer=TransformerConfig(16, 4, 24, 2, norm="post", zero_init_residual=False),
    encoder=replace(PAPER.encoder, width=12, depth=1),
    decoder=replace(PAPER.decoder, width=6, depth=1),
)
MLP = replace(SMALL, encoder_type="mlp", decoder_type="mlp")
init, encode_context, predict, predict_rows = (
    jax.jit(f, static_argnums=1)
    for f in (paper_model.init, paper_model.encode_context, paper_model.predict, paper_model.predict_rows)
)
KINDS = pytest.mark.parametrize("config", [SMALL, MLP], ids=["cat", "mlp"])
B, T, N = 2, 9, 6  # sequences, rows, rows of context


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def rows(seed=3):
    """x and y [B, T, 14]."""
    return jax.random.normal(jax.random.key(seed), (2, B, T, 14))


def sharpened(config, seed=0):
    """Drawn weights, all moved by noise so that the answers depend on every input."""
    params = init(jax.random.key(seed), config)
    noise = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + 0.3 * noise.normal(size=leaf.shape).astype(np.float32), params)


@functools.partial(jax.jit, static_argnums=1)
def answers(params, config, x, y, queries):
    """Encode all rows of x and y [C, 14], then predict [Q, 14]."""
    cache = encode_context(params, config, x, y, jnp.ones(x.shape[0], bool))
    return predict(params, config, cache, queries)


@pytest.mark.parametrize("name", PRESETS)
def test_number_of_weights_is_the_released_models(name):
    """Counted in the released code; heads do not change it."""
    shapes = jax.eval_shape(lambda key: init(key, PRESETS[name]), jax.random.key(0))
    assert count(shapes) == 16_129_280
    assert count(shapes.transformer) == 12_616_704
    assert count(shapes.encoder_x) == 1_715_456
    assert count(shapes.encoder_y) == 1_714_432
    assert count(shapes.decoder) == 82_688


def test_mlp_variant_has_the_released_models_size():
    """Counted in the released code with both types "mlp"."""
    config = replace(PAPER, encoder_type="mlp", decoder_type="mlp")
    assert count(jax.eval_shape(lambda key: init(key, config), jax.random.key(0))) == 14_775_168


def test_presets_differ_in_their_heads_alone():
    """The paper's 4, the inference scripts' 8, and another function from the same weights."""
    assert {name: c.transformer.num_heads for name, c in PRESETS.items()} == {
        "paper": 4,
        "released_inference_heads": 8,
    }
    params, (x, y) = sharpened(SMALL), rows()
    eight = replace(SMALL, transformer=replace(SMALL.transformer, num_heads=8))
    found = [answers(params, config, x[0, :N], y[0, :N], x[0, N:]) for config in (SMALL, eight)]
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_cat_columns():
    """Columns 11 and 12 of an answer are exactly zero, and those of y are never read."""
    params, (x, y) = sharpened(SMALL), rows()
    expected = answers(params, SMALL, x[0, :N], y[0, :N], x[0, N:])
    assert not expected[:, 11:13].any()
    assert np.all(np.abs(expected[:, :11]).max(axis=0) > 0) and np.abs(expected[:, 13]).min() > 0
    other = y[0, :N].at[:, 11:13].set(99.0)
    np.testing.assert_array_equal(answers(params, SMALL, x[0, :N], other, x[0, N:]), expected)


@KINDS
@pytest.mark.parametrize("column", [0, 10, 11, 13])
def test_every_real_column_is_read(config, column):
    """State and action of the query, and each column of the context's x and y, change the answer."""
    params, (x, y) = sharpened(config), rows()
    context_x, context_y, queries = x[0, :N], y[0, :N], x[0, N:]
    expected = answers(params, config, context_x, context_y, queries)
    changed = [
        answers(params, config, context_x, context_y, queries.at[:, column].add(1.0)),
        answers(params, config, context_x.at[:, column].add(1.0), context_y, queries),
    ]
    if column != 11 or config.encoder_type == "mlp":
        changed.append(answers(params, config, context_x, context_y.at[:, column].add(1.0), queries))
    for found in changed:
        assert np.abs(found - expected).max() > 1e-4


@KINDS
def test_training_predicts_what_the_cache_predicts(config):
    """`predict_rows`, `predict` on a batch, and `predict` row by row agree."""
    params, (x, y) = sharpened(config), rows()
    found = predict_rows(params, config, x[0], y[0], jnp.arange(T) < N)[N:]
    np.testing.assert_allclose(found, answers(params, config, x[0, :N], y[0, :N], x[0, N:]), atol=1e-5)
    cache = encode_context(params, config, x[0], y[0].at[N:].set(jnp.nan), jnp.arange(T) < N)
    one_by_one = jnp.stack([predict(params, config, cache, row) for row in x[0, N:]])
    np.testing.assert_allclose(found, one_by_one, atol=1e-5)


@KINDS
def test_targets_of_queries_are_not_read(config):
    """The answers of training do not depend on the y of the rows they are compared with."""
    params, (x, y) = sharpened(config), rows()
    is_context = jnp.arange(T) < N
    found = predict_rows(params, config, x[0], y[0].at[N:].set(jnp.nan), is_context)
    np.testing.assert_array_equal(found, predict_rows(params, config, x[0], y[0], is_context))


def test_loss_by_hand():
    """A model that answers zero: the mean square of the targets behind the context, over all or the real columns."""
    params = jax.tree.map(jnp.zeros_like, init(jax.random.key(0), SMALL))
    x, y = jnp.zeros((B, 4, 14)), jnp.zeros((B, 4, 14))
    y = y.at[:, :2].set(100.0)  # context: not in the loss
    y = y.at[0, 2, 0].set(3.0).at[0, 3, 13].set(1.0)  # a task of one state variable: 2 rows x 2 columns
    y = y.at[1, 2, :4].set(2.0)  # one of three: 2 rows x 4 columns, of which one is no column of this task
    columns = jnp.zeros((B, 14), bool).at[0, jnp.array([0, 13])].set(True)
    columns = columns.at[1, jnp.array([0, 1, 2, 13])].set(True)
    for static in ((1, 4), (1,)):
        loss = jax.jit(paper_model.loss, static_argnums=static)
        assert float(loss(params, SMALL, x, y, 2)) == pytest.approx((9 + 1 + 16) / (2 * 2 * 14))
        assert float(loss(params, SMALL, x, y, 2, columns)) == pytest.approx((9 + 1 + 12) / (2 * 2 + 2 * 4))


@pytest.mark.parametrize(
    ("config", "real_only"),
    [(SMALL, True), pytest.param(MLP, False, marks=pytest.mark.long)],
    ids=["cat", "mlp"],
)
def test_traced_context_is_the_static_one(config, real_only):
    """Value and gradients, which are finite, from a context of one row and of several."""
    params, (x, y) = sharpened(config), rows()
    columns = jnp.arange(14)[None, :] < jnp.array([3, 14])[:, None] if real_only else None
    masking = jax.jit(jax.value_and_grad(paper_model.loss), static_argnums=1)
    slicing = jax.jit(jax.value_and_grad(paper_model.loss), static_argnums=(1, 4))
    for num_context in (1, N):
        traced = masking(params, config, x, y, jnp.int32(num_context), columns)
        static = slicing(params, config, x, y, num_context, columns)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(static))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), traced, static)


def test_one_trace_for_every_length_of_the_context():
    """A traced length, other weights and other rows run the same program."""
    traces = []

    def counted(params, config, x, y, num_context):
        traces.append(config)
        return paper_model.loss(params, config, x, y, num_context)

    program = jax.jit(counted, static_argnums=1)
    found = {float(program(sharpened(SMALL, n), replace(SMALL), *rows(n), jnp.int32(n))) for n in (2, 4, 7)}
    assert len(traces) == 1 and len(found) == 3


def test_fresh_model_ignores_its_context():
    """Residual branches start at zero, so before training a query's answer cannot depend on the context."""
    config = replace(SMALL, transformer=replace(SMALL.transformer, zero_init_residual=True))
    params, (x, y) = init(jax.random.key(0), config), rows()
    found = [answers(params, config, x[0, :N], context_y, x[0, N:]) for context_y in (y[0, :N], 2 * y[0, :N])]
    np.testing.assert_array_equal(*found)


def test_residual_mlp_by_hand():
    """The first layer's value before its activation comes back after every hidden activation, without biases too."""
    params = ResidualMLPParams(
        first=Linear(jnp.array([[1.0, -1.0]]), None),
        hidden=(Linear(2.0 * jnp.eye(2), None), Linear(-jnp.eye(2), None)),
        last=Linear(jnp.array([[1.0], [10.0]]), None),
    )
    config = ResidualMLPConfig(width=2, depth=2, activation="relu", bias=False, residual=True)
    x = jnp.array([3.0])
    # First: 3, -3, activated 3, 0. Hidden: relu(6, 0) + (3, -3) = 9, -3; relu(-9, 3) + (3, -3) = 3, 0.
    assert apply_residual_mlp(params, config, x).tolist() == [3.0]
    # Without the residual: relu(6, 0) = 6, 0, then relu(-6, 0) = 0, 0.
    assert apply_residual_mlp(params, replace(config, residual=False), x).tolist() == [0.0]


def test_cat_needs_a_width_of_quarters():
    with pytest.raises(ValueError, match="4 divides"):
        replace(SMALL, transformer=TransformerConfig(18, 2, 24, 2, norm="post", zero_init_residual=True))
