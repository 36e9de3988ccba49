"""Every gymnax task equals gymnasium's: single transitions from random states, then whole episodes."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.classic_control import acrobot, cartpole, mountain_car, pendulum
from gymnax.environments.classic_control.continuous_mountain_car import ContinuousMountainCar

from synthenv.envs import registry
from synthenv.envs.mountain_car_continuous import EnvState as ContinuousState

pytestmark = pytest.mark.filterwarnings("ignore:.*out of date.*:DeprecationWarning")


class Task(NamedTuple):
    """How to sample a state, hand it to either side, and act."""

    state: Callable[..., Any]  # gymnax state, by keywords
    fields: tuple[str, ...]  # which of its fields are gymnasium's state, in gymnasium's order
    high: tuple[float, ...]  # random states are uniform in [low, high]
    low: tuple[float, ...]
    max_action: float | int  # a bound for continuous actions, a count for discrete ones


# CartPole states lie within the bounds it terminates at: what it pays beyond them is undefined in gymnasium.
CARTPOLE = Task(
    state=cartpole.EnvState,
    fields=("x", "x_dot", "theta", "theta_dot"),
    high=(2.39, 3.0, 0.208, 3.0),
    low=(-2.39, -3.0, -0.208, -3.0),
    max_action=2,
)
ACROBOT = Task(
    state=acrobot.EnvState,
    fields=("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
    high=(3.14, 3.14, 9.0, 20.0),
    low=(-3.14, -3.14, -9.0, -20.0),
    max_action=3,
)
CAR = Task(mountain_car.EnvState, ("position", "velocity"), (0.6, 0.07), (-1.2, -0.07), 3)
PENDULUM_STATE = functools.partial(pendulum.EnvState, last_u=jnp.float32(0.0))
TASKS = {
    "CartPole-v0": CARTPOLE,
    "CartPole-v1": CARTPOLE,
    "Acrobot-v1": ACROBOT,
    "MountainCar-v0": CAR,
    "MountainCarContinuous-v0": CAR._replace(state=ContinuousState, max_action=1.5),
    "Pendulum-v1": Task(PENDULUM_STATE, ("theta", "theta_dot"), (7.0, 8.0), (-7.0, -8.0), 3.0),
}


def random_transitions(name: str, env: Any, num: int = 400) -> tuple:
    """Step `env` from random states; return states, actions and (obs, reward, terminated), all [num, ...]."""
    task, spec = TASKS[name], registry.make(name)
    rng = np.random.default_rng(0)
    states = rng.uniform(task.low, task.high, (num, len(task.low))).astype(np.float32)
    if isinstance(task.max_action, int):
        actions = rng.integers(task.max_action, size=num).astype(np.int32)
    else:  # beyond the bounds too, to see the clipping and what the cost is charged on
        actions = rng.uniform(-task.max_action, task.max_action, (num, 1)).astype(np.float32)

    def step(state, action):
        state = task.state(time=jnp.int32(0), **dict(zip(task.fields, state, strict=True)))
        obs, _, reward, terminated, _ = env.step_env(jax.random.key(0), state, action, spec.env_params)
        return obs, reward, terminated

    return states, actions, jax.tree.map(np.asarray, jax.jit(jax.vmap(step))(states, actions))


def gymnasium_transition(env: gymnasium.Env, state: Any, action: Any) -> tuple:
    """Put gymnasium into a state and step it there, time limit included."""
    # Only MountainCarContinuous keeps its own state in float32.
    dtype = np.float32 if "Continuous" in env.spec.id else np.float64
    env.unwrapped.state = np.asarray(state, dtype)
    return env.step(action if np.ndim(action) else int(action))


def oracle_errors(name: str, env: Any) -> tuple[np.ndarray, np.ndarray]:
    """Compare random transitions: which differ [num], and which terminated in gymnasium [num]."""
    states, actions, (obs, reward, terminated) = random_transitions(name, env)
    oracle, differs, ended = gymnasium.make(name).unwrapped, [], []
    for i in range(len(states)):
        oracle.reset(seed=0)
        their_obs, their_reward, their_end, _, _ = gymnasium_transition(oracle, states[i], actions[i])
        same = np.allclose(obs[i], their_obs, rtol=1e-4, atol=1e-5)
        same &= np.allclose(reward[i], their_reward, rtol=1e-5, atol=1e-5)
        differs.append(not same or bool(terminated[i]) != their_end)
        ended.append(their_end)
    return np.array(differs), np.array(ended)


@pytest.mark.parametrize("name", TASKS)
def test_transitions_from_random_states_equal_gymnasium(name):
    differs, ended = oracle_errors(name, registry.make(name).env)
    assert not differs.any(), np.flatnonzero(differs)
    if name != "Pendulum-v1":  # which never terminates
        assert 10 < ended.sum() < len(ended) - 10


def test_gymnax_still_needs_our_left_wall():
    differs, _ = oracle_errors("MountainCarContinuous-v0", ContinuousMountainCar())
    assert differs.any(), "gymnax agrees with gymnasium by now: delete mountain_car_continuous.py"


def test_car_stops_at_the_left_wall():
    env, params = registry.make("MountainCarContinuous-v0")[1:3]
    state = ContinuousState(position=jnp.float32(-1.19), velocity=jnp.float32(-0.05), time=jnp.int32(0))
    obs, *_ = env.step_env(jax.random.key(0), state, jnp.array([0.0]), params)
    np.testing.assert_allclose(obs, [-1.2, 0.0])


def balance(obs, t):
    return int(obs @ np.array([0.1, 0.3, 3.0, 1.0]) > 0)


def alternate(obs, t):
    return t // 5 % 2


def swing_car(obs, t):
    return 2 if obs[1] >= 0 else 0


def swing_car_continuously(obs, t):
    return np.array([1.2 if obs[1] >= 0 else -1.2], np.float32)


def swing_acrobot(obs, t):
    return 2 if obs[5] >= 0 else 0


EPISODES = [
    ("CartPole-v0", balance, "truncated"),
    ("CartPole-v1", balance, "truncated"),
    ("CartPole-v1", alternate, "terminated"),
    ("Acrobot-v1", swing_acrobot, "terminated"),
    ("Acrobot-v1", lambda obs, t: 1, "truncated"),
    ("MountainCar-v0", swing_car, "terminated"),
    ("MountainCar-v0", lambda obs, t: t % 3, "truncated"),
    ("MountainCarContinuous-v0", swing_car_continuously, "terminated"),
    ("MountainCarContinuous-v0", lambda obs, t: np.array([0.1], np.float32), "truncated"),
    ("Pendulum-v1", lambda obs, t: np.array([np.sin(t / 3.0)], np.float32), "truncated"),
]


@pytest.mark.parametrize(("name", "policy", "ending"), EPISODES)
def test_episodes_end_as_in_gymnasium(name, policy, ending):
    _, env, params, _, max_steps = registry.make(name)
    oracle = gymnasium.make(name)
    oracle.reset(seed=0)
    obs, state = env.reset(jax.random.key(3), params)
    for t in range(max_steps):
        action = policy(np.asarray(obs), t)
        theirs = gymnasium_transition(oracle, [getattr(state, f) for f in TASKS[name].fields], action)
        obs, state, reward, terminated, truncated, info = env.step(jax.random.key(t), state, action, params)
        np.testing.assert_allclose(info["final_observation"], theirs[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(reward, theirs[1], rtol=1e-5, atol=1e-5)
        assert (bool(terminated), bool(truncated)) == theirs[2:4], f"at step {t}"
        if terminated or truncated:
            break
    assert (bool(terminated), bool(truncated)) == (ending == "terminated", ending == "truncated")
    assert t + 1 == max_steps or ending == "terminated"
    first_obs, _ = env.reset_env(jax.random.split(jax.random.key(t))[1], params)
    np.testing.assert_array_equal(obs, first_obs)
    assert int(state.time) == 0


@pytest.mark.parametrize("name", TASKS)
def test_starts_are_spread_as_in_gymnasium(name):
    _, env, params, _, _ = registry.make(name)
    ours, _ = jax.vmap(env.reset_env, in_axes=(0, None))(jax.random.split(jax.random.key(0), 4000), params)
    oracle = gymnasium.make(name).unwrapped
    oracle.reset(seed=0)
    theirs = np.stack([oracle.reset()[0] for _ in range(4000)])
    # The extremes of 4000 uniform draws lie within 1 % of the ends of the interval.
    margin = 0.01 * (theirs.max(0) - theirs.min(0)) + 1e-6
    assert (np.abs(np.asarray(ours).max(0) - theirs.max(0)) <= margin).all()
    assert (np.abs(np.asarray(ours).min(0) - theirs.min(0)) <= margin).all()


@pytest.mark.parametrize("name", TASKS)
def test_limits_thresholds_and_spaces_are_gymnasiums(name):
    ours, theirs = registry.make(name), gymnasium.spec(name)
    assert ours.max_steps == ours.env_params.max_steps_in_episode == theirs.max_episode_steps
    assert theirs.reward_threshold in (None, ours.solved_return)
    their_env = gymnasium.make(name)
    their_actions = their_env.action_space
    assert ours.env.observation_space(ours.env_params).shape == their_env.observation_space.shape
    action_space = ours.env.action_space(ours.env_params)
    assert action_space.shape == their_actions.shape
    if isinstance(TASKS[name].max_action, int):
        assert action_space.n == their_actions.n
    else:
        assert (action_space.low, action_space.high) == (
            their_actions.low,
            their_actions.high,
        )
