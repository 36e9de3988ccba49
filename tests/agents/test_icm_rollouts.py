"""Curiosity for PPO: the bonus is that of the module as it was, which is then trained once, in both forms."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents import ppo, ppo_monte_carlo
from synthenv.agents.config import ICMConfig
from synthenv.agents.curiosity import icm
from synthenv.agents.curiosity.icm_rollouts import curious_in_rollouts, rows_of
from synthenv.agents.ppo_config import PPOConfig, PPOMonteCarloConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.agents.training.replay import Replay, pack_row, unpack
from synthenv.agents.training.vector_rollout import Steps
from synthenv.envs import registry
from synthenv.envs.action_units import Actions

MODULE = ICMConfig(learning_rate=1e-3, eta=2.0, feature_size=3, hidden_size=5)
BUCKET = Bucket(1, 8)
LENGTH, OBS = 6, 4
TWO, PLANE = Actions(2, 1.0, True), Actions(2, 1.0, False)
MONTE_CARLO = PPOMonteCarloConfig(rollout_length=LENGTH, num_epochs=2, hidden_size=8, depth=1)


def filled(actions):
    """Replay with one rollout of random transitions in it."""
    rng = np.random.default_rng(0)
    width = 16
    size = 1 if actions.discrete else actions.size
    rows = [
        pack_row(
            width,
            *jnp.asarray(rng.normal(size=(2, OBS)), jnp.float32),
            jnp.asarray(rng.integers(0, 2) if actions.discrete else rng.normal(size=size), jnp.float32),
            jnp.float32(rng.normal()),
            jnp.float32(1.0),
        )
        for _ in range(LENGTH)
    ]
    return Replay(jnp.stack(rows), jnp.int32(LENGTH))


def trees_equal(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one, other)


@pytest.mark.long  # the other one, which learns from rows of the same kind, is not
@pytest.mark.parametrize("actions", [TWO, PLANE])
def test_monte_carlo_learns_with_the_bonus_and_trains_the_module_once(actions):
    learner = ppo_monte_carlo.make_learner(MONTE_CARLO, BUCKET, actions)
    curious = curious_in_rollouts(learner, LENGTH, actions, MODULE)
    hyperparams, replay = fixed_hyperparams(MONTE_CARLO, 0.0), filled(actions)
    state = jax.jit(lambda: curious.init(jax.random.key(0), jnp.zeros(OBS), hyperparams))()
    before = state._replace(learner=state.learner._replace(num_steps=jnp.int32(LENGTH - 1)))
    learn = jax.jit(lambda s: curious.learn(jnp.zeros(1, jnp.uint32), s, replay, OBS, 0.0, hyperparams))
    after = learn(before)

    @jax.jit  # op by op it would compile for a minute
    def by_hand(state):
        rows = unpack(replay.rows, OBS, None if actions.discrete else actions.size)
        bonus = icm.bonus(state.icm.params, rows, actions, MODULE)
        paid = rows._replace(reward=rows.reward + bonus)
        improved = ppo_monte_carlo.improve(state.learner, paid, hyperparams, actions, MONTE_CARLO)
        return bonus, improved, icm.train_once(state.icm, rows, actions, MODULE)

    bonus, improved, module = by_hand(before)
    assert (bonus > 0).all()
    trees_equal(after.learner.weights, improved.weights)
    trees_equal(after.icm, module)

    early = learn(state)  # five steps before the rollout is whole
    trees_equal(early.icm, state.icm)
    trees_equal(early.learner.weights, state.learner.weights)


def test_on_policy_learns_with_the_bonus_and_trains_the_module_once():
    config = PPOConfig(num_envs=2, rollout_length=4, num_minibatches=2, hidden_size=8, depth=1)
    spec = registry.make("CartPole-v0")
    space = spec.env.action_space(spec.env_params)
    states = {}
    for curiosity in (None, MODULE):
        agent = ppo.make(replace(config, curiosity=curiosity, max_steps=8), BUCKET, space)
        hyperparams = fixed_hyperparams(replace(config, max_steps=8), 195.0)
        start = jax.jit(
            lambda agent=agent, h=hyperparams: agent.init(jax.random.key(0), spec.env, spec.env_params, h)
        )()
        states[curiosity] = (
            start,
            jax.jit(lambda s, agent=agent, h=hyperparams: agent.step(s, spec.env, spec.env_params, h))(start),
        )
    plain, curious = states[None], states[MODULE]
    trees_equal(plain[0].learner.weights, curious[0].learner.learner.weights)
    assert any(
        np.abs(a - b).max() > 1e-6
        for a, b in zip(
            jax.tree.leaves(plain[1].learner.weights),
            jax.tree.leaves(curious[1].learner.learner.weights),
            strict=True,
        )
    ), "the bonus made no difference"
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), curious[0].learner.icm.params, curious[1].learner.icm.params
    )
    assert max(jax.tree.leaves(moved)) == pytest.approx(MODULE.learning_rate, rel=0.01), "one step of Adam"


def test_rows_of_steps():
    """[T, N] in the order of memory."""
    scalar = jnp.arange(6.0).reshape(2, 3)
    obs = jnp.stack([scalar, -scalar], axis=-1)
    rows = rows_of(Steps(obs, scalar, scalar, scalar, obs + 1, scalar, scalar, scalar, scalar))
    assert rows.obs.shape == (6, 2) and rows.reward.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(rows.next_obs, rows.obs + 1)
