"""PPO: advantages and loss by hand, what a rollout keeps, the schedule, probe environments, CartPole."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from synthenv.agents import ppo
from synthenv.agents.ppo import Batch, Weights
from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.agents.training.hyperparams import sample as sample_agents
from synthenv.agents.training.on_policy import interact
from synthenv.agents.training.vector_rollout import Steps
from synthenv.envs import registry
from synthenv.envs.action_units import Actions
from synthenv.envs.registry import EnvSpec
from synthenv.envs.rollout import evaluate
from synthenv.nets.mlp import Layer
from tests import probe_envs

SMALL = PPOConfig(
    learning_rate=1e-2,
    discount=0.5,
    num_envs=4,
    rollout_length=16,
    num_epochs=4,
    num_minibatches=2,
    hidden_size=16,
    depth=1,
    max_steps=6400,
    stop="none",
    anneal_learning_rate=False,
    normalize_observations=False,
    normalize_rewards=False,
)
NORMALIZED = replace(SMALL, normalize_observations=True, normalize_rewards=True)
BUCKET = Bucket(1, 16)
SPACES = {"line": spaces.Box(-2.0, 2.0, (1,)), "two": spaces.Discrete(2)}
LINE, CHOICE = Actions(1, 2.0, False), Actions(2, 1.0, True)
DELAYED, OBSERVED_ACTION = probe_envs.DelayedReward(), probe_envs.ObservedActionReward()


def linear(kernel, bias):
    return (Layer(jnp.array(kernel, jnp.float32), jnp.array(bias, jnp.float32)),)


@functools.partial(jax.jit, static_argnames=("env", "config", "space", "task"))
def final_state(key, env, env_params, hyperparams, config, space="two", task=None):
    """The state after a whole training."""
    agent = ppo.make(config, BUCKET, SPACES[space], task)
    state = agent.init(key, env, env_params, hyperparams)
    return jax.lax.while_loop(
        lambda state: ~state.finished,
        lambda state: agent.step(state, env, env_params, hyperparams),
        state,
    )


def trained(config=SMALL, probe=DELAYED, space="two", task=None, **hyperparams):
    """One program for each config and task, whatever the probe and however long; five iterations by default."""
    fixed = fixed_hyperparams(config, 0.0).replace(**{"max_steps": 320} | hyperparams)
    env = probe if isinstance(probe, probe_envs.Target) else probe_envs.PROBE
    return final_state(jax.random.key(0), env, probe.default_params, fixed, config, space, task)


# ---------------------------------------------------------------- formulas


def test_advantages():
    """Equation 16 as a sum over later errors, with a terminal, a truncated and an in-between ending."""
    shape, rng = (7, 2), np.random.default_rng(0)
    reward, value, next_value = rng.normal(size=(3, *shape)).astype(np.float32)
    not_done, ended = np.ones(shape, np.float32), np.zeros(shape, bool)
    not_done[2, 0], ended[2, 0] = 0.0, True  # terminated
    ended[4, 0] = True  # truncated: the value of the last observation counts
    not_done[3, 1], ended[3, 1] = 0.4, True  # a synthetic environment ends with a real number
    not_done[5, 1] = 0.7  # and goes on with one
    discount, gae_lambda = 0.9, 0.8

    error = reward + discount * not_done * next_value - value
    expected = np.zeros(shape)
    for t, n in np.ndindex(shape):
        factor = 1.0
        for k in range(t, shape[0]):
            expected[t, n] += factor * error[k, n]
            if ended[k, n]:
                break
            factor *= discount * gae_lambda * not_done[k, n]
    filler = (jnp.zeros(shape),) * 2
    steps = Steps(
        *filler, filler[0], jnp.asarray(reward), filler[0], jnp.asarray(not_done), jnp.asarray(ended), *filler
    )
    got = ppo.advantages(steps, jnp.asarray(value), jnp.asarray(next_value), discount, gae_lambda)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_loss_by_hand():
    """Two rows, linear networks: logits (s, 0), V = 2 s, ratios 1 and 3 (clipped to 1.2), advantages +-1."""
    weights = Weights(linear([[1.0, 0.0]], [0.0, 0.0]), jnp.zeros(2), linear([[2.0]], [0.0]))
    p = np.exp(1) / (np.exp(1) + 1)  # of action 0 at s = 1
    log_prob = np.log([p, p / 3])
    batch = Batch(
        obs=jnp.ones((2, 1)),
        action=jnp.array([0, 0]),
        log_prob=jnp.asarray(log_prob, jnp.float32),
        advantage=jnp.array([-5.0, 5.0]),
        target=jnp.array([2.5, 1.0]),
    )
    config = replace(SMALL, value_coefficient=0.25, entropy_coefficient=0.1)
    surrogate = (-1.0 + 1.2) / 2
    error = (0.5**2 + 1.0**2) / 2
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    got = ppo.loss(weights, batch, fixed_hyperparams(config, 0.0), CHOICE, config)
    assert got == pytest.approx(-surrogate + 0.25 * error - 0.1 * entropy, rel=1e-4)


def test_gradient_norm_is_bounded():
    grads = Weights(linear([[3.0]], [0.0]), jnp.array([4.0]), linear([[0.0]], [12.0]))  # norm 13
    short = ppo.clip_by_norm(grads, 6.5)
    np.testing.assert_allclose([short.actor[0].kernel[0, 0], short.critic[0].bias[0]], [1.5, 6.0], rtol=1e-5)
    np.testing.assert_allclose(ppo.clip_by_norm(grads, 20.0).log_std, 4.0, rtol=1e-5)


def test_learning_rate_falls_to_zero():
    """Linearly: half the training leaves half the rate; by default it does."""
    assert PPOConfig().anneal_learning_rate
    config = replace(SMALL, num_epochs=1, num_minibatches=1, anneal_learning_rate=True)
    learner, steps, key = trained().learner, rollout_of(config), jax.random.key(0)
    hyperparams = fixed_hyperparams(config, 0.0)
    learn = jax.jit(lambda progress: ppo.learn(key, learner, steps, progress, hyperparams, CHOICE, config))

    def moved(progress):
        return learn(progress).weights.critic[0].kernel - learner.weights.critic[0].kernel

    np.testing.assert_allclose(moved(0.5), 0.5 * moved(0.0), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(moved(1.0), 0.0)


# ---------------------------------------------------------------- the rollout


class Fading(probe_envs.DelayedReward):
    """Ends after five steps, by a limit of three if asked to; the discount is a real number."""

    default_params = probe_envs.DelayedReward.default_params.replace(length=5)

    def step_env(self, key, state, action, params):
        obs, state, reward, terminated, _ = super().step_env(key, state, action, params)
        return obs, state, reward, terminated, {"discount": jnp.float32(0.9) - 0.5 * terminated}


@functools.partial(jax.jit, static_argnames=("config", "env", "limit"))
def rollout_of(config, env=DELAYED, limit=100, state=None):
    """The next steps of an agent, a fresh one by default."""
    agent = ppo.make(config, BUCKET, SPACES["two"])
    params = env.default_params.replace(max_steps_in_episode=limit)
    hyperparams = fixed_hyperparams(config, 0.0)
    if state is None:
        state = agent.init(jax.random.key(0), env, params, hyperparams)
    return interact(agent.step.args[0], jax.random.key(1), state, env, params, hyperparams)[1]


def test_rollout_keeps_last_observations():
    """``next_obs`` is that before the reset; returns add up within an episode and start anew after it."""
    steps = rollout_of(SMALL, Fading())
    times = np.arange(16) % 5
    for n in range(4):
        np.testing.assert_array_equal(steps.obs[:, n, 0], times)
        np.testing.assert_array_equal(steps.next_obs[:, n, 0], times + 1)
        np.testing.assert_array_equal(steps.ended[:, n], times == 4)
        np.testing.assert_allclose(steps.not_done[:, n], np.where(times == 4, 0.4, 0.9), rtol=1e-6)
        np.testing.assert_allclose(steps.episode_return[:, n], times * (times + 1) / 2)
        discounted = [0, 1, 2.5, 4.25, 6.125]  # r + discounted / 2 for rewards 0 to 4
        np.testing.assert_allclose(steps.discounted_return[:, n], np.take(discounted, times))
    assert len(np.unique(steps.log_prob[0])) > 1, "environments share their noise"


@pytest.mark.parametrize(("time_limit", "at_the_limit"), [("terminal", 0.0), ("bootstrap", 0.9)])
def test_time_limit(time_limit, at_the_limit):
    """Ends the episode either way; what it leaves of the value of the last observation is the config's choice."""
    assert PPOConfig().time_limit == "bootstrap"
    steps = rollout_of(replace(SMALL, time_limit=time_limit), Fading(), limit=3)
    last = np.arange(16) % 3 == 2
    np.testing.assert_array_equal(steps.ended[:, 0], last)
    np.testing.assert_allclose(steps.not_done[:, 0], np.where(last, at_the_limit, 0.9), rtol=1e-6)
    np.testing.assert_array_equal(steps.next_obs[last, 0, 0], 3.0)


