"""GridWorld and SimpleEnv against their rules in plain Python, and episodes worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.envs import registry
from synthenv.envs.oswm_toys import GridWorldState, SimpleEnvState
from synthenv.envs.rollout import evaluate

RIGHT, LEFT, DOWN, UP = range(4)  # y grows downwards in the map below
GRID = (
    "XXXXXXXX",
    "X.....GX",
    "X.....GX",
    "X.....GX",
    "X.....GX",
    "X.....GX",
    "X.....GX",
    "XXXXXXXX",
)
INSIDE = [(x, y) for y in range(1, 7) for x in range(1, 6)]  # where an episode can go on from


def transcribed_grid_step(x: int, y: int, action: int) -> tuple[int, int, float, bool]:
    """Return the next cell, the reward and whether it ends the episode, straight from the rules."""
    x += {RIGHT: 1, LEFT: -1}.get(action, 0)
    y += {DOWN: 1, UP: -1}.get(action, 0)
    cell = {"X": -10.0, "G": 10.0, ".": 0.0}[GRID[y][x]]
    return x, y, cell - 1 + 0.01 * x, GRID[y][x] in "XG"


def test_every_cell_and_action_of_the_grid_equals_the_transcription():
    _, env, params, _, _ = registry.make("GridWorld")
    cases = [(x, y, action) for x, y in INSIDE for action in range(4)]
    x, y, actions = map(jnp.array, zip(*cases, strict=True))
    states = GridWorldState(x=x, y=y, time=jnp.full(len(cases), 6, jnp.int32))
    step = jax.vmap(env.step_env, in_axes=(None, 0, 0, None))
    obs, states, rewards, terminated, info = step(jax.random.key(0), states, actions, params)
    new_x, new_y, expected, ends = map(
        np.array, zip(*(transcribed_grid_step(*case) for case in cases), strict=True)
    )
    np.testing.assert_array_equal(obs, np.stack([new_x, new_y], axis=1).astype(np.float32))
    np.testing.assert_array_equal((states.x, states.y, states.time), (new_x, new_y, np.full(len(cases), 7)))
    np.testing.assert_allclose(rewards, expected, rtol=1e-6)
    np.testing.assert_array_equal(terminated, ends)
    np.testing.assert_array_equal(info["discount"], 1.0 - ends)
    assert (obs.dtype, rewards.dtype) == ("float32", "float32")
    assert 0 < ends.sum() < len(ends)


def test_the_best_return_of_the_grid_is_five_steps_to_the_right():
    _, env, params, solved_return, max_steps = registry.make("GridWorld")
    right = evaluate(jax.random.key(0), env, params, lambda key, obs: RIGHT, 30, max_steps)
    np.testing.assert_allclose(right.returns, 5.20, rtol=1e-6)
    np.testing.assert_array_equal(right.lengths, 5)
    assert solved_return < 5.2
    left = evaluate(jax.random.key(0), env, params, lambda key, obs: LEFT, 3, max_steps)
    np.testing.assert_allclose(left.returns, -11.0)
    np.testing.assert_array_equal(left.lengths, 1)


def test_who_wanders_in_the_grid_is_cut_off_at_its_27th_step():
    _, env, params, _, max_steps = registry.make("GridWorld")
    act = lambda key, obs: jnp.where(obs[1] >= 3, UP, DOWN)  # noqa: E731
    result = evaluate(jax.random.key(0), env, params, act, 20, max_steps)
    np.testing.assert_array_equal(result.lengths, 27)
    np.testing.assert_allclose(result.returns, 27 * -0.99, rtol=1e-5)
    _, state = env.reset(jax.random.key(1), params)
    for t in range(max_steps):
        action = UP if state.y >= 3 else DOWN
        _, state, _, terminated, truncated, _ = env.step(jax.random.key(t), state, action, params)
        assert (bool(terminated), bool(truncated)) == (False, t + 1 == 27)


def test_starts_of_the_grid_are_every_row_of_the_first_column():
    _, env, params, _, _ = registry.make("GridWorld")
    obs, states = jax.vmap(env.reset_env, in_axes=(0, None))(jax.random.split(jax.random.key(0), 600), params)
    np.testing.assert_array_equal(obs[:, 0], 1)
    rows, counts = np.unique(obs[:, 1], return_counts=True)
    np.testing.assert_array_equal(rows, [1, 2, 3, 4, 5, 6])
    assert counts.min() > 60, "uniform: 100 each, give or take 9"
    assert (states.x.dtype, states.y.dtype) == ("int32", "int32")


def test_the_grid_keeps_an_ended_episode_within_its_bounds():
    _, env, params, _, _ = registry.make("GridWorld")
    state = GridWorldState(x=jnp.int32(0), y=jnp.int32(3), time=jnp.int32(1))
    obs, _, _, terminated, _ = env.step_env(jax.random.key(0), state, LEFT, params)
    np.testing.assert_array_equal(obs, [0, 3])
    assert terminated


def test_the_line_equals_numpy_transition_by_transition():
    _, env, params, _, _ = registry.make("SimpleEnv")
    rng = np.random.default_rng(0)
    positions = rng.uniform(-30, 30, 300).astype(np.float32)
    actions = rng.uniform(-12, 12, (300, 1)).astype(np.float32)  # beyond the bound too
    states = SimpleEnvState(position=jnp.asarray(positions), time=jnp.full(300, 3, jnp.int32))
    step = jax.vmap(env.step_env, in_axes=(None, 0, 0, None))
    obs, states, rewards, terminated, _ = step(jax.random.key(0), states, actions, params)
    expected = np.clip(positions + np.clip(actions[:, 0], -10, 10), -30, 30)
    assert (np.abs(expected) == 30).sum() > 10
    np.testing.assert_allclose(obs, expected[:, None], rtol=1e-6)
    np.testing.assert_allclose(rewards, -np.abs(expected), rtol=1e-6)
    np.testing.assert_array_equal(states.time, 4)
    assert not terminated.any()


def test_an_episode_of_the_line_by_hand():
    _, env, params, solved_return, max_steps = registry.make("SimpleEnv")
    home = evaluate(jax.random.key(0), env, params, lambda key, obs: -obs, 10, max_steps)
    np.testing.assert_array_equal(home.returns, 0.0)
    np.testing.assert_array_equal(home.lengths, 20)
    assert solved_return == pytest.approx(0.03 * -256, abs=0.1), "eq. 1 with the paper's random return"
    obs, state = env.reset(jax.random.key(1), params)
    assert abs(float(obs[0])) <= 5
    for t in range(max_steps):
        last, step = float(state.position), env.step(jax.random.key(t), state, jnp.array([1.0]), params)
        _, state, reward, terminated, truncated, info = step
        np.testing.assert_allclose(info["final_observation"], [last + 1], rtol=1e-6)
        np.testing.assert_allclose(reward, -abs(last + 1), rtol=1e-6)
        assert (bool(terminated), bool(truncated)) == (False, t + 1 == 20)


@pytest.mark.parametrize(
    ("name", "theirs", "margin"), [("GridWorld", -14.2, 1.0), ("SimpleEnv", -256.2, 15.0)]
)
def test_random_actions_score_what_the_paper_says(name, theirs, margin):
    _, env, params, _, max_steps = registry.make(name)
    act = lambda key, obs: env.action_space().sample(key)  # noqa: E731
    result = jax.jit(lambda key: evaluate(key, env, params, act, 1000, max_steps))(jax.random.key(0))
    assert abs(result.returns.mean() - theirs) < margin


@pytest.mark.parametrize(("name", "size", "low", "high"), [("GridWorld", 2, 0, 7), ("SimpleEnv", 1, -30, 30)])
def test_spaces(name, size, low, high):
    _, env, params, _, max_steps = registry.make(name)
    space = env.observation_space(params)
    assert (space.shape, space.low, space.high) == ((size,), low, high)
    assert params == env.default_params
    obs, state = env.reset(jax.random.key(0), params)
    assert space.contains(obs)
    assert env.state_space(params).spaces["time"].n == max_steps + 1
    assert set(env.state_space(params).spaces) == set(vars(state))
