"""Hyperparameters: table 2's ranges, buckets that hold their networks, one dtype per field."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from synthenv.agents.config import Variation
from synthenv.agents.presets import AGENTS, TABLE3_CARTPOLE, TABLE5
from synthenv.agents.training.bucket import BLOCK, Bucket, rung
from synthenv.agents.training.hyperparams import costs, few_shapes, fixed_hyperparams, sample

VARIED = replace(TABLE5, vary=True)


def draw(num: int = 4000):
    return sample(jax.random.key(0), VARIED, 195.0, num)


def test_table2_ranges():
    """Every draw lies in table 2, and the ends are reached."""
    hyperparams, buckets = draw()
    assert (
        1e-3 / 3 <= hyperparams.learning_rate.min() < 4e-4
        and 2.5e-3 < hyperparams.learning_rate.max() <= 3e-3
    )
    for field in (hyperparams.batch_size, hyperparams.hidden_size):
        assert field.min() == 42 and 370 < field.max() <= 384
    assert {b.depth for b in buckets} == {1, 2, 3}


@pytest.mark.parametrize("field", ["learning_rate", "batch_size", "hidden_size"])
def test_log_uniform(field):
    """Half of the draws lie below the geometric middle."""
    values = getattr(draw()[0], field)
    low, high = getattr(Variation(), field)
    assert np.mean(values < np.sqrt(low * high)) == pytest.approx(0.5, abs=0.03)


def test_depth_is_uniform():
    """A third of the draws for each depth."""
    depths = np.array([b.depth for b in draw()[1]])
    assert [np.mean(depths == d) for d in (1, 2, 3)] == pytest.approx([1 / 3] * 3, abs=0.03)


def test_bucket_holds_its_network():
    """The array width is the smallest rung that holds the drawn width."""
    hyperparams, buckets = draw(300)
    for width, bucket in zip(hyperparams.hidden_size, buckets, strict=True):
        assert bucket.max_hidden == rung(int(width)) >= width
    assert (rung(64), rung(65), rung(385), rung(5000)) == (64, 96, 512, 5000)


def test_fixed_agents_repeat_the_config():
    """Without variation all agents are the same and share one exact bucket."""
    hyperparams, buckets = sample(jax.random.key(0), TABLE3_CARTPOLE, 195.0, 5)
    assert buckets == [Bucket(1, 57, 199, 199)] * 5
    assert set(hyperparams.learning_rate) == {np.float32(0.000304)} and set(hyperparams.batch_size) == {199}


def test_types_do_not_depend_on_variation():
    """Fixed and varied hyperparameters have the same dtypes, so neither retraces the other's program."""
    varied, fixed = draw(2)[0], sample(jax.random.key(0), TABLE5, 195.0, 2)[0]
    assert jax.tree.map(lambda x: x.dtype, varied) == jax.tree.map(lambda x: x.dtype, fixed)


def test_step_budgets_may_vary():
    """``max_steps`` is drawn only if the variation says so."""
    config = replace(VARIED, variation=Variation(max_steps=(500, 2000)))
    steps = sample(jax.random.key(0), config, 195.0, 1000)[0].max_steps
    assert 500 <= steps.min() < 600 and 1800 < steps.max() <= 2000
    assert set(draw(10)[0].max_steps) == {TABLE5.max_steps}


def test_blocks_only_where_they_pay():
    """A varying batch is worked off in blocks on a CPU, a fixed one and any on an accelerator in one piece."""

    def block(config, blocked):
        (bucket,) = sample(jax.random.key(0), config, 195.0, 1, blocked)[1]
        return bucket.batch_block

    assert block(VARIED, blocked=True) == BLOCK
    assert block(VARIED, blocked=False) == 384
    assert block(TABLE3_CARTPOLE, blocked=True) == 199
    assert block(replace(VARIED, name="dueling_ddqn", advantage_mean="batch"), blocked=True) == 384


def test_costs_by_hand():
    """batch x (width x (inputs + outputs) + (depth - 1) x width^2)."""
    hyperparams = fixed_hyperparams(TABLE5, 195.0).replace(batch_size=np.array([10]))
    assert costs(hyperparams, [Bucket(3, 8)], 4).tolist() == [10 * (8 * 6 + 2 * 64)]


def test_few_shapes_are_drawn_as_agents_are_and_lie_evenly():
    """Over many keys each shape has table 2's distribution; under one key every sixth of the widths has one."""
    config, num = replace(TABLE5, vary=True), 6
    drawn = [few_shapes(jax.random.key(seed), config, num) for seed in range(60)]
    shares = np.array([np.log(one["hidden_size"] / 42) / np.log(384 / 42) for one in drawn])
    above = np.sort(shares, axis=1) - np.arange(num) / num
    assert above.min() > -0.011 and above.max() <= 1 / num  # truncation may cost a unit
    assert np.abs(shares.mean(axis=0) - 0.5).max() < 0.15 and len(np.unique(shares[:, 0])) > 30
    assert all(sorted(one["depth"].tolist()) == [1, 1, 2, 2, 3, 3] for one in drawn)
    pairs = np.array([[one["hidden_size"], one["depth"]] for one in drawn]).transpose(1, 0, 2).reshape(2, -1)
    assert abs(np.corrcoef(pairs)[0, 1]) < 0.15


def test_agents_take_few_shapes_by_turns():
    """Nothing else of them is shared; agents that do not vary, or have no networks, have no shapes."""
    config = replace(TABLE5, vary=True)
    shapes = few_shapes(jax.random.key(1), config, 6)
    hyperparams, buckets = sample(jax.random.key(2), config, 195.0, 13, shapes=shapes)
    assert hyperparams.hidden_size.tolist() == np.resize(shapes["hidden_size"], 13).tolist()
    assert [bucket.depth for bucket in buckets[:6]] == shapes["depth"].tolist()
    free, _ = sample(jax.random.key(2), config, 195.0, 13)
    np.testing.assert_array_equal(hyperparams.learning_rate, free.learning_rate)
    np.testing.assert_array_equal(hyperparams.batch_size, free.batch_size)
    assert few_shapes(jax.random.key(1), TABLE5, 6) == {}
    assert few_shapes(jax.random.key(1), replace(AGENTS["q_learning"], vary=True), 6) == {}
