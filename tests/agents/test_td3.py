"""TD3: targets, delay and noise by hand, Gumbel-softmax, and the probe environments in both forms."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from synthenv.agents import td3
from synthenv.agents.policies import td3_policy
from synthenv.agents.policies.td3_policy import Actor, Policy
from synthenv.agents.training.action_vectors import gumbel_softmax
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.agents.training.replay import Rows, init_replay, pack_row, write_row
from synthenv.core.errors import UserError
from synthenv.core.keys import gumbel, normal
from synthenv.envs.action_units import Actions, actions_of
from synthenv.nets.mlp import Layer
from tests import probe_envs
from tests.small_td3 import DISCRETE, SMALL

BUCKET = Bucket(1, 16, 32, 32)
CONTINUOUS_SPACE, TWO = spaces.Box(-2.0, 2.0, (1,)), spaces.Discrete(2)
LINE, CHOICE = Actions(1, 2.0, False), Actions(2, 1.0, True)
WORDS = jax.random.bits(jax.random.key(0), (4000, 2))


def linear(kernel, bias):
    return (Layer(jnp.array(kernel, jnp.float32), jnp.array(bias, jnp.float32)),)


# ---------------------------------------------------------------- noise and actions


def test_noise():
    """Standard normal and Gumbel: means 0 and 0.577, standard deviations 1 and pi / sqrt(6), nothing infinite."""
    for values, mean, std in ((normal(WORDS), 0.0, 1.0), (gumbel(WORDS[:, 0]), 0.577, 1.283)):
        assert np.isfinite(values).all()
        np.testing.assert_allclose([values.mean(), values.std()], [mean, std], atol=0.06)
    ends = jnp.array([[0, 0], [2**32 - 1, 2**32 - 1]], jnp.uint32)
    assert np.isfinite(normal(ends)).all() and np.isfinite(gumbel(ends)).all()


def test_gumbel_softmax():
    """Samples follow softmax(logits); hard ones are one-hot and have the gradient of the soft ones."""
    logits = jnp.log(jnp.array([0.7, 0.3]))
    noise = gumbel(WORDS)
    soft = gumbel_softmax(noise, logits[None], jnp.float32(0.5), False)
    np.testing.assert_allclose(soft.sum(axis=1), 1.0, rtol=1e-5)
    hard = gumbel_softmax(noise, logits[None], jnp.float32(0.5), True)
    np.testing.assert_allclose(hard, jax.nn.one_hot(soft.argmax(axis=1), 2), atol=1e-6)
    np.testing.assert_allclose(hard.mean(axis=0), [0.7, 0.3], atol=0.03)
    gradients = [
        jax.grad(lambda x, one_hot=one_hot: gumbel_softmax(noise[0], x, jnp.float32(0.5), one_hot)[0])(logits)
        for one_hot in (False, True)
    ]
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("mode", "after"), [("annealed", [2.0, 1.05, 0.1, 0.1]), ("fixed", [2.0] * 4), ("learned", [2.0] * 4)]
)
def test_temperature(mode, after):
    """Annealed falls to a twentieth in 2,000 steps; a learned one does not fall below 0.05."""
    config = replace(DISCRETE, temperature_mode=mode)
    actor = Actor((), jnp.float32(2.0))
    got = [td3_policy.temperature(actor, jnp.int32(n), config) for n in (0, 1000, 2000, 9000)]
    np.testing.assert_allclose(got, after, rtol=1e-5)
    if mode == "learned":
        assert td3_policy.temperature(Actor((), jnp.float32(-1.0)), jnp.int32(0), config) == pytest.approx(
            0.05
        )


def test_action_spaces():
    assert actions_of(TWO) == CHOICE
    assert actions_of(CONTINUOUS_SPACE) == LINE
    with pytest.raises(UserError, match="wrap it"):
        actions_of(spaces.Box(0.0, 2.0, (1,)))


def test_actions_stay_in_bounds():
    """Whatever the noise, and spread over them while the buffer warms up."""
    policy_net = linear([[50.0]], [0.0])
    weights = drawn(SMALL, LINE)._replace(actor=Actor(policy_net, jnp.float32(1)), action_std=jnp.float32(9))
    words = jax.random.bits(jax.random.key(1), (500, 4))

    def explore(w, warm_up):
        hyperparams = fixed_hyperparams(SMALL, 0.0)
        return td3.explore(w, weights, jnp.ones(1), 0.0, warm_up, hyperparams, LINE, SMALL)

    noisy = jax.vmap(lambda w: explore(w, False))(words)
    assert np.abs(noisy).max() == 2.0 and (np.abs(noisy) < 2).any()
    warm = np.asarray(jax.vmap(lambda w: explore(w, True))(words))
    assert warm.min() < -1.9 and warm.max() > 1.9 and abs(warm.mean()) < 0.2


def test_a_test_is_greedy_unless_released():
    policy = Policy(Actor(linear([[0.0]], [0.5]), jnp.float32(1)), jnp.int32(0), jnp.float32(0.3))
    keys = jax.random.split(jax.random.key(0), 300)
    greedy = jax.vmap(lambda k: td3_policy.act(k, policy, jnp.ones(1), LINE, SMALL))(keys)
    np.testing.assert_allclose(greedy, 2 * np.tanh(0.5), rtol=1e-5)
    config = replace(SMALL, test_noise=True)
    noisy = jax.vmap(lambda k: td3_policy.act(k, policy, jnp.ones(1), LINE, config))(keys)
    np.testing.assert_allclose([noisy.mean(), noisy.std()], [2 * np.tanh(0.5), 0.3], atol=0.06)


# ---------------------------------------------------------------- the gradient step


@functools.partial(jax.jit, static_argnames=("config", "actions"))
def drawn(config, actions):
    hyperparams = fixed_hyperparams(config, 0.0)
    return td3.init(jax.random.key(0), jnp.zeros(1), hyperparams, actions, config, BUCKET)


def test_targets_by_hand():
    """The smaller of Q1 = 2 s' + a' and Q2 = 3 s' - a' at a' = 2 tanh(s') without noise; terminal; clipped noise."""
    weights = drawn(SMALL, LINE)._replace(
        target_actor=Actor(linear([[1.0]], [0.0]), jnp.float32(1)),
        target_critics=(linear([[2.0], [1.0]], [0.0]), linear([[3.0], [-1.0]], [0.0])),
    )
    rows = Rows(*map(jnp.array, ([[0.0]] * 2, [[1.0], [1.0]], [[0.0]] * 2, [0.5, 0.5], [1.0, 0.0])))
    hyperparams = fixed_hyperparams(replace(SMALL, policy_std=0.0), 0.0)
    words = WORDS[:2, :1].repeat(3, axis=1)
    action = 2 * np.tanh(1.0)
    expected = [0.5 + 0.5 * min(2 + action, 3 - action), 0.5]
    np.testing.assert_allclose(
        td3.td_targets(words, weights, rows, hyperparams, LINE, SMALL), expected, rtol=1e-5
    )
    loud = fixed_hyperparams(replace(SMALL, policy_std=1e6, policy_clip=0.25), 0.0)
    got = td3.td_targets(words, weights, rows, loud, LINE, SMALL)[0]
    moved = [min(2 + a, 3 - a) for a in (min(action + 0.25, 2.0), action - 0.25)]
    assert any(got == pytest.approx(0.5 + 0.5 * q, rel=1e-5) for q in moved)


def filled(config, actions):
    """A replay with 64 random transitions."""
    replay = init_replay(64, 1, actions.size)
    for i in range(64):
        numbers = jax.random.normal(jax.random.key(i), (3 + actions.size,))
        row = pack_row(16, numbers[:1], numbers[1:2], numbers[3:], numbers[2], jnp.float32(1))
        replay = write_row(replay, jnp.int32(i), row)
    return replay


@pytest.mark.parametrize(("config", "actions"), [(SMALL, LINE), (DISCRETE, CHOICE)], ids=["line", "choice"])
def test_actor_and_targets_wait(config, actions):
    """With a delay of 2 the first step moves the critics alone, the second the actor and all targets too."""
    hyperparams = fixed_hyperparams(config, 0.0)
    words = jax.random.bits(jax.random.key(2), (2, BUCKET.batch_rows * (1 + 4 * actions.size)))
    learn = jax.jit(
        functools.partial(td3.learn, obs_size=1, epsilon=0.0, actions=actions, config=config, bucket=BUCKET)
    )
    before = drawn(config, actions)
    replay = filled(config, actions)
    first = learn(words[0], before, replay, hyperparams=hyperparams)
    second = learn(words[1], first, replay, hyperparams=hyperparams)

    def moved(a, b):
        return any(
            not np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        )

    assert moved(first.critics, before.critics)
    for name in ("actor", "target_actor", "target_critics"):
        assert not moved(getattr(first, name), getattr(before, name)), name
        assert moved(getattr(second, name), getattr(first, name)), name
    follow = lambda old, new: old + hyperparams.tau * (new - old)  # noqa: E731
    jax.tree.map(
        lambda target, old, new: np.testing.assert_allclose(target, follow(old, new), atol=1e-6),
        second.target_critics,
        first.target_critics,
        second.critics,
    )


@pytest.mark.parametrize("block", [30, 8])
def test_masked_batch_is_exact(block):
    """Twenty rows of at most thirty: the critics move as those of a batch of exactly twenty, in blocks or not."""
    hyperparams = fixed_hyperparams(replace(SMALL, batch_size=20), 0.0)
    before, replay = drawn(SMALL, LINE), filled(SMALL, LINE)

    def critics(bucket, words):
        after = td3.learn(words, before, replay, 1, 0.0, hyperparams, LINE, SMALL, bucket)
        return after.critics

    masked = Bucket(1, 16, 30, block)
    words = jax.random.bits(jax.random.key(3), (masked.batch_rows, 5))
    exact = jax.jit(functools.partial(critics, Bucket(1, 16, 20, 20)))(words[:20].ravel())
    got = jax.jit(functools.partial(critics, masked))(words.ravel())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, exact)


# ---------------------------------------------------------------- learning


@functools.partial(jax.jit, static_argnames=("env", "config", "space"))
def train(key, env, env_params, config, space):
    agent = td3.make(config, BUCKET, {"line": CONTINUOUS_SPACE, "two": TWO}[space])
    return agent.train(key, env, env_params, fixed_hyperparams(config, 0.0))


def test_continuous_probe():
    """The actor finds the target for both observations."""
    env = probe_envs.Target()
    result = train(jax.random.key(0), env, env.default_params, SMALL, "line")
    for obs in (-1.0, 1.0):
        action = td3_policy.act(jax.random.key(0), result.params, jnp.array([obs]), LINE, SMALL)
        assert action[0] == pytest.approx(obs, abs=0.2)


@pytest.mark.parametrize("probe", [probe_envs.ActionReward, probe_envs.ObservedActionReward])
@pytest.mark.parametrize(
    "config",
    [
        DISCRETE,
        replace(DISCRETE, one_hot=True),
        replace(DISCRETE, temperature_mode="learned"),
        replace(DISCRETE, temperature_mode="annealed"),
    ],
    ids=["soft", "hard", "learned", "annealed"],
)
def test_discrete_probe(probe, config):
    """The policy picks the rewarded action for every observation."""
    result = train(jax.random.key(0), probe_envs.PROBE, probe.default_params, config, "two")
    for obs in (-1.0, 1.0):
        action = td3_policy.act(jax.random.key(0), result.params, jnp.array([obs]), CHOICE, config)
        assert action == (1 if probe is probe_envs.ActionReward or obs > 0 else 0)
