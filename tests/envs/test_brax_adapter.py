"""HalfCheetah through the adapter is brax's own, transition by transition.

On spring, the physics that compiles fastest: the adapter is the same for all of them.
"""

import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.envs.brax_adapter import half_cheetah
from synthenv.envs.rollout import rollout
from synthenv.envs.tasks import TASKS

NUM_STEPS = 25


def test_without_brax_the_message_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "brax.envs.half_cheetah", None)  # what an import of it then raises
    with pytest.raises(UserError, match=r"pip install 'synthenv\[brax\]'") as error:
        registry._build(TASKS["HalfCheetah"])
    assert "\n" not in str(error.value)


def test_without_brax_everything_else_works():
    code = "import sys; sys.modules |= dict.fromkeys(('brax', 'mujoco'))\n"  # None: an import of it raises
    code += "from synthenv.envs import registry; registry.make('CartPole-v0')\n"
    code += "assert registry.thresholds()['HalfCheetah'] == (3000.0, 1000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def spec():
    pytest.importorskip("brax")
    env = half_cheetah("HalfCheetah", "spring")
    return registry.EnvSpec("HalfCheetah", env, env.default_params, 3000.0, 1000)


@pytest.fixture(scope="module")
def actions(spec):
    space = spec.env.action_space(spec.env_params)
    return jax.vmap(space.sample)(jax.random.split(jax.random.key(7), NUM_STEPS))  # [T, 6]


@pytest.fixture(scope="module")
def play(spec):
    """One compiled program for the tests below: play actions from a reset."""

    def run(key, actions, params):
        def step(state, action):
            obs, state, reward, terminated, info = spec.env.step_env(key, state, action, params)
            truncated = spec.env.is_truncated(state, params)
            return state, (obs, reward, terminated, truncated, info)

        obs, state = spec.env.reset_env(key, params)
        return obs, jax.lax.scan(step, state, actions)[1]

    return jax.jit(run)


@pytest.fixture(scope="module")
def played(spec, play, actions):
    return jax.tree.map(np.asarray, play(jax.random.key(3), actions, spec.env_params))


@pytest.fixture(scope="module")
def oracle(spec, actions):
    """The same episode played by brax alone."""
    brax_env = spec.env.brax_env

    def step(state, action):
        after = brax_env.step(state, action)
        return after, after

    with jax.numpy_rank_promotion("allow"):
        first = jax.jit(brax_env.reset)(jax.random.key(3))
        return first, jax.tree.map(
            np.asarray, jax.jit(lambda s, a: jax.lax.scan(step, s, a)[1])(first, actions)
        )


def test_every_transition_is_braxs(played, oracle, actions):
    first_obs, (obs, reward, terminated, truncated, info) = played
    first, states = oracle
    np.testing.assert_array_equal(first_obs, first.obs)
    np.testing.assert_allclose(obs, states.obs, atol=1e-4)
    np.testing.assert_allclose(reward, states.reward, atol=1e-4)
    assert obs.shape == (NUM_STEPS, 17)
    assert {x.dtype.name for x in (obs, reward, info["vector"])} == {"float32"}
    assert np.ptp(obs, axis=0).min() > 0.01, "every coordinate moves"
    assert not terminated.any() and not truncated.any()
    np.testing.assert_array_equal(info["discount"], np.ones(NUM_STEPS))


def test_info_vector_is_position_velocity_and_the_two_rewards(spec, played, oracle, actions):
    _, (_, reward, _, _, info) = played
    _, states = oracle
    position, velocity, run, control = info["vector"].T
    assert info["vector"].shape == (NUM_STEPS, spec.env.info_size) == (NUM_STEPS, 4)
    for column, metric in zip(
        (position, velocity, run, control),
        ("x_position", "x_velocity", "reward_run", "reward_ctrl"),
        strict=True,
    ):
        np.testing.assert_allclose(column, states.metrics[metric], atol=1e-4)
    np.testing.assert_allclose(run + control, reward, atol=1e-5)
    np.testing.assert_allclose(control, -0.1 * (np.asarray(actions) ** 2).sum(1), rtol=1e-5)
    np.testing.assert_allclose(np.diff(position) / 0.05, velocity[1:], atol=1e-3)


def test_the_time_limit_truncates_and_does_not_terminate(spec, play, actions):
    limit = spec.env_params.replace(max_steps_in_episode=NUM_STEPS - 1)
    _, (_, _, terminated, truncated, info) = play(jax.random.key(3), actions, limit)
    np.testing.assert_array_equal(truncated, np.arange(1, NUM_STEPS + 1) >= NUM_STEPS - 1)
    assert not terminated.any()
    np.testing.assert_array_equal(info["discount"], np.ones(NUM_STEPS))