def test_actions_in_units_of_the_bound():
    np.testing.assert_allclose(ppo.env_action(jnp.array([0.25]), LINE), [0.5])
    np.testing.assert_allclose(ppo.env_action(jnp.array([-3.0]), LINE), [-2.0])
    assert ppo.env_action(jnp.int32(1), CHOICE) == 1


# ---------------------------------------------------------------- normalisation


def test_rows_are_learnt_from_as_they_were_collected():
    """Under the statistics of earlier iterations, so the first ratio of probabilities is 1."""
    state = trained(NORMALIZED)
    assert state.learner.obs_stats.count == 320 and state.learner.reward_stats.count == 320
    np.testing.assert_allclose(state.learner.obs_stats.mean, [0.5], rtol=1e-3)  # two steps, at 0 and at 1
    steps = rollout_of(NORMALIZED, state=state)
    batch = ppo.make_batch(state.learner, steps, fixed_hyperparams(NORMALIZED, 0.0), NORMALIZED)
    np.testing.assert_allclose(sorted(set(np.asarray(batch.obs).ravel())), [-1.0, 1.0], rtol=1e-3)
    policy = ppo.policy_of(state.learner)._replace(obs_stats=None)
    choice = ppo.distribution(policy, batch.obs, CHOICE, NORMALIZED)
    np.testing.assert_allclose(choice.log_prob(batch.action), batch.log_prob, rtol=1e-5)


