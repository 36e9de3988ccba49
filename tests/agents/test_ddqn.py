"""DDQN: each formula by hand, its schedule step by step, and the probe environments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents import ddqn
from synthenv.agents.ddqn import DDQNConfig, DDQNHyperparams
from synthenv.agents.replay import Rows, sample_rows, unpack
from synthenv.envs import registry
from synthenv.envs.rollout import evaluate
from synthenv.nets.mlp import ACTIVATIONS, Layer
from tests import probe_envs

CONSTANT, DELAYED, ACTION = (
    probe_envs.ConstantReward(),
    probe_envs.DelayedReward(),
    probe_envs.ActionReward(),
)
SMALL = DDQNConfig(
    depth=1,
    activation="tanh",
    max_hidden=16,
    max_batch=32,
    batch_block=32,
    buffer_size=512,
    stop="none",
    time_limit="terminal",
)
QUICK = DDQNHyperparams(
    learning_rate=1e-2, discount=0.5, tau=0.1, epsilon_min=1.0, batch_size=32, hidden_size=16, max_steps=1500
)


@functools.partial(jax.jit, static_argnames=("env", "config"))
def train(key, env, env_params, hyperparams, config):
    return ddqn.make(config).train(key, env, env_params, hyperparams)


@functools.partial(jax.jit, static_argnames=("env", "config", "num_steps"))
def trace_training(key, env, env_params, hyperparams, config, num_steps):
    """Take ``num_steps`` training steps whatever ``finished`` says; returns the last state and a log [T]."""

    def step(state, _):
        state = ddqn.train_step(state, env, env_params, hyperparams, config)
        return state, (state.episode.epsilon, state.episode.count, state.opt_state.count)

    state = ddqn.init(key, env, env_params, hyperparams, config)
    return jax.lax.scan(step, state, None, num_steps)


def linear(kernel, bias):
    """A net that is a single affine map."""
    return (Layer(jnp.array(kernel, jnp.float32), jnp.array(bias, jnp.float32)),)


def rows_of(obs, next_obs, action, reward, not_done):
    return Rows(*map(jnp.array, (obs, next_obs, action, reward, not_done)))


# ---------------------------------------------------------------- formulas, by hand


def test_double_q_targets():
    """The online net picks action 1, the target net values it at 20: not its own favourite's 30."""
    online, target = linear([[0.0, 0.0, 0.0]], [1.0, 3.0, 2.0]), linear([[0.0, 0.0, 0.0]], [10.0, 20.0, 30.0])
    rows = rows_of([[0.0]] * 3, [[0.0]] * 3, [0, 1, 2], [0.5, 0.5, 0.5], [1.0, 0.0, 1.25])
    # 0.5 + 0.9 * 20; terminal; a synthetic environment's bootstrap factor beyond one
    np.testing.assert_allclose(ddqn.td_targets(online, target, rows, 0.9, "relu"), [18.5, 0.5, 23.0])


def test_targets_look_at_the_next_observation():
    """Q(s', .) = [s', -s'] online: the pick, and so the value, follows the sign of s'."""
    online, target = linear([[1.0, -1.0]], [0.0, 0.0]), linear([[0.0, 0.0]], [5.0, 7.0])
    rows = rows_of([[9.0], [9.0]], [[2.0], [-2.0]], [0, 0], [0.0, 0.0], [1.0, 1.0])
    np.testing.assert_allclose(ddqn.td_targets(online, target, rows, 1.0, "relu"), [5.0, 7.0])


def test_td_loss_and_gradient():
    """Q = obs @ K + b: the loss is sum of w (q - y)^2 and dK[:, a] = 2 w (q - y) obs of the taken action only."""
    params = linear([[1.0, 2.0], [3.0, 4.0]], [0.5, -0.5])
    rows = rows_of([[1.0, 2.0], [-1.0, 1.0]], [[0.0, 0.0]] * 2, [1, 0], [0.0, 0.0], [1.0, 1.0])
    targets, weight = jnp.array([10.0, 1.0]), jnp.array([0.5, 0.25])
    # q: 2 + 8 - 0.5 = 9.5 and -1 + 3 + 0.5 = 2.5; errors -0.5 and 1.5
    loss, grads = jax.value_and_grad(ddqn.td_loss)(params, rows, targets, weight, "relu")
    assert loss == pytest.approx(0.5 * 0.25 + 0.25 * 2.25)
    # d bias: 2 * .25 * 1.5 = .75 for action 0, 2 * .5 * -.5 = -.5 for action 1
    np.testing.assert_allclose(grads[0].bias, [0.75, -0.5])
    np.testing.assert_allclose(grads[0].kernel, [[-0.75, -0.5], [0.75, -1.0]])


