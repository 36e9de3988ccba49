"""Equations that observations fulfil: found where there are some, and moved back to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.envs import registry
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.dream import surface

RNG = np.random.default_rng(0)


def two_angles(num=400):
    """Sine and cosine of two angles, among columns that are free, constant and whole."""
    first, second = RNG.uniform(-3, 3, (2, num))
    return np.stack(
        [
            np.cos(first),
            np.sin(first),
            np.full(num, 7.0),
            5.0 * RNG.normal(size=num),
            np.sin(second),
            RNG.integers(0, 2, num),
            np.cos(second),
        ],
        axis=1,
    ).astype(np.float32)


def placed(obs, pair):
    """The nearest points where a pair of columns makes up a circle."""
    nearest = obs.copy()
    nearest[:, pair] /= np.linalg.norm(obs[:, pair], axis=1, keepdims=True)
    return nearest


def test_two_circles_are_found_and_returned_to():
    obs, equal = two_angles(), jnp.ones(7)
    found = surface.find(obs)
    assert found.quadrics.shape == (2, 8, 8)
    moved = jax.vmap(lambda row: surface.onto(found, row, equal))(jnp.asarray(obs))
    np.testing.assert_allclose(moved, obs, atol=2e-6)
    off = obs + 0.01 * RNG.normal(size=obs.shape).astype(np.float32)
    back = np.asarray(jax.vmap(lambda row: surface.onto(found, row, equal))(jnp.asarray(off)))
    np.testing.assert_array_equal(back[:, [2, 3, 5]], off[:, [2, 3, 5]])
    for pair in ([0, 1], [4, 6]):
        np.testing.assert_allclose(np.linalg.norm(back[:, pair], axis=1), 1.0, atol=1e-4)
        moved, least = (
            np.linalg.norm(there[:, pair] - off[:, pair], axis=1) for there in (back, placed(off, pair))
        )
        assert (moved < 1.3 * least + 1e-4).all(), "nearly as short a way as there is"


@pytest.mark.parametrize("num", [1, 20, 400])
def test_what_is_free_stays_where_it_is(num):
    """Normal numbers fulfil no equation, and a few are no evidence of one."""
    obs = RNG.normal(size=(num, 4)).astype(np.float32)
    found = surface.find(obs)
    assert len(found.quadrics) == 0
    np.testing.assert_array_equal(surface.onto(found, jnp.asarray(obs[0]), jnp.ones(4)), obs[0])


@pytest.mark.parametrize("doubt", [1.0, 1e-5])
def test_what_is_certain_stays_and_what_is_doubtful_goes_to_the_surface(doubt):
    """Here the sine; how large doubts are in all does not matter."""
    obs = two_angles()
    found = surface.find(obs)
    off = obs.copy()
    off[:, 1] *= 1.05
    is_far = np.abs(obs[:, 1]) > 0.2  # where the cosine tells the sine
    doubts = doubt * jnp.asarray([0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    back = np.asarray(jax.vmap(lambda row: surface.onto(found, row, doubts))(jnp.asarray(off)))
    np.testing.assert_array_equal(back[:, [0, 2]], obs[:, [0, 2]])
    np.testing.assert_allclose(back[is_far, 1], obs[is_far, 1], atol=2e-3)


def test_without_any_doubt_the_way_is_the_shortest():
    obs = two_angles()
    found, off = surface.find(obs), jnp.asarray(1.01 * obs[0])
    same = [surface.onto(found, off, doubts) for doubts in (jnp.zeros(7), jnp.ones(7) * found.std)]
    np.testing.assert_allclose(*same, atol=1e-7)


def test_noise_hides_a_circle():
    obs = two_angles()
    assert len(surface.find(obs + 1e-3 * RNG.normal(size=obs.shape)).quadrics) == 0


@pytest.mark.parametrize(("name", "num"), [("Pendulum-v1", 1), ("CartPole-v0", 0), ("MountainCar-v0", 0)])
def test_tasks_have_the_surfaces_that_they_should(name, num):
    spec = registry.make(name)
    for seed in range(3):
        steps = collect(jax.random.key(seed), spec, Collection("held", 1000)).transitions
        assert len(surface.find(np.concatenate([steps.obs, steps.next_obs])).quadrics) == num


def test_a_product_that_is_always_zero_is_left_out():
    """Velocities along one axis or the other: their product tells of nothing, and spoils nothing."""
    obs = RNG.normal(size=(200, 2)).astype(np.float32)
    obs[:100, 0] = 0.0
    obs[100:, 1] = 0.0
    obs = np.concatenate([obs, -obs])  # so that their means are 0
    assert surface.find(obs).quadrics.shape == (0, 3, 3)