def test_a_test_normalises_like_training():
    """``act`` sees observations through the statistics in its params, and is the mode unless it is to sample."""
    stats = ppo.init_stats((1,))._replace(mean=jnp.array([3.0]))
    policy = ppo.Policy(linear([[0.5]], [0.0]), jnp.log(jnp.array([0.1])), stats)
    action = ppo.act(jax.random.key(0), policy, jnp.array([4.0]), LINE, SMALL)
    np.testing.assert_allclose(action, [1.0], rtol=1e-5)
    noisy = jax.vmap(lambda k: ppo.act(k, policy, jnp.array([4.0]), LINE, replace(SMALL, test_noise=True)))
    draws = noisy(jax.random.split(jax.random.key(0), 300))
    np.testing.assert_allclose([draws.mean(), draws.std()], [1.0, 0.2], atol=0.03)


# ---------------------------------------------------------------- the schedule


def test_bounds_and_counts():
    """320 steps are five iterations of 64, 300 too, and an iteration has 32 episodes of two steps."""
    for max_steps in (320, 300):
        state = trained(max_steps=max_steps)
        assert (state.step, state.num_episodes) == (320, 160)
    assert trained(max_episodes=60).step == 128
    with pytest.raises(ValueError, match="choose num_minibatches"):
        ppo.make(replace(SMALL, num_minibatches=3), BUCKET, SPACES["two"])


def test_no_gradient_step_before_init_episodes():
    fresh, warm = (trained(max_steps=m, init_episodes=10**6).learner for m in (1, 320))
    jax.tree.map(np.testing.assert_array_equal, warm, fresh)
    assert trained(max_steps=128, init_episodes=33).learner.opt_state.count == 4 * 2


def test_stop_rule_sees_mean_training_returns():
    """One number per iteration, from init_episodes on; every episode of the probe returns 1."""
    config = replace(SMALL, stop="solved")
    for threshold, first, step in ((1.0, 0, 64), (1.0, 3, 256), (1.1, 0, 320)):
        state = trained(config, solved_return=threshold, init_episodes=first)
        assert state.step == step and state.stop.mean_return == 1.0
        assert state.stop.triggered == (step < 320)


