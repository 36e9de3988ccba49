"""Dreams: of a model that is right they are the real task; where they end, what they cost, and an agent in one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents import ppo
from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.core.errors import UserError
from synthenv.core.types import Prediction, Transition
from synthenv.envs import registry
from synthenv.envs.action_units import Actions
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.dream.env import WorldModelEnv, env_params
from synthenv.worldmodel.dream.known_ends import KNOWN

LINE = registry.make("SimpleEnv")
FIRST = np.array([[-4.0], [1.0], [3.0]], np.float32)


def line_context(has_ends=True):
    obs = np.linspace(-30, 30, 20, dtype=np.float32)[:, None]
    never, ended = np.zeros(20, bool), np.arange(20) == 19
    steps = Transition(obs, np.zeros_like(obs), -np.abs(obs[:, 0]), obs, ended & has_ends, never)
    return Context(steps, FIRST, None, 10.0, "SimpleEnv", "random", 20)


def predict_line(cache, obs, action):
    """SimpleEnv as it is, unsure, by 0.5, of its reward alone; beyond 12 the odds of an end rise."""
    following = jnp.clip(obs + action, -30.0, 30.0)
    end = jnp.where(jnp.abs(following[0]) > 12.0, cache["odds"], 0.1)
    return Prediction(following, -jnp.abs(following[0]), jnp.zeros(1), jnp.float32(0.5), end)


def predict_leap(cache, obs, action):
    return predict_line(cache, obs, action)._replace(next_obs=obs + 1e6 * action)


def dream(predict=predict_line, termination=KNOWN["SimpleEnv"]):
    return WorldModelEnv("line", predict, termination, Actions(1, 10.0, False), 1)


def params(max_steps=20, pessimism=0.0, odds=0.9, has_ends=True):
    return env_params({"odds": jnp.float32(odds)}, line_context(has_ends), max_steps, pessimism)


KEY = jax.random.key(0)


def test_a_dream_of_the_true_dynamics_is_the_real_task():
    """Actions beyond the bound are cut in both."""
    env, dreamt = dream(), params()
    obs, state = env.reset_env(KEY, dreamt)
    _, real = LINE.env.reset_env(KEY, LINE.env_params)
    real = real.replace(position=obs[0])
    for action in np.random.default_rng(0).uniform(-15, 15, (12, 1)).astype(np.float32):
        obs, state, reward, terminated, _ = env.step_env(KEY, state, action, dreamt)
        seen, real, paid, ended, _ = LINE.env.step_env(KEY, real, action, LINE.env_params)
        np.testing.assert_allclose(obs, seen, rtol=1e-6)
        np.testing.assert_allclose(reward, paid, rtol=1e-6)
        assert not terminated and not ended
    assert state.time == 12 and not env.is_terminated(state, dreamt)
    assert env.get_obs(state, dreamt) == obs


def random_states(spec, num=2000):
    """States of a real task, close to where it ends and far."""
    rng = np.random.default_rng(0)
    _, state = spec.env.reset_env(KEY, spec.env_params)
    if spec.name == "GridWorld":
        x, y = rng.integers(0, 8, (2, num))
        numbers = {"x": x, "y": y}
    elif spec.name.startswith("CartPole"):
        x, angle, speeds = rng.uniform(-3, 3, num), rng.uniform(-0.3, 0.3, num), rng.normal(size=(2, num))
        numbers = {"x": x, "theta": angle, "x_dot": speeds[0], "theta_dot": speeds[1]}
    else:
        numbers = {"position": rng.uniform(0.3, 0.6, num), "velocity": rng.uniform(-0.07, 0.07, num)}
    arrays = {
        name: np.asarray(value, np.asarray(getattr(state, name)).dtype) for name, value in numbers.items()
    }
    return state.replace(time=np.zeros(num, np.int32), **arrays)


@pytest.mark.parametrize("name", ["GridWorld", "CartPole-v0", "CartPole-v1", "MountainCar-v0"])
def test_known_terminations_are_those_of_the_task(name):
    spec = registry.make(name)
    states = random_states(spec)
    known = jax.vmap(lambda state: KNOWN[name](spec.env.get_obs(state, spec.env_params)))(states)
    real = jax.vmap(lambda state: spec.env.is_terminated(state, spec.env_params))(states)
    np.testing.assert_array_equal(known, real)
    assert 0.1 < np.mean(known) < 0.9


def test_known_rules_of_tasks_that_never_end():
    for name in ("SimpleEnv", "Pendulum-v1", "Reacher-v5"):
        assert not KNOWN[name](jnp.full(4, 1e3))


def step_once(env, dreamt, obs, action):
    _, state = env.reset_env(KEY, dreamt)
    return env.step_env(KEY, state.replace(obs=jnp.array([obs])), jnp.array([action]), dreamt)


def test_where_no_rule_is_known_the_model_says_where_it_ends():
    env = dream(termination=None)
    for obs, odds, ends in ((10.0, 0.9, True), (10.0, 0.4, False), (0.0, 0.9, False)):
        *_, terminated, info = step_once(env, params(odds=odds), obs, 5.0)
        assert bool(terminated) == ends and info["discount"] == 1.0 - ends
    *_, terminated, _ = step_once(dream(), params(), 10.0, 5.0)
    assert not terminated, "a rule that is known overrules the model"


def test_a_context_without_ends_makes_a_dream_without_ends():
    """Whatever the model's prior says; a known rule still ends it."""
    for termination, ends in ((None, False), (lambda obs: obs[0] > 12.0, True)):
        *_, terminated, _ = step_once(dream(termination=termination), params(has_ends=False), 10.0, 5.0)
        assert bool(terminated) == ends