def test_ties_go_to_the_first_action():
    """Equal values: the first of the best, both when acting and in the target."""
    scores = jnp.array([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0], [0.0, 1.0, 2.0]])
    values = jnp.array([[10.0, 20.0, 30.0]] * 3)
    np.testing.assert_array_equal(ddqn.value_of_best(scores, values), [20.0, 10.0, 30.0])
    assert ddqn.act(linear([[0.0] * 3], [1.0, 2.0, 2.0]), jnp.zeros(1), SMALL) == 1


def test_explore():
    """Epsilon 0 is greedy; epsilon 1 is uniform; between, greedy and a share of the uniform."""
    words = jax.random.bits(jax.random.key(0), (4000, 2))
    for epsilon in (0.0, 0.3, 1.0):
        actions = jax.vmap(lambda w: ddqn.explore(w, jnp.int32(2), epsilon, 3))(words)  # noqa: B023
        share = np.bincount(actions, minlength=3) / 4000
        np.testing.assert_allclose(share, np.array([0, 0, 1 - epsilon]) + epsilon / 3, atol=0.03)


# ---------------------------------------------------------------- the gradient step


@pytest.fixture(scope="module")
def midway():
    """A member in the middle of training, with different online and target weights and 100 rows in replay."""
    hyperparams = QUICK.replace(learning_rate=0.05)
    key, env = jax.random.key(0), probe_envs.ObservedActionReward()
    return trace_training(key, env, env.default_params, hyperparams, SMALL, 100)[0]


def mean_loss(params, target_params, rows, discount):
    """The textbook loss over exactly these rows, from `jnp.dot` up."""

    def q(params, x):
        hidden = ACTIVATIONS["tanh"](jnp.dot(x, params[0].kernel) + params[0].bias[None])
        return jnp.dot(hidden, params[1].kernel) + params[1].bias[None]

    best = jnp.argmax(q(params, rows.next_obs), axis=1)
    index = jnp.arange(best.size)
    targets = rows.reward + discount * rows.not_done * q(target_params, rows.next_obs)[index, best]
    return jnp.mean((jax.lax.stop_gradient(targets) - q(params, rows.obs)[index, rows.action]) ** 2)


@pytest.mark.parametrize("batch_size", [1, 8, 20, 30])
@pytest.mark.parametrize("block", [30, 8], ids=["one block", "blocks of 8"])
def test_masked_gradient_is_exact(midway, batch_size, block):
    """A batch smaller than its bound, in one block or several, has the gradient of exactly its rows."""
    config = SMALL._replace(max_batch=30, batch_block=block)
    words = jax.random.bits(jax.random.key(1), (ddqn.batch_rows(config),))
    hyperparams = QUICK.replace(batch_size=batch_size)
    masked = jax.jit(ddqn.gradient, static_argnames="config")(words, midway, hyperparams, config)
    rows = sample_rows(words[:batch_size], midway.replay, 1)
    exact = jax.jit(jax.grad(mean_loss))(midway.params, midway.target_params, rows, 0.5)
    assert np.abs(exact[0].kernel).max() > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), masked, exact)


def test_learn_by_hand(midway):
    """Adam's first step is lr * g / (|g| + eps); the target then moves by tau towards the *new* weights."""
    words = jax.random.bits(jax.random.key(1), (32,))
    hyperparams = QUICK.replace(learning_rate=0.02, tau=0.3)
    fresh = midway._replace(opt_state=jax.tree.map(jnp.zeros_like, midway.opt_state))
    params, target_params, opt_state = jax.jit(ddqn.learn, static_argnames="config")(
        words, fresh, hyperparams, SMALL
    )
    assert opt_state.count == 1
    grads = jax.jit(ddqn.gradient, static_argnames="config")(words, fresh, hyperparams, SMALL)

    def check(old, grad, new, old_target, new_target):
        expected = old - 0.02 * grad / (np.abs(grad) + 1e-8)
        np.testing.assert_allclose(new, expected, atol=2e-5)
        np.testing.assert_allclose(new_target, old_target + 0.3 * (expected - old_target), atol=2e-5)

    jax.tree.map(check, fresh.params, grads, params, fresh.target_params, target_params)


# ---------------------------------------------------------------- the schedule


