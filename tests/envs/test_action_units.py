"""Actions of a task and ours: every space that gymnasium tasks may have, there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.envs import action_units
from synthenv.envs.on_host import gymnasium_task

gymnasium = pytest.importorskip("gymnasium")
Box, Discrete = gymnasium.spaces.Box, gymnasium.spaces.Discrete


class Recorder(gymnasium.Env):
    """Refuses actions that are not of its space, as a strict task does; observes what it was given last."""

    def __init__(self, action_space):
        self.action_space = action_space
        self.observation_space = Box(-np.inf, np.inf, (max(1, int(np.prod(action_space.shape))),))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return np.atleast_1d(np.asarray(action, np.float32)), -float(np.sum(action)), False, False, {}


SPACES = {
    "from zero": Box(0, 1, (1,), np.float32),
    "each its own": Box(np.float32([0, -5]), np.float32([1, 5])),
    "never negative": Box(np.float32([2, 10]), np.float32([3, 1000])),
    "one that cannot move": Box(np.float32([0, -5]), np.float32([0, 5])),
    "double": Box(0.1, 0.3, (2,), np.float64),
    "whole": Box(0, 6, (1,), int),
    "whole, symmetric": Box(-3, 3, (2,), np.int32),
    "bytes": Box(0, 255, (1,), np.uint8),
    "symmetric": Box(-2, 2, (1,), np.float32),
    "symmetric, differing": Box(np.float32([-1, -5]), np.float32([1, 5])),
    "discrete": Discrete(3),
    "from five": Discrete(3, start=5),
    "from below": Discrete(3, start=-1),
}


def drawn(units: action_units.ActionUnits, num: int = 200) -> np.ndarray:
    """Actions of ours, the outermost ones and some beyond among them."""
    source = np.random.default_rng(0)
    if units.num_actions is not None:
        return np.arange(num) % units.num_actions
    ours = source.uniform(-1.2, 1.2, (num, len(units.low)))
    ours[:2] = [[-1.0], [1.0]]
    return (ours * units.bound).astype(np.float32)


@pytest.mark.parametrize("name", SPACES)
def test_the_task_takes_what_becomes_of_ours(name):
    """NumPy's, and JAX's from within a compiled policy; the last of them reach both ends."""
    space = SPACES[name]
    env = Recorder(space)
    units = gymnasium_task.units_of(env)
    ours = drawn(units)
    for action in ours:
        assert space.contains(units.to_task(action)), action
        env.step(gymnasium_task.env_action(env, action))
    compiled = jax.jit(jax.vmap(units.to_task))(jnp.asarray(ours))
    assert all(space.contains(action) for action in np.asarray(compiled))
    np.testing.assert_allclose(compiled, units.to_task(ours), rtol=1e-5, atol=1e-6)
    own = np.asarray(units.to_task(ours), np.float64)
    if not units.is_discrete:
        np.testing.assert_allclose([own.min(axis=0), own.max(axis=0)], [space.low, space.high], rtol=1e-6)
    else:
        assert set(own) == set(range(int(space.start), int(space.start + space.n)))


@pytest.mark.parametrize("name", SPACES)
def test_there_and_back(name):
    space = SPACES[name]
    space.seed(0)
    units = gymnasium_task.units_of(Recorder(space))
    own = np.array([space.sample() for _ in range(100)])
    assert not units.beyond(own)
    ours = units.from_task(own)
    if units.is_discrete:
        assert ours.min() == 0 and ours.max() == space.n - 1
    else:
        assert np.abs(ours).max() <= units.bound
    np.testing.assert_allclose(units.to_task(ours), own, rtol=1e-6, atol=1e-6)


def test_symmetric_bounds_leave_actions_as_they_are():
    units = action_units.box([-2, -2], [2, 2])
    action = np.float32([[0.1, -1.9], [2.0, 0.7]])
    assert units.bound == 2.0
    np.testing.assert_array_equal(units.to_task(action), action)
    np.testing.assert_array_equal(units.from_task(action), action)


def test_what_lies_beyond_is_told_by_dimension():
    units = action_units.box([0, -5], [1, 5])
    assert units.beyond(np.float32([[0.5, 4], [1, -5]])) == ""
    assert units.beyond(np.float32([[0.5, 4], [1, -7]])) == "from -7 to 4 in dimension 1, not -5 to 5"
    assert units.beyond(np.float32([[np.nan, 4]])) == ""
    assert action_units.discrete(3, 5).beyond(np.array([5, 0])) == "from 0 to 5, not 5 to 7"


def test_whole_numbers_are_noted_as_they_are_executed():
    units = gymnasium_task.units_of(Recorder(SPACES["whole"]))
    np.testing.assert_allclose(units.taken(np.float32([0.2])), [1 / 3], rtol=1e-6)
    units = gymnasium_task.units_of(Recorder(SPACES["from zero"]))
    np.testing.assert_array_equal(units.taken(np.float32([0.2])), np.float32([0.2]))
