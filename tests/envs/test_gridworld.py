"""Gridworlds against a transcription of their rules into plain Python, over every cell and action."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.envs import gridworld, registry
from synthenv.envs.gridworld import EnvParams, EnvState, GridWorld

RIGHT, LEFT, DOWN, UP = range(4)
WALLS = GridWorld(
    "WallsAndHoles",
    ("S.#.", ".#.H", "...G"),
    EnvParams(step_reward=-0.5, goal_reward=2.0, hole_reward=-3.0, max_steps_in_episode=30),
)
MAPS = {
    "CliffWalking": ("............", "............", "............", "SHHHHHHHHHHG"),
    "EmptyRoom22": ("S.", ".G"),
    "EmptyRoom23": ("S..", "..G"),
    "EmptyRoom33": ("S..", "...", "..G"),
    "WallsAndHoles": ("S.#.", ".#.H", "...G"),
}
REWARDS = dict.fromkeys(MAPS, (-0.01, 1.0, None))  # step, goal, hole
REWARDS |= {"CliffWalking": (-1.0, 0.0, -100.0), "WallsAndHoles": (-0.5, 2.0, -3.0)}


def build(name):
    if name == "WallsAndHoles":
        return WALLS, WALLS.default_params
    return registry.make(name)[1:3]


def transcribed_step(name: str, cell: int, action: int) -> tuple[int, float, bool]:
    """Return the next cell, the reward and whether it ends the episode, straight from the rules."""
    rows = MAPS[name]
    row, col = cell // len(rows[0]), cell % len(rows[0])
    new_row, new_col = row, col
    if action == RIGHT:
        new_col += 1
    elif action == LEFT:
        new_col -= 1
    elif action == DOWN:
        new_row += 1
    elif action == UP:
        new_row -= 1
    inside = 0 <= new_row < len(rows) and 0 <= new_col < len(rows[0])
    if not inside or rows[new_row][new_col] == "#":
        new_row, new_col = row, col
    entered = rows[new_row][new_col]
    step_reward, goal_reward, hole_reward = REWARDS[name]
    reward = {"G": goal_reward, "H": hole_reward}.get(entered, step_reward)
    return new_row * len(rows[0]) + new_col, reward, entered in "GH"


@pytest.mark.parametrize("name", MAPS)
def test_every_cell_and_action_equals_the_transcription(name):
    env, params = build(name)
    num_cells = sum(map(len, MAPS[name]))
    assert env.num_cells == num_cells
    assert env.num_actions == 4
    assert env.name == name
    cells, actions = np.divmod(np.arange(num_cells * 4), 4)
    states = EnvState(cell=jnp.asarray(cells, jnp.int32), time=jnp.full(len(cells), 6, jnp.int32))
    step = jax.vmap(env.step_env, in_axes=(None, 0, 0, None))
    obs, states, rewards, terminated, info = step(jax.random.key(0), states, jnp.asarray(actions), params)
    expected = [transcribed_step(name, cell, action) for cell, action in zip(cells, actions, strict=True)]
    next_cells, expected_rewards, ends = map(np.array, zip(*expected, strict=True))
    np.testing.assert_array_equal(states.cell, next_cells)
    np.testing.assert_array_equal(states.time, 7)
    np.testing.assert_allclose(rewards, expected_rewards, rtol=1e-6)
    np.testing.assert_array_equal(terminated, ends)
    np.testing.assert_array_equal(info["discount"], 1.0 - ends)
    np.testing.assert_array_equal(obs, np.eye(num_cells, dtype=np.float32)[next_cells])


@pytest.mark.parametrize(("name", "start"), [("CliffWalking", 36), ("EmptyRoom23", 0), ("WallsAndHoles", 0)])
def test_episodes_begin_on_the_start_cell(name, start):
    env, params = build(name)
    obs, state = env.reset(jax.random.key(0), params)
    assert (int(state.cell), int(state.time)) == (start, 0)
    np.testing.assert_array_equal(obs, np.eye(env.num_cells)[start])


@pytest.mark.parametrize("name", ["CliffWalking", "EmptyRoom22", "EmptyRoom23", "EmptyRoom33"])
def test_bumping_into_the_border_is_cut_off_at_the_limit(name):
    _, env, params, _, max_steps = registry.make(name)
    start_obs, state = env.reset(jax.random.key(0), params)
    for t in range(max_steps):
        obs, state, _, terminated, truncated, _ = env.step(jax.random.key(t), state, LEFT, params)
        assert not terminated
        assert bool(truncated) == (t + 1 == max_steps)
    assert int(state.time) == 0
    np.testing.assert_array_equal(obs, start_obs)


def test_params_may_vary_under_vmap():
    env, params = build("EmptyRoom22")
    state = EnvState(cell=jnp.int32(1), time=jnp.int32(0))
    goals = jnp.array([1.0, 5.0])
    step = jax.vmap(lambda g: env.step_env(jax.random.key(0), state, DOWN, params.replace(goal_reward=g))[2])
    np.testing.assert_array_equal(step(goals), goals)


@pytest.mark.parametrize(
    ("layout", "complaint"),
    [
        ((), "non-zero length"),
        (("",), "non-zero length"),
        (("S.", "G"), "one non-zero length"),
        (("Sx", ".G"), "got ['x']"),
        (("SS", ".G"), "exactly one 'S'"),
        (("..", ".G"), "exactly one 'S'"),
        (("S.", ".."), "at least one 'G'"),
    ],
)
def test_bad_maps_are_refused_in_one_line(layout, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)) as error:
        gridworld.GridWorld("Bad", layout, EnvParams())
    assert "\n" not in str(error.value)