def test_one_gradient_step_per_environment_step():
    """None in the ``init_episodes`` first episodes, then one per step, from the first step on."""
    hyperparams = QUICK.replace(init_episodes=4)
    args = jax.random.key(0), DELAYED, DELAYED.default_params, hyperparams, SMALL
    state, (_, _, count) = trace_training(*args, 30)
    np.testing.assert_array_equal(count, np.maximum(np.arange(1, 31) - 4 * 2, 0))  # episodes of two steps
    assert state.step == 30 and state.replay.size == 30
    warm = trace_training(*args, 8)[0]
    fresh = jax.jit(ddqn.init, static_argnames=("env", "config"))(*args)
    jax.tree.map(np.testing.assert_array_equal, warm.params, fresh.params)
    assert not np.array_equal(state.params[0].kernel, fresh.params[0].kernel)


def test_epsilon_per_episode():
    """Episode k explores with max(epsilon_init * decay^k, epsilon_min)."""
    hyperparams = QUICK.replace(epsilon_init=0.8, epsilon_decay=0.5, epsilon_min=0.07)
    args = jax.random.key(0), DELAYED, DELAYED.default_params, hyperparams, SMALL
    _, (epsilon, episode, _) = trace_training(*args, 12)
    np.testing.assert_array_equal(episode, np.arange(1, 13) // 2)
    np.testing.assert_allclose(epsilon, np.maximum(0.8 * 0.5**episode, 0.07), rtol=1e-6)


@pytest.mark.parametrize(("time_limit", "at_limit"), [("terminal", 0.0), ("bootstrap", 1.0)])
def test_time_limit_in_replay(time_limit, at_limit):
    """A step cut off by the limit is stored as terminal or not, as configured; a real end always is."""
    config = SMALL._replace(time_limit=time_limit)
    for max_steps, not_done in ((1, [at_limit] * 6), (2, [1, 0] * 3), (100, [1, 0] * 3)):
        env_params = DELAYED.default_params.replace(max_steps_in_episode=max_steps)
        state, _ = trace_training(jax.random.key(0), DELAYED, env_params, QUICK, config, 6)
        assert state.episode.count == 6 // min(max_steps, 2)
        rows = unpack(state.replay.rows[:6], 1)
        np.testing.assert_array_equal(rows.not_done, not_done)
        np.testing.assert_array_equal(rows.next_obs, rows.obs + 1)  # not the observation after the reset


def test_raw_discount_in_replay():
    """A bootstrap factor that the environment answers with is stored untouched."""

    class Overconfident(probe_envs.DelayedReward):
        def step_env(self, *args):
            *step, _ = super().step_env(*args)
            return *step, {"discount": jnp.float32(1.25)}

    env = Overconfident()
    state, _ = trace_training(jax.random.key(0), env, env.default_params, QUICK, SMALL, 6)
    np.testing.assert_array_equal(unpack(state.replay.rows[:6], 1).not_done, [1.25] * 6)


@pytest.mark.parametrize(
    ("change", "steps", "episodes"),
    [({"max_steps": 33}, 33, 16), ({"max_episodes": 7}, 14, 7), ({"max_steps": 9, "max_episodes": 4}, 8, 4)],
)
def test_bounds(change, steps, episodes):
    """Training ends at whichever bound comes first, also in the middle of an episode."""
    result = train(jax.random.key(0), DELAYED, DELAYED.default_params, QUICK.replace(**change), SMALL)
    assert (result.num_steps, result.num_episodes) == (steps, episodes)
    assert not result.stopped_early


@pytest.mark.parametrize(("stop", "episodes"), [("plateau", 3 + 5 + 1), ("solved", 3 + 1), ("none", 50)])
def test_stop_rules_end_training(stop, episodes):
    """Constant returns stop both rules at their first chance: episode index init + d, and index init."""
    config = SMALL._replace(stop=stop, stop_window=5)
    hyperparams = QUICK.replace(init_episodes=3, max_episodes=50, solved_return=1.0)
    result = train(jax.random.key(0), CONSTANT, CONSTANT.default_params, hyperparams, config)
    assert result.num_episodes == episodes
    assert bool(result.stopped_early) == (stop != "none")
    assert result.last_return == 1.0


@pytest.mark.parametrize(
    "change", [{"max_steps": 33}, {"max_episodes": 15}], ids=["mid-episode", "at an end"]
)
def test_a_finished_member_stands_still(change):
    """Stepping on after the end changes nothing of the result."""
    args = jax.random.key(0), DELAYED, DELAYED.default_params, QUICK.replace(**change), SMALL
    result, (state, _) = train(*args), trace_training(*args, 60)
    jax.tree.map(np.testing.assert_array_equal, result, ddqn.result(state))
    assert bool(ddqn.finished(state)) and 0 < result.num_steps < 60


# ---------------------------------------------------------------- the population


def test_hyperparams_share_one_trace():
    """Sizes, rates and bounds are traced: one program, and the net has the width that was asked for."""
    traces = []

    @jax.jit
    def run(key, hyperparams):
        traces.append(1)
        return ddqn.make(SMALL).train(key, ACTION, ACTION.default_params, hyperparams)

    for hidden, batch, rate, steps in ((3, 32, 1e-2, 20), (16, 7, 1e-3, 30), (9, 1, 0.1, 40)):
        hyperparams = QUICK.replace(
            hidden_size=hidden, batch_size=batch, learning_rate=rate, max_steps=steps, max_episodes=steps
        )
        result = run(jax.random.key(0), hyperparams)
        assert np.count_nonzero(np.any(np.asarray(result.params[0].kernel) != 0, axis=0)) == hidden
        assert result.num_steps == steps
    assert len(traces) == 1


@pytest.mark.parametrize("block", [32, 8])
def test_vmap_equals_loop(block):
    """Members with their own keys and hyperparameters, ending at different times, train as if alone."""
    config = SMALL._replace(batch_block=block)
    members = QUICK.replace(
        learning_rate=jnp.array([1e-2, 1e-3, 3e-2]),
        hidden_size=jnp.array([16, 5, 11]),
        batch_size=jnp.array([3, 32, 17]),
        init_episodes=jnp.array([2, 5, 10]),
        max_steps=jnp.array([60, 1000, 45]),
        max_episodes=jnp.array([1000, 12, 1000]),
    )
    axes = DDQNHyperparams(**{k: 0 if jnp.ndim(v) else None for k, v in vars(members).items()})
    key = jax.random.split(jax.random.key(0), 3)
    run = functools.partial(ddqn.make(config).train, env=DELAYED, env_params=DELAYED.default_params)
    together = jax.jit(jax.vmap(lambda k, h: run(k, hyperparams=h), (0, axes)))(key, members)
    np.testing.assert_array_equal(together.num_steps, [60, 24, 45])
    alone = jax.jit(lambda k, h: run(k, hyperparams=h))
    for i in range(3):
        one = alone(key[i], jax.tree.map(lambda leaf: leaf[i] if jnp.ndim(leaf) else leaf, members))  # noqa: B023
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[i], b, atol=1e-4), together, one)  # noqa: B023


