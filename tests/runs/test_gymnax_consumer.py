"""A training loop that knows only gymnax takes real tasks and proxies alike."""

import ast
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from experiments.examples import gymnax_ppo
from experiments.examples.gymnax_ppo import PPOConfig, step_gymnax0, train

import synthenv
from synthenv.envs import registry
from synthenv.envs.wrappers import FiveTuple
from synthenv.proxies import synthetic_env
from synthenv.proxies.config import SyntheticConfig

TINY = PPOConfig(num_envs=8, num_steps=8, num_updates=3, num_epochs=1, num_minibatches=2, hidden_size=8)


@functools.cache  # environments hash by identity: a second one would compile again
def synthetic_cartpole(form="mdp"):
    spec = registry.make("CartPole-v1")
    config = SyntheticConfig(form=form, hidden_size=8, done="never", max_steps=5)
    env = synthetic_env.make(spec.env, spec.env_params, config)
    # Weights large enough that an action makes a difference worth learning.
    return env, env.env_params(jax.tree.map(lambda w: 3 * w, env.init_params(jax.random.key(1))))


def test_the_loop_imports_nothing_of_ours_but_make():
    tree = ast.parse(Path(gymnax_ppo.__file__).read_text("utf-8"))
    ours = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and "synthenv" in (n.module or "")]
    top = [a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names]
    assert not ours and "synthenv" not in top


def test_advantages_by_hand():
    zeros = jnp.zeros((3, 1))
    batch = gymnax_ppo.Batch(
        obs=zeros, action=zeros, log_prob=zeros, episode_return=zeros,
        value=jnp.array([[1.0], [2.0], [3.0]]),
        reward=jnp.array([[1.0], [1.0], [1.0]]),
        done=jnp.array([[0.0], [1.0], [0.0]]),
    )  # fmt: skip
    config = PPOConfig(discount=0.5, gae_lambda=0.5)
    # t=2: 1 + .5*4 - 3 = 0.  t=1, an end: 1 - 2 = -1.  t=0: 1 + .5*2 - 1 = 1, plus .25 * -1.
    got = gymnax_ppo.advantages(batch, jnp.array([4.0]), config)
    np.testing.assert_allclose(got[:, 0], [0.75, -1.0, 0.0])


def test_ppo_learns_the_real_pole():
    _, returns = train(jax.random.key(0), *synthenv.make("CartPole-v1"))
    assert jnp.nanmean(returns[:5]) < 50
    assert jnp.nanmean(returns[-10:]) > 120


@pytest.mark.parametrize("form", ["mdp", "bandit"])
def test_the_same_loop_trains_in_a_proxy(form):
    env, params = synthetic_cartpole(form)
    _, returns = train(jax.random.key(0), env, params, PPOConfig(num_envs=16, num_steps=20, num_updates=30))
    assert jnp.isfinite(returns).all()
    assert returns[-5:].mean() > returns[0] + 1, "PPO should exploit even a random network"


def test_weights_are_an_axis_like_any_other():
    env, _ = synthetic_cartpole()
    proxies = jax.vmap(env.init_params)(jax.random.split(jax.random.key(2), 3))  # [P]

    def mean_return(proxy):
        return train(jax.random.key(0), env, env.env_params(proxy), TINY)[1].mean()

    one_by_one = [mean_return(jax.tree.map(lambda x, i=i: x[i], proxies)) for i in range(3)]
    np.testing.assert_allclose(jax.vmap(mean_return)(proxies), one_by_one, rtol=1e-4)


@pytest.mark.parametrize("make", [lambda: synthenv.make("CartPole-v1"), synthetic_cartpole])
def test_old_consumers_see_the_same(make):
    env, params = make()
    new = train(jax.random.key(0), env, params, TINY)[1]
    old = train(jax.random.key(0), FiveTuple(env), params, TINY, step_gymnax0)[1]
    np.testing.assert_allclose(old, new, rtol=1e-5)
