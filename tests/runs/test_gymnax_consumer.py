"""A training loop that knows only gymnax takes real tasks and proxies alike."""

import ast
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synthenv
from experiments.examples import gymnax_ppo
from experiments.examples.gymnax_ppo import PPOConfig, step_gymnax0, train
from synthenv.envs import registry
from synthenv.envs.wrappers import FiveTuple
from synthenv.proxies import synthetic_env
from synthenv.proxies.config import SyntheticConfig

SMALL = PPOConfig(num_envs=16, num_steps=20, num_updates=60, hidden_size=16)


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


@pytest.mark.parametrize(("form", "gain"), [("mdp", 1.0), ("bandit", 0.05)])
def test_the_same_loop_trains_in_a_proxy(form, gain):
    env, params = synthetic_cartpole(form)
    _, returns = train(jax.random.key(0), env, params, SMALL)
    assert jnp.isfinite(returns).all()
    assert returns[-20:].mean() > returns[:3].mean() + gain, "PPO should exploit even a random network"


@pytest.mark.parametrize("make", [lambda: synthenv.make("CartPole-v1"), synthetic_cartpole])
def test_old_consumers_see_the_same(make):
    env, params = make()
    new = train(jax.random.key(0), env, params, SMALL)[1]
    old = train(jax.random.key(0), FiveTuple(env), params, SMALL, step_gymnax0)[1]
    np.testing.assert_allclose(old, new, rtol=1e-5)