# ---------------------------------------------------------------- learning


@pytest.mark.parametrize(
    ("probe", "values"),
    [
        (probe_envs.ConstantReward, {0: [1, 1]}),
        (probe_envs.ObservedReward, {-1: [-1, -1], 1: [1, 1]}),
        (probe_envs.DelayedReward, {0: [0.5, 0.5], 1: [1, 1]}),
        (probe_envs.ActionReward, {0: [-1, 1]}),
        (probe_envs.ObservedActionReward, {-1: [1, -1], 1: [-1, 1]}),
    ],
    ids=lambda p: getattr(p, "__name__", ""),
)
def test_probe(probe, values):
    """The values of a probe are learned to within 0.1; which probe fails says which part is broken."""
    env = probe()
    result = train(jax.random.key(0), env, env.default_params, QUICK, SMALL)
    obs = jnp.array(list(values), jnp.float32)[:, None]
    q = ddqn.apply_mlp(result.params, obs, SMALL.activation)
    np.testing.assert_allclose(q, list(values.values()), atol=0.1)


@pytest.mark.slow
def test_solves_cartpole():
    """Table 5 on the real CartPole-v0: every seed stops as solved, and plays well without exploration.

    Measured over seeds 0 to 31: all solved, after 11000 steps on average and 25557 at most; the greedy test
    returns (mean of ten episodes) had mean 190, median 200 and minimum 117, two of the 32 lay below 150. The
    median of five seeds below 150 is therefore a one in 500 event for an agent that is as good.
    """
    spec = registry.make("CartPole-v0")
    config = DDQNConfig(stop="solved", time_limit="terminal")

    @jax.jit
    def run(key):
        key_train, key_test = jax.random.split(key)
        hyperparams = DDQNHyperparams(max_steps=60_000)
        result = ddqn.make(config).train(key_train, spec.env, spec.env_params, hyperparams)
        act = lambda _, obs: ddqn.act(result.params, obs, config)  # noqa: E731
        return result, evaluate(key_test, spec.env, spec.env_params, act, 10, spec.max_steps).returns.mean()

    results, returns = zip(*(run(jax.random.key(seed)) for seed in range(5)), strict=True)
    assert all(r.stopped_early and r.last_return >= spec.solved_return for r in results)
    assert np.median(returns) >= 150