def test_tests_on_the_way():
    """After every iteration, on the task and not where it trains; the stop rule sees them alone."""
    task = EnvSpec("constant", DELAYED, DELAYED.default_params, 0.0, 2)
    config = replace(SMALL, stop="solved", test_episodes=3, max_steps=500)
    run = functools.partial(trained, config, probe_envs.ObservedReward(), task=task, max_steps=150)
    state = run(solved_return=2.0)
    np.testing.assert_array_equal(state.curve.returns, [1, 1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(state.curve.steps, [64, 128, 192, 0, 0, 0, 0, 0])
    assert state.stop.mean_return == 1.0
    assert run(solved_return=1.0).step == 64


def test_vmap_is_a_loop_and_finished_members_stand_still():
    """Members of different length, width and rate, stepped together until the last has finished."""
    agent = ppo.make(SMALL, BUCKET, SPACES["two"])
    env, env_params = probe_envs.PROBE, OBSERVED_ACTION.default_params
    fixed = fixed_hyperparams(SMALL, 0.0)
    batch = jax.tree.map(lambda x: jnp.full(3, x), fixed).replace(
        max_steps=jnp.array([64, 200, 320]),
        hidden_size=jnp.array([16, 8, 12]),
        learning_rate=jnp.array([1e-2, 3e-3, 1e-3]),
    )
    keys = jax.random.split(jax.random.key(5), 3)

    @jax.jit
    def together(keys, batch):
        states = jax.vmap(lambda k, h: agent.init(k, env, env_params, h))(keys, batch)
        step = jax.vmap(lambda s, h: agent.step(s, env, env_params, h))
        return jax.lax.fori_loop(0, 7, lambda _, s: step(s, batch), states)

    states = together(keys, batch)
    np.testing.assert_array_equal(states.step, [64, 256, 320])
    for i in range(3):
        alone = final_state(keys[i], env, env_params, jax.tree.map(lambda x, i=i: x[i], batch), SMALL)
        assert alone.num_episodes == states.num_episodes[i]
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=2e-3, atol=2e-4),
            states.learner.weights,
            alone.learner.weights,
        )
    padding = states.learner.weights.actor[0].kernel[1, :, 8:]  # of the member with eight units
    np.testing.assert_array_equal(padding, 0.0)


def test_hyperparameters_can_be_drawn():
    """Learning rate, width and depth vary; there is no batch size to vary."""
    drawn, buckets = sample_agents(jax.random.key(0), replace(SMALL, vary=True), 0.0, 20)
    assert len(set(drawn.learning_rate)) == 20 and not hasattr(drawn, "batch_size")
    assert {b.depth for b in buckets} == {1, 2, 3}
    assert all(b.max_hidden >= h for b, h in zip(buckets, drawn.hidden_size, strict=True))


# ---------------------------------------------------------------- learning


@pytest.mark.parametrize(
    ("probe", "values"),
    [(probe_envs.ObservedReward(), {-1.0: -1.0, 1.0: 1.0}), (DELAYED, {0.0: 0.5, 1.0: 1.0})],
)
def test_value_probe(probe, values):
    """The critic finds the value of every observation."""
    weights = trained(SMALL, probe, max_steps=6400).learner.weights
    for obs, value in values.items():
        assert ppo.critic_value(weights, jnp.array([[obs]]), SMALL)[0] == pytest.approx(value, abs=0.1)


@pytest.mark.parametrize(
    ("config", "probe", "best"),
    [
        (SMALL, probe_envs.ActionReward(), {0.0: 1}),
        (SMALL, OBSERVED_ACTION, {-1.0: 0, 1.0: 1}),
        (NORMALIZED, OBSERVED_ACTION, {-1.0: 0, 1.0: 1}),
    ],
)
def test_discrete_probe(config, probe, best):
    """The policy picks the rewarded action for every observation."""
    policy = ppo.policy_of(trained(config, probe, max_steps=3200).learner)
    for obs, action in best.items():
        assert ppo.act(jax.random.key(0), policy, jnp.array([obs]), CHOICE, config) == action
        choice = ppo.distribution(policy, jnp.array([obs]), CHOICE, config)
        assert choice.log_prob(jnp.int32(action)) > jnp.log(0.9)


def test_continuous_probe():
    """The mean finds the target for both observations, and the standard deviation falls."""
    policy = ppo.policy_of(trained(SMALL, probe_envs.Target(), "line", max_steps=6400).learner)
    for obs in (-1.0, 1.0):
        action = ppo.act(jax.random.key(0), policy, jnp.array([obs]), LINE, SMALL)
        assert action[0] == pytest.approx(obs, abs=0.2)
    assert policy.log_std[0] < jnp.log(0.5)


@pytest.mark.long
def test_learns_cartpole():
    """Three seeds of the defaults in 40,000 steps."""
    spec = registry.make("CartPole-v1")
    config = replace(PPOConfig(), stop="none", max_steps=40_000)
    agent = ppo.make(config, Bucket(config.depth, config.hidden_size), SPACES["two"])
    hyperparams = fixed_hyperparams(config, spec.solved_return)

    def train_and_test(key):
        params = agent.train(key, spec.env, spec.env_params, hyperparams).params
        act = lambda key, obs: agent.act(key, params, obs)  # noqa: E731
        return evaluate(key, spec.env, spec.env_params, act, 10, spec.max_steps).returns.mean()

    returns = jax.jit(lambda keys: jax.lax.map(train_and_test, keys))(jax.random.split(jax.random.key(1), 3))
    assert returns.mean() > 400