@pytest.mark.long
def test_vmap_equals_a_loop(spec, play, actions):
    keys = jax.random.split(jax.random.key(5), 3)
    reversed_too = jnp.stack([actions, actions[::-1], -actions])  # [3, T, 6]
    together = jax.vmap(play, in_axes=(0, 0, None))(keys, reversed_too, spec.env_params)
    for i in range(3):
        alone = play(keys[i], reversed_too[i], spec.env_params)
        for one, many in zip(jax.tree.leaves(alone[1]), jax.tree.leaves(together[1]), strict=True):
            # Contacts amplify rounding, the more the longer.
            np.testing.assert_allclose(one[:8], many[i, :8], atol=1e-3)


def test_a_step_leaves_the_state_before_it_alone(spec):
    """brax writes into its dict of metrics, and a tracer left there by a branch of a cond would outlive its trace."""

    def step(key):
        _, before = spec.env.reset_env(key, spec.env_params)
        metrics = dict(before.brax.metrics)
        spec.env.step_env(key, before, jnp.ones(6), spec.env_params)
        assert all(before.brax.metrics[name] is value for name, value in metrics.items())

    jax.eval_shape(step, jax.random.key(0))


@pytest.mark.long
def test_an_episode_follows_another(spec):
    params = spec.env_params.replace(max_steps_in_episode=10)
    steps = jax.jit(
        lambda key: rollout(key, spec.env, params, lambda key, obs: spec.env.action_space().sample(key), 32)
    )(jax.random.key(0))
    np.testing.assert_array_equal(np.flatnonzero(steps.truncated), [9, 19, 29])
    assert not steps.terminated.any()
    np.testing.assert_allclose(steps.next_obs[:9], steps.obs[1:10], atol=1e-6)
    assert (np.abs(steps.next_obs[9] - steps.obs[10]).max()) > 0.05
    assert (np.abs(steps.obs[jnp.array([0, 10, 20, 30])][:, 8:]) < 0.5).all(), "started anew, nearly at rest"


def test_the_build_is_silent_and_made_once(capfd, monkeypatch, tmp_path):
    pytest.importorskip("brax")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        spec = registry._build(TASKS["HalfCheetah"])
    assert (spec.env.name, spec.env.brax_env.backend) == ("HalfCheetah", "mjx")
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir()), "MuJoCo logs its warnings to a file"
    assert registry.make("HalfCheetah").env is registry.make("HalfCheetah").env


def test_spaces(spec):
    env, params = spec.env, spec.env_params
    assert (env.name, env.num_actions, env.info_size) == ("HalfCheetah", 6, 4)
    assert env.observation_space(params).shape == (17,)
    assert (env.action_space(params).low, env.action_space(params).high) == (-1.0, 1.0)
    assert params.max_steps_in_episode == 1000
    assert registry.thresholds()["HalfCheetah"] == (3000.0, 1000)


@pytest.fixture(scope="module")
def reacher():
    pytest.importorskip("brax")
    return registry.make("brax/reacher")


def test_reacher_is_built_in_silence_with_braxs_own_physics(reacher, capfd):
    spec = registry._build(TASKS["brax/reacher"])
    assert capfd.readouterr() == ("", "")
    env, params = spec.env, spec.env_params
    assert (env.name, env.num_actions, env.info_size) == ("brax/reacher", 2, 2)
    assert (env.brax_env.backend, env.brax_env.dt) == ("generalized", pytest.approx(0.02))
    assert env.observation_space(params).shape == (11,)
    assert (spec.max_steps, params.max_steps_in_episode) == (1000, 1000)
    assert spec.solved_return == pytest.approx(-6.7 - 0.03 * (-6.7 + 819), abs=0.1)


def test_without_brax_reacher_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "brax.envs.reacher", None)
    with pytest.raises(UserError, match=r"brax/reacher needs brax .*pip install 'synthenv\[brax\]'"):
        registry._build(TASKS["brax/reacher"])


@pytest.mark.long
def test_reacher_pays_its_distance_and_its_torques(reacher):
    """The tip's place by hand: two links of 0.10 and 0.11 m."""
    _, env, params, _, _ = reacher
    act = lambda key, obs: env.action_space().sample(key)  # noqa: E731
    steps = jax.jit(lambda key: rollout(key, env, params, act, 32))(jax.random.key(0))
    obs, after, reward = map(np.asarray, (steps.obs, steps.next_obs, steps.reward))
    theta = np.arctan2(after[:, 2:4], after[:, :2])
    both = theta.sum(1)
    tip = 0.10 * np.stack([np.cos(theta[:, 0]), np.sin(theta[:, 0])], 1)
    tip += 0.11 * np.stack([np.cos(both), np.sin(both)], 1)
    distance = np.linalg.norm(tip - after[:, 4:6], axis=1)
    np.testing.assert_allclose(reward, -distance - (np.asarray(steps.action) ** 2).sum(1), atol=2e-3)
    np.testing.assert_allclose(after[:, 4:6], np.broadcast_to(obs[0, 4:6], (32, 2)), atol=1e-5)
    assert not steps.terminated.any() and not steps.truncated.any()