def test_dreams_stay_on_the_surface_of_their_context():
    angle = np.random.default_rng(0).uniform(-3, 3, 100)
    obs = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    never = np.zeros(100, bool)
    steps = Transition(obs, np.zeros((100, 1), np.float32), obs[:, 0], np.roll(obs, 1, axis=0), never, never)
    dreamt = env_params(None, Context(steps, obs[:5], None, 1.0, "circle", "random", 100), 20)

    def predict(cache, obs, action):
        return Prediction(1.1 * obs, obs[0], jnp.ones(2), jnp.float32(0), jnp.float32(0))

    env = WorldModelEnv("circle", predict, None, Actions(1, 1.0, False), 2)
    _, state = env.reset_env(KEY, dreamt)
    for surface, radius in ((dreamt.surface, 1.0), (None, 1.1)):
        after, *_ = env.step_env(KEY, state, jnp.zeros(1), dreamt.replace(surface=surface))
        np.testing.assert_allclose(jnp.linalg.norm(after), radius, atol=1e-3)


def test_a_known_rule_is_asked_about_the_observation_that_follows():
    env = dream(termination=lambda obs: obs[0] > 12.0)
    assert step_once(env, params(), 10.0, 5.0)[3] and not step_once(env, params(), 15.0, -5.0)[3]


def test_pessimism_subtracts_deviations_of_the_reward():
    plain, careful = (step_once(dream(), params(pessimism=p), 2.0, 1.0)[2] for p in (0.0, 2.0))
    assert float(plain) == -3.0 and float(careful) == -3.0 - 2.0 * 0.5


def test_observations_stay_within_the_far_bounds():
    dreamt = params()
    np.testing.assert_allclose([dreamt.low[0], dreamt.high[0]], [-600.0, 600.0])
    env = dream(predict_leap)
    for action, bound in ((1.0, 600.0), (-1.0, -600.0)):
        obs, state, *_ = step_once(env, dreamt, 0.0, action)
        assert obs[0] == state.obs[0] == bound


def test_resets_draw_all_first_observations_and_no_others():
    env, dreamt = dream(), params()
    obs, state = jax.vmap(env.reset_env, (0, None))(jax.random.split(KEY, 300), dreamt)
    values, counts = np.unique(obs, return_counts=True)
    np.testing.assert_array_equal(values, FIRST[:, 0])
    assert counts.min() > 60 and not state.time.any()


def test_step_resets_at_the_limit_and_at_an_end():
    env, dreamt = dream(termination=lambda obs: obs[0] > 20.0), params(max_steps=3)
    _, state = env.reset(KEY, dreamt)
    for i in range(3):
        obs, state, _, terminated, truncated, info = env.step(KEY, state, jnp.array([-1.0]), dreamt)
        assert not terminated and truncated == (i == 2)
    assert state.time == 0 and obs[0] in FIRST and info["final_observation"][0] < obs[0] + 20
    state = state.replace(obs=jnp.array([15.0]))
    obs, state, _, terminated, truncated, info = env.step(KEY, state, jnp.array([9.0]), dreamt)
    assert terminated and not truncated and state.time == 0 and obs[0] in FIRST
    np.testing.assert_array_equal(info["final_observation"], [24.0])


def test_spaces():
    line, choice = dream(), WorldModelEnv("two", predict_line, None, Actions(3, 1.0, True), 1)
    assert (line.name, line.num_actions, choice.num_actions) == ("line", 1, 3)
    assert choice.action_space().n == 3 and line.observation_space().shape == (1,)
    assert (line.action_space().low, line.action_space().high, line.action_space().shape) == (-10, 10, (1,))
    for use in (line.reset, lambda key: line.step(key, line.reset(KEY, params())[1], jnp.zeros(1))):
        with pytest.raises(UserError, match="these params hold no context to dream of"):
            use(KEY)


def test_ppo_trains_in_a_dream():
    config = PPOConfig(
        num_envs=4, rollout_length=16, num_epochs=1, num_minibatches=1, hidden_size=8, depth=1, max_steps=64
    )
    env, dreamt = dream(), params()
    agent = ppo.make(config, Bucket(1, 8), env.action_space())
    hyperparams = fixed_hyperparams(config, 0.0)

    @jax.jit
    def train(key, dreamt):
        state = agent.init(key, env, dreamt, hyperparams)
        return state, agent.step(state, env, dreamt, hyperparams)

    before, after = (agent.result(state) for state in train(KEY, dreamt))
    assert (int(before.num_steps), int(after.num_steps), int(after.num_episodes)) == (0, 64, 0)
    weights = zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True)
    assert any(not np.array_equal(a, b) for a, b in weights)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))
