"""Batches of random tasks: shapes, what is empty, what follows what; and the physics of two families."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.worldmodel.small.prior import sample as prior
from synthenv.worldmodel.small.prior.generic_families import CONTROL_SIZE, HALF, STATE_SIZE
from synthenv.worldmodel.small.prior.random_words import Draws
from synthenv.worldmodel.small.prior.rigid_families import RIGID
from synthenv.worldmodel.small.prior.sample import PriorConfig
from synthenv.worldmodel.small.prior.sensors import MAX_ACTIONS

CONFIG = PriorConfig(
    families=("linear", "grid"),
    tasks_per_family=20,
    max_obs=4,
    num_context=32,
    min_context=8,
    num_queries=8,
    chain_length=8,
)
NUM_TASKS, NUM_ROWS = 40, 40
GRIDS = slice(20, 40)
sample = jax.jit(partial(prior.sample, config=CONFIG))


@pytest.fixture(scope="module")
def batch():
    return jax.tree.map(np.asarray, sample(jax.random.key(0)))


def test_shapes(batch):
    assert CONFIG.batch_size == NUM_TASKS
    assert batch.inputs.shape == batch.after.shape == (NUM_TASKS, NUM_ROWS, 4 + MAX_ACTIONS)
    assert batch.targets.shape == (NUM_TASKS, NUM_ROWS, 5)
    assert batch.terminated.shape == (NUM_TASKS, NUM_ROWS)
    assert batch.used.shape == (NUM_TASKS, 5) and batch.used[:, -1].all()
    assert batch.sound.mean() > 0.9 and np.isfinite(batch.inputs).all()
    sizes = batch.num_context
    assert sizes.min() >= 8 and sizes.max() <= 32 and len(np.unique(sizes)) > 5


def test_columns_that_are_not_in_use_are_zero(batch):
    unused = ~batch.used[:, None, :-1]
    assert unused.any() and not unused.all()
    for array in (batch.inputs[..., :4], batch.after[..., :4], batch.targets[..., :4]):
        assert not np.any(array * unused)
    # Those in use come first, and hold something.
    assert (np.diff(batch.used[:, :-1].astype(int), axis=1) <= 0).all()


def test_targets_are_what_changes(batch):
    np.testing.assert_array_equal(batch.targets[..., :4], batch.after[..., :4] - batch.inputs[..., :4])
    np.testing.assert_array_equal(batch.after[..., 4:], batch.inputs[..., 4:])
    assert np.abs(batch.targets[..., :4]).max(axis=(1, 2)).min() > 0, "something moves in every task"


def test_actions_are_one_hot_or_controls(batch):
    actions = batch.inputs[..., 4:]
    one_hot = np.isin(actions, [0, 1]).all(axis=(1, 2)) & (actions.sum(axis=2) == 1).all(axis=1)
    assert 0.25 < one_hot.mean() < 0.75
    continuous = actions[~one_hot]
    assert np.abs(continuous).max() <= 1.0 and not continuous[..., CONTROL_SIZE:].any()
    assert (continuous < 0).any(axis=(1, 2)).all()


def test_boards_are_whole_numbers_and_moves_single(batch):
    grid = batch.inputs[GRIDS, :, :4]
    plain = np.asarray(batch.used[GRIDS, :2].all(axis=1))
    np.testing.assert_array_equal(grid, np.round(grid))
    assert plain.any() and np.abs(batch.targets[GRIDS, :, :4]).max() == 1.0
    assert not np.array_equal(batch.inputs[:20, :, :4], np.round(batch.inputs[:20, :, :4]))


def test_the_key_is_all_that_decides(batch):
    again, other = sample(jax.random.key(0)), sample(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, batch, again)
    assert not np.array_equal(batch.inputs, other.inputs)


def test_tasks_of_a_batch_differ(batch):
    flat = batch.targets.reshape(NUM_TASKS, -1)
    assert len(np.unique(flat, axis=0)) == NUM_TASKS


def test_rows_of_a_context_come_in_random_order(batch):
    """Chains would otherwise fill the first rows: each row begin where the one before it ends."""
    follows = np.all(batch.after[:20, :31, :4] == batch.inputs[:20, 1:32, :4], axis=2)
    assert follows.mean() < 0.1
    queries_follow = np.all(batch.after[:20, 32:39, :4] == batch.inputs[:20, 33:, :4], axis=2)
    assert queries_follow.mean() > 0.8


def test_the_energy_of_an_undriven_frictionless_pendulum_is_kept():
    family = RIGID["pendulum"]
    system = family.draw(Draws(jax.random.bits(jax.random.key(0), (200,))))
    numbers = system.numbers | {"gravity": 10.0, "friction": 0.0, "spring": 0.0, "top_speed": 1e3, "dt": 0.01}
    system = system._replace(numbers=jax.tree.map(jnp.float32, numbers))
    start = jnp.zeros(STATE_SIZE).at[0].set(2.0).at[HALF].set(0.5)

    def step(state, _):
        return (following := family.step(system, state, jnp.zeros(CONTROL_SIZE))), following

    states = np.asarray(jax.jit(lambda: jax.lax.scan(step, start, None, length=1000)[1])())
    angle, speed = states[:, 0], states[:, HALF]
    energy = 0.5 * speed**2 + 10.0 * np.cos(angle)  # upright is 0
    first = 0.5 * 0.5**2 + 10.0 * np.cos(2.0)
    np.testing.assert_allclose(energy, first, atol=0.3)
    assert np.ptp(speed) > 5.0, "it swings"
    free = family.step(system, start, jnp.array([1.0, 0.0]))
    pushed = free[HALF] - family.step(system, start, jnp.zeros(CONTROL_SIZE))[HALF]
    np.testing.assert_allclose(pushed, 0.01 * numbers["gain"], rtol=1e-3)


def test_the_arm_s_inertia_is_positive_definite():
    """Inverse masses, read off the step: velocities gained by each torque at rest, over the torques."""
    family = RIGID["arm"]

    def inverse_mass(key):
        key_system, key_bend = jax.random.split(key)
        system = family.draw(Draws(jax.random.bits(key_system, (200,))))
        numbers = system.numbers | {
            "gravity": jnp.float32(0),
            "dt": jnp.float32(1e-4),
            "limit": jnp.float32(9),
        }
        system = system._replace(numbers=numbers)
        bend = jax.random.uniform(key_bend, minval=-jnp.pi, maxval=jnp.pi)
        start = jnp.zeros(STATE_SIZE).at[1].set(bend)
        torque = numbers["gain"] * numbers["inertia"]
        gained = jax.vmap(lambda control: family.step(system, start, control)[HALF : HALF + 2])(jnp.eye(2))
        return gained.T / torque[None] / 1e-4

    inverse = np.asarray(jax.jit(jax.vmap(inverse_mass))(jax.random.split(jax.random.key(0), 500)))
    np.testing.assert_allclose(inverse[:, 0, 1], inverse[:, 1, 0], rtol=0.02, atol=0.02)
    assert (inverse[:, 0, 0] > 0).all() and (np.linalg.det(inverse) > 0).all()


@pytest.mark.parametrize("name", ["arm", "grid"])
def test_what_is_still_or_unused_never_moves(name):
    family = prior.FAMILIES[name]
    system = family.draw(Draws(jax.random.bits(jax.random.key(1), (400,))))
    state = start = family.reset(Draws(jax.random.bits(jax.random.key(2), (64,))), system)
    for control in ([1.0, 0.0], [0.0, -1.0], [-1.0, 0.5]):
        state = family.step(system, state, jnp.array(control))
    stays = np.asarray(system.still | ~system.used)
    np.testing.assert_array_equal(np.asarray(state)[stays], np.asarray(start)[stays])
    assert not np.array_equal(state, start)
