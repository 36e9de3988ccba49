"""Tasks of gymnasium inside compiled loops: equal to gymnasium's own episodes, one seat for each of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.envs import registry, rollout
from synthenv.envs.on_host import gymnasium_env

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("mujoco")
TASK = "InvertedPendulum-v5"


@pytest.fixture(scope="module")
def spec():
    return registry.make(TASK)


def test_what_gymnasium_says_of_it(spec):
    assert (spec.name, spec.env.name, spec.kind) == (TASK, TASK, "continuous")
    assert (spec.max_steps, spec.solved_return) == (1000, 950.0)
    assert spec.env.observation_space().shape == (4,) and spec.env.action_space().shape == (1,)
    assert registry.make(TASK) is spec or registry.make(TASK).env is spec.env


def test_an_episode_is_gymnasiums(spec):
    """The same seed, the same actions: the same observations, rewards and end, bit for bit in single precision."""
    key = jax.random.key(3)
    reset, step = jax.jit(spec.env.reset_env), jax.jit(spec.env.step_env)
    obs, state = reset(key, spec.env_params)
    env = gymnasium.make(TASK)
    theirs, _ = env.reset(seed=int(jax.random.bits(key, dtype=jnp.uint32)))
    np.testing.assert_array_equal(obs, theirs.astype(np.float32))
    for i in range(200):
        action = np.float32([0.3 * (-1) ** i])
        obs, state, reward, terminated, info = step(key, state, action, spec.env_params)
        theirs, their_reward, their_end, *_ = env.step(action)
        np.testing.assert_array_equal(obs, theirs.astype(np.float32))
        assert (float(reward), bool(terminated)) == (pytest.approx(their_reward), their_end)
        assert float(info["discount"]) == (not their_end) and int(state.time) == i + 1
        if their_end:
            break
    assert their_end, "the pole never fell"
    again = step(key, state, action, spec.env_params)
    assert bool(again[3]) and float(again[2]) == 0.0, "whoever steps on behind the end is told so"


def test_episodes_side_by_side_end_each_at_its_own_time(spec):
    played = jax.jit(
        lambda key: rollout.evaluate(
            key, spec.env, spec.env_params, lambda key, obs: jnp.zeros(1), 12, spec.max_steps
        )
    )(jax.random.key(0))
    assert (played.lengths > 1).all() and len(np.unique(played.lengths)) > 1
    np.testing.assert_array_equal(played.returns, played.lengths - 1)  # the last step pays nothing


def test_seats_are_used_again(spec, monkeypatch):
    """Of many resets that nobody steps, and many episodes that end, few instances are left."""
    seats = gymnasium_env._Seats(TASK, 5)
    monkeypatch.setattr(gymnasium_env, "_FRESH", 4)
    for seed in range(40):
        seats.reset(np.uint32(seed))
    assert len(seats._playing) + len(seats._free) <= 6
    for seed in range(40):
        _, number = seats.reset(np.uint32(seed))
        for time in range(5):
            seats.step(number, np.int32(time), np.zeros(1, np.float32))
    assert len(seats._playing) + len(seats._free) <= 8


def test_a_state_can_be_stepped_forwards_only():
    seats = gymnasium_env._Seats(TASK, 50)
    _, number = seats.reset(np.uint32(0))
    zero = np.zeros(1, np.float32)
    first = seats.step(number, np.int32(0), zero)
    again = seats.step(
        number, np.int32(0), zero
    )  # a program may ask once more for the step that it has just made
    np.testing.assert_array_equal(first[0], again[0])
    seats.step(number, np.int32(1), zero)
    with pytest.raises(RuntimeError, match="was stepped twice: only its newest one"):
        seats.step(number, np.int32(0), zero)


def test_tasks_that_cannot_be_had():
    with pytest.raises(UserError, match="choose a task whose observations are a vector"):
        registry.make("Blackjack-v1")
    with pytest.raises(UserError, match=r"unknown task 'InvertedPendulam-v5'; "):
        registry.make("InvertedPendulam-v5")
