"""PPO of the papers: returns, loss and standard deviations by hand, when it learns and from which rows, probes."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from synthenv.agents import ppo_monte_carlo
from synthenv.agents.policies.policy_gradient import standardize
from synthenv.agents.ppo_config import PPOMonteCarloConfig
from synthenv.agents.ppo_monte_carlo import LearnerState, Policy, Weights
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.agents.training.replay import Rows, unpack
from synthenv.envs.action_units import Actions
from synthenv.nets.mlp import Layer
from tests import probe_envs

SMALL = PPOMonteCarloConfig(
    learning_rate=1e-2,
    discount=0.5,
    rollout_length=50,  # ends inside an episode of three steps
    num_epochs=5,
    hidden_size=16,
    depth=1,
    activation="tanh",
    max_episodes=1_000_000,
    max_steps=2500,
    stop="none",
)
BUCKET = Bucket(1, 16)
SPACES = {"line": spaces.Box(-2.0, 2.0, (1,)), "two": spaces.Discrete(2)}
LINE, CHOICE = Actions(1, 2.0, False), Actions(2, 1.0, True)


class ThreeSteps(probe_envs.ObservedActionReward):
    """Episodes of three steps with a random start, so that no two rows are alike."""

    default_params = probe_envs.ProbeParams(reward_weights=(0.0, 0.0, 0.0, 1.0), length=3)

    def first_obs(self, key, params):
        return jax.random.normal(key, (1,))


RANDOM = ThreeSteps()


def linear(kernel, bias):
    return (Layer(jnp.array(kernel, jnp.float32), jnp.array(bias, jnp.float32)),)


# ---------------------------------------------------------------- formulas


def test_returns_across_an_episode_end():
    """1 + 2/2 | 2 (end) | 3 + 4/2 | 4 (unfinished, not bootstrapped)."""
    reward, ended = jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([False, True, False, False])
    np.testing.assert_allclose(ppo_monte_carlo.monte_carlo_returns(reward, ended, 0.5), [2.0, 2.0, 5.0, 4.0])


def rows_of(obs, action, reward, not_done):
    obs = jnp.array(obs)[:, None]
    return Rows(obs, obs, jnp.array(action), jnp.array(reward), jnp.array(not_done))


def test_loss_by_hand():
    """Mean 2 tanh(s), std 0.5, V = 2 s at s = 0 and 1; ratios 1 and 2 (clipped to 1.2); standardised returns 1, -1."""
    weights = Weights(Policy(linear([[1.0]], [0.0]), jnp.array([0.5])), linear([[2.0]], [0.0]))
    rows = rows_of([0.0, 1.0], [[0.5], [2.0]], [0.0, 0.0], [1.0, 1.0])
    config = replace(SMALL, value_coefficient=0.25, entropy_coefficient=0.1)
    deviation = np.array([0.5, 2.0 - 2 * np.tanh(1.0)]) / 0.5
    log_prob = -(deviation**2) / 2 - np.log(0.5 * np.sqrt(2 * np.pi))
    old = jnp.asarray(log_prob - np.log([1.0, 2.0]), jnp.float32)
    advantage = [1.0 - 0.0, -1.0 - 2.0]
    surrogate = (advantage[0] + 2.0 * advantage[1]) / 2  # a loss is not clipped
    error = (1.0**2 + 3.0**2) / 2
    entropy = np.log(0.5 * np.sqrt(2 * np.pi * np.e))
    args = (rows, old, jnp.array([1.0, -1.0]), fixed_hyperparams(config, 0.0), LINE, config)
    got, gradient = jax.value_and_grad(ppo_monte_carlo.loss)(weights, *args)
    assert got == pytest.approx(-surrogate + 0.25 * error - 0.1 * entropy, rel=1e-4)
    # The critic hears of its error alone: (V - return) * s * coefficient, not of the advantage.
    assert gradient.critic[0].kernel[0, 0] == pytest.approx(0.25 * (2 * 3.0) / 2, rel=1e-4)


def test_least_standard_deviations():
    """0.001 when acting, 0.01 when learning; samples may leave the bounds."""
    policy = Policy(linear([[0.0]], [0.0]), jnp.array([-5.0]))
    words = jax.random.bits(jax.random.key(0), (500, 2))

    def draw(policy):
        return jax.vmap(lambda w: ppo_monte_carlo.sample(w, policy, jnp.ones(1), LINE, SMALL))(words)

    assert draw(policy).std() == pytest.approx(0.001, rel=0.1)
    learning = ppo_monte_carlo.distribution(policy, jnp.ones(1), 0.01, LINE, SMALL)
    assert learning.std[0] == pytest.approx(0.01)
    assert np.abs(draw(policy._replace(std=jnp.array([3.0])))).max() > 2.0


def test_tests_sample_unless_told_otherwise():
    assert PPOMonteCarloConfig().test_noise
    policy = Policy(linear([[0.0]], [0.5]), jnp.array([0.3]))
    keys = jax.random.split(jax.random.key(0), 300)

    def draw(config):
        return jax.vmap(lambda k: ppo_monte_carlo.act(k, policy, jnp.ones(1), LINE, config))(keys)

    noisy = draw(SMALL)
    np.testing.assert_allclose([noisy.mean(), noisy.std()], [2 * np.tanh(0.5), 0.3], atol=0.06)
    np.testing.assert_allclose(draw(replace(SMALL, test_noise=False)), 2 * np.tanh(0.5), rtol=1e-5)


def test_time_limits_have_to_be_terminal():
    with pytest.raises(ValueError, match="has to be 'terminal'"):
        ppo_monte_carlo.make(replace(SMALL, time_limit="bootstrap"), BUCKET, SPACES["two"])


# ---------------------------------------------------------------- when it learns, and from what


@functools.partial(jax.jit, static_argnames=("env", "num_steps"))
def trace_training(key, env, hyperparams, num_steps):
    """The last state, and the learner after every step [T]."""
    agent = ppo_monte_carlo.make(SMALL, BUCKET, SPACES["two"])

    def step(state, _):
        state = agent.step(state, env, env.default_params, hyperparams)
        return state, state.learner

    return jax.lax.scan(step, agent.init(key, env, env.default_params, hyperparams), None, num_steps)


def test_learns_after_every_rollout():
    """Five gradient steps at steps 50 and 100, whatever the episodes and however many are to warm up."""
    for init_episodes in (0, 10**6):
        hyperparams = fixed_hyperparams(SMALL, 0.0).replace(init_episodes=init_episodes)
        state, learners = trace_training(jax.random.key(0), RANDOM, hyperparams, 110)
        np.testing.assert_array_equal(learners.opt_state.count, np.arange(1, 111) // 50 * 5)
        assert state.replay.rows.shape[0] == 50 and state.step == 110
    kernels = np.asarray(learners.weights.policy.net[0].kernel)
    changes = [t + 1 for t in range(1, 110) if not np.array_equal(kernels[t], kernels[t - 1])]
    assert changes == [50, 100]


def test_learns_from_the_rows_since_the_last_time():
    """In their order: the second update equals one made by hand from returns summed forwards."""
    hyperparams = fixed_hyperparams(SMALL, 0.0)
    state, learners = trace_training(jax.random.key(0), RANDOM, hyperparams, 100)
    rows = jax.device_get(unpack(state.replay.rows, 1))
    ended = np.asarray(rows.not_done) == 0
    np.testing.assert_array_equal(np.flatnonzero(ended), np.arange(0, 50, 3))  # step 51, 54, ...
    np.testing.assert_array_equal(rows.obs[1:][~ended[:-1]], rows.next_obs[:-1][~ended[:-1]])
    returns = np.zeros(50)
    for t in range(50):
        end = next((k for k in range(t, 50) if ended[k]), 49)
        returns[t] = sum(0.5 ** (k - t) * rows.reward[k] for k in range(t, end + 1))
    before = jax.tree.map(lambda x: x[98], jax.device_get(learners))
    choice = ppo_monte_carlo.distribution(before.weights.policy, rows.obs, 0.01, CHOICE, SMALL)
    loss = functools.partial(
        ppo_monte_carlo.loss,
        rows=rows,
        old_log_prob=choice.log_prob(rows.action),
        returns=standardize(jnp.asarray(returns, jnp.float32)),
        hyperparams=hyperparams,
        actions=CHOICE,
        config=SMALL,
    )

    @jax.jit
    def step(weights, opt_state):
        updates, opt_state = ppo_monte_carlo._ADAM.update(jax.grad(loss)(weights), opt_state)
        return jax.tree.map(lambda w, u: w - 1e-2 * u, weights, updates), opt_state

    weights, opt_state = before.weights, before.opt_state
    for _ in range(5):
        weights, opt_state = step(weights, opt_state)
    got = LearnerState(weights, opt_state, jnp.int32(100))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), got, state.learner)


def test_an_episode_of_a_synthetic_environment_ends_above_one_half():
    """Where ``not_done`` is a real number, the return is reset below one half and not scaled anywhere."""
    hyperparams = fixed_hyperparams(SMALL, 0.0)
    learner = jax.jit(
        lambda: ppo_monte_carlo.init(jax.random.key(0), jnp.zeros(1), hyperparams, CHOICE, SMALL, BUCKET)
    )()
    improve = jax.jit(functools.partial(ppo_monte_carlo.improve, actions=CHOICE, config=SMALL))
    given = ([0.1, 0.2, 0.3, 0.4], [0, 1, 1, 0], [1.0, 2.0, 3.0, 4.0])
    raw, sharp, never = (
        improve(learner, rows_of(*given, not_done), hyperparams).weights
        for not_done in ([0.8, 0.4, 0.9, 1.2], [1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0])
    )
    jax.tree.map(np.testing.assert_array_equal, raw, sharp)
    assert not np.array_equal(raw.critic[0].kernel, never.critic[0].kernel)


def test_vmap_is_a_loop_and_finished_members_stand_still():
    """Members of different length, width and rate, stepped together until the last has finished."""
    agent = ppo_monte_carlo.make(SMALL, BUCKET, SPACES["two"])
    batch = jax.tree.map(lambda x: jnp.full(3, x), fixed_hyperparams(SMALL, 0.0)).replace(
        max_steps=jnp.array([40, 110, 150]),
        hidden_size=jnp.array([16, 8, 12]),
        learning_rate=jnp.array([1e-2, 3e-3, 1e-3]),
    )
    keys = jax.random.split(jax.random.key(5), 3)

    @jax.jit
    def together(keys, batch):
        states = jax.vmap(lambda k, h: agent.init(k, RANDOM, RANDOM.default_params, h))(keys, batch)
        step = jax.vmap(lambda s, h: agent.step(s, RANDOM, RANDOM.default_params, h))
        return jax.lax.fori_loop(0, 210, lambda _, s: step(s, batch), states)

    @jax.jit
    def alone(key, hyperparams):
        state = agent.init(key, RANDOM, RANDOM.default_params, hyperparams)
        return jax.lax.while_loop(
            lambda s: ~s.episode.finished,
            lambda s: agent.step(s, RANDOM, RANDOM.default_params, hyperparams),
            state,
        )

    states = together(keys, batch)
    np.testing.assert_array_equal(states.step, [40, 110, 150])
    np.testing.assert_array_equal(states.learner.opt_state.count, [0, 10, 15])
    for i in range(3):
        one = alone(keys[i], jax.tree.map(lambda x, i=i: x[i], batch))
        assert one.episode.count == states.episode.count[i]
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=2e-3, atol=2e-4),
            states.learner.weights,
            one.learner.weights,
        )


# ---------------------------------------------------------------- learning


@functools.partial(jax.jit, static_argnames=("env", "config", "space"))
def train(key, env, env_params, config, space):
    agent = ppo_monte_carlo.make(config, BUCKET, SPACES[space])
    return agent.train(key, env, env_params, fixed_hyperparams(config, 0.0))


@pytest.mark.parametrize(
    ("probe", "best"),
    [(probe_envs.ActionReward, {0.0: 1}), (probe_envs.ObservedActionReward, {-1.0: 0, 1.0: 1})],
)
def test_discrete_probe(probe, best):
    """The policy picks the rewarded action for every observation."""
    policy = train(jax.random.key(0), probe_envs.PROBE, probe.default_params, SMALL, "two").params
    for obs, action in best.items():
        choice = ppo_monte_carlo.distribution(policy, jnp.array([obs]), 0.01, CHOICE, SMALL)
        assert choice.log_prob(jnp.int32(action)) > jnp.log(0.8)


def test_continuous_probe():
    """The mean finds the target for both observations, and the standard deviation falls."""
    batches = {"rollout_length": 500, "num_epochs": 20, "max_steps": 10_000}
    # Slow enough for the mean to arrive before the standard deviation crosses zero, where the clamp would leave it.
    config = replace(SMALL, learning_rate=1e-3, entropy_coefficient=0.0, test_noise=False, **batches)
    env = probe_envs.Target()
    policy = train(jax.random.key(0), env, env.default_params, config, "line").params
    for obs in (-1.0, 1.0):
        action = ppo_monte_carlo.act(jax.random.key(0), policy, jnp.array([obs]), LINE, config)
        assert action[0] == pytest.approx(obs, abs=0.2)
    assert policy.std[0] < 0.3
