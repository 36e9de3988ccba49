"""The small model on made-up contexts: what it says before training, what it may depend on, its loss by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.worldmodel.small import bar_distribution
from synthenv.worldmodel.small import network as model
from synthenv.worldmodel.small import train_step as pretrain
from synthenv.worldmodel.small.network import NUM_EXPERTS, Answer, ModelConfig, Question, Rows
from synthenv.worldmodel.small.train_step import PretrainConfig
from synthenv.worldmodel.small.training_examples import Examples, slots

TINY = ModelConfig(width=16, num_heads=2, hidden_size=16, num_layers=1, max_obs=4)
CONFIG = PretrainConfig(model=TINY, num_steps=100, warmup_steps=1, learning_rate=3e-3)
B, C, Q, K, D, Y = 3, 20, 4, NUM_EXPERTS, TINY.num_inputs, TINY.num_targets
answers = jax.jit(partial(pretrain.answers, config=TINY))
train_step = jax.jit(partial(pretrain.train_step, config=CONFIG))


@pytest.fixture(scope="module")
def examples():
    """Three tasks of 14 to 20 rows; the last target of five does not exist, and the third task is not sound."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    mask = np.arange(C)[None] < np.array([14, 20, 17])[:, None]
    used = np.broadcast_to(np.arange(Y) < 4, (B, Y))
    error = np.exp(normal(B, K, Y) - 3)
    weights = np.asarray(jax.nn.softmax(2 * normal(B, Q, K, Y), axis=2))
    y = normal(B, Q, Y)
    said = y[:, :, None] + 0.3 * normal(B, Q, K, Y) + 0.2
    return Examples(
        rows=Rows(normal(B, C, D), normal(B, C, Y), normal(B, C, Y), rng.random((B, C)) < 0.2, mask),
        questions=Question(normal(B, Q, D), said, error, weights, np.exp(normal(B, Q, K, Y) - 3), used),
        y=y,
        terminated=rng.random((B, Q)) < 0.3,
        counts=used & (np.arange(B) < 2)[:, None],
    )


@pytest.fixture(scope="module")
def first():
    return pretrain.init(jax.random.key(0), CONFIG)


@pytest.fixture(scope="module")
def moved(first):
    """Weights of which none is zero, so that everything has its say."""
    leaves, tree = jax.tree.flatten(first.params)
    rng = np.random.default_rng(1)
    return tree.unflatten([leaf + 0.2 * rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves])


def test_before_training_the_model_is_the_experts_weighted_mean(examples, first):
    given, questions = answers(first.params, examples=examples), examples.questions
    mean = (questions.weights * questions.said).sum(axis=2)
    np.testing.assert_allclose(given.mean, mean, atol=1e-3)
    spread = questions.local + np.square(questions.said - mean[:, :, None])
    scale = np.sqrt((questions.weights * spread).sum(axis=2))
    np.testing.assert_allclose(given.scale, scale, rtol=1e-3)
    np.testing.assert_allclose(given.termination, 0.0)


def test_where_the_experts_agree_nothing_is_added(examples, moved):
    said = np.broadcast_to(examples.questions.said[:, :, :1], examples.questions.said.shape)
    questions = examples.questions._replace(said=said)
    given = answers(moved, examples=examples._replace(questions=questions))
    np.testing.assert_allclose(given.mean, said[:, :, 0], atol=1e-5)
    assert not np.allclose(answers(moved, examples=examples).mean, said[:, :, 0], atol=0.1)


def test_masked_rows_have_no_influence(examples, moved):
    gone = ~examples.rows.mask[..., None]
    rows = examples.rows
    other = rows._replace(x=np.where(gone, 4.0, rows.x), y=np.where(gone, -2.0, rows.y))
    other = other._replace(terminated=rows.terminated | gone[..., 0])
    before, after = answers(moved, examples=examples), answers(moved, examples=examples._replace(rows=other))
    for one, two in zip(before, after, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    seen = rows._replace(x=np.where(gone, rows.x, rows.x + 1.0))
    assert not np.allclose(
        before.logits, answers(moved, examples=examples._replace(rows=seen)).logits, atol=1e-3
    )


def test_an_answer_depends_on_its_own_question_alone(examples, moved):
    questions = examples.questions
    keep = (np.arange(Q) == 1)[None, :, None]
    other = questions._replace(
        x=np.where(keep, questions.x, 2.0),
        said=np.where(keep[..., None], questions.said, -1.0),
        local=np.where(keep[..., None], questions.local, 0.5),
    )
    before = answers(moved, examples=examples)
    after = answers(moved, examples=examples._replace(questions=other))
    for one, two in zip(before, after, strict=True):
        np.testing.assert_allclose(one[:, 1], two[:, 1], rtol=1e-5, atol=1e-6)
        assert not np.allclose(one[:, 0], two[:, 0], atol=1e-3)


def test_rows_may_come_in_any_order(examples, moved):
    order = np.random.default_rng(2).permutation(C)
    shuffled = jax.tree.map(lambda leaf: leaf[:, order], examples.rows)
    before, after = (
        answers(moved, examples=examples),
        answers(moved, examples=examples._replace(rows=shuffled)),
    )
    np.testing.assert_allclose(before.logits, after.logits, rtol=1e-4, atol=1e-5)


def test_a_cached_answer_is_that_of_the_batch(examples, moved):
    task = jax.tree.map(lambda leaf: leaf[1], examples)
    cache = model.encode(moved, TINY, jax.tree.map(jnp.asarray, task.rows))
    asked = {name: getattr(task.questions, name)[2] for name in ("x", "said", "weights", "local")}
    question = jax.tree.map(jnp.asarray, task.questions._replace(**asked))
    alone, together = model.answer(moved, TINY, cache, question), answers(moved, examples=examples)
    for one, all_ in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, all_[1, 2], rtol=1e-4, atol=1e-5)


def test_loss_by_hand():
    """A residual of 0.03 and one of -1.0, a third column that does not exist; all bars have equal shares."""
    result = Answer(
        mean=jnp.array([1.0, 2.0, 0.0]),
        scale=jnp.array([1.0, 0.5, 1.0]),
        logits=jnp.zeros((3, bar_distribution.NUM_BARS)),
        termination=jnp.float32(0.7),
    )
    y, used = jnp.array([1.03, 1.55, 1e6]), jnp.array([True, True, False])
    columns = []
    for error, width in ((0.03, 0.04 - 0.02), (-0.9, 1.2 - 0.8)):
        columns.append(
            np.log(bar_distribution.NUM_BARS * width)
            + 0.5 * np.log1p((error / 0.03) ** 2)
            + np.log1p(0.5 * error**2)
        )
    for ended, odds in ((False, np.log1p(np.exp(0.7))), (True, np.log1p(np.exp(-0.7)))):
        said = model.loss(result, y, jnp.bool_(ended), used)
        np.testing.assert_allclose(said, np.mean(columns) + odds, rtol=1e-4)


def test_a_few_steps_on_one_batch_reduce_the_loss(examples, first):
    state, losses = first, []
    for _ in range(40):
        state, loss = train_step(state, examples)
        losses.append(float(loss))
    assert np.isfinite(losses).all() and losses[-1] < losses[0] - 0.3
    assert int(state.step) == 40
    for name in ("params", "average"):
        changes = jax.tree.map(lambda new, old: np.abs(new - old).max(), getattr(state, name), first.params)
        assert all(0 < change < 1 for change in jax.tree.leaves(changes)), name


def test_what_does_not_count_changes_nothing(examples, first):
    wild = examples._replace(y=np.where(examples.counts[:, None], examples.y, 1e4))
    (one, loss), (two, other) = train_step(first, examples), train_step(first, wild)
    np.testing.assert_allclose(loss, other, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_an_untrained_model_gains_nothing_and_a_trained_one_does(examples, first):
    score = jax.jit(partial(pretrain.score, config=TINY))
    state = first
    for _ in range(40):
        state, _ = train_step(state, examples)
    before, after = score(first.params, examples=examples), score(state.params, examples=examples)
    np.testing.assert_allclose([before.nats, before.gain], 0.0, atol=2e-2)
    assert after.nats > 0.1 and after.loss < before.loss


def test_slots_are_permutations():
    inputs, targets = slots(jax.random.key(0), 3, TINY)
    assert (inputs.shape, targets.shape) == ((3 + 4, D), (4, Y))
    for matrix in (inputs, targets):
        np.testing.assert_array_equal(matrix.sum(axis=1), 1)
        assert matrix.sum(axis=0).max() == 1
    np.testing.assert_array_equal(targets[-1], np.eye(Y)[-1])
    np.testing.assert_array_equal(inputs[:3, :4], targets[:3, :4])
