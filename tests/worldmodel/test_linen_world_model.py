"""A world model of a user's around a flax.linen module: fitted to the context as it is encoded, then dreamt in."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from synthenv.agents import registry as agents
from synthenv.agents.off_policy_config import TD3Config
from synthenv.agents.training.hyperparams import sample
from synthenv.core.types import Prediction, Transition, WorldModel
from synthenv.envs import registry
from synthenv.envs.rollout import evaluate, rollout
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.dream.env import WorldModelEnv, env_params

LINE = registry.make("SimpleEnv")  # obs' = obs + action, reward -|obs'|
BOUND, STEPS, CONTEXT = 10.0, 300, 400
KEY = jax.random.key(0)


class Dynamics(nn.Module):
    """From observation and action to the change of the observation and the reward."""

    obs_size: int

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.silu(nn.Dense(32)(x))
        return nn.Dense(self.obs_size + 1)(x)


def inputs(obs, action):
    return jnp.concatenate([obs, jnp.ravel(action)]) / BOUND


def encode(params, transitions, num_actions):
    """Fit a fresh module to the context's changes and rewards, both in units of their spread."""
    obs, next_obs = jnp.asarray(transitions.obs), jnp.asarray(transitions.next_obs)
    targets = jnp.concatenate([next_obs - obs, jnp.asarray(transitions.reward)[:, None]], axis=1)
    mean, std = jnp.mean(targets, axis=0), jnp.std(targets, axis=0) + 1e-6
    wanted = (targets - mean[None]) / std[None]
    x = jax.vmap(inputs)(obs, jnp.asarray(transitions.action))
    module, adam = Dynamics(obs.shape[1]), optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))

    def loss(weights):
        return jnp.mean(jnp.square(module.apply(weights, x) - wanted))

    def step(carry, _):
        weights, moments = carry
        updates, moments = adam.update(jax.grad(loss)(weights), moments)
        return (optax.apply_updates(weights, updates), moments), None

    weights = module.init(KEY, x[0])
    (weights, _), _ = jax.lax.scan(step, (weights, adam.init(weights)), None, STEPS)
    return {"weights": weights, "mean": mean, "std": std, "error": jnp.sqrt(loss(weights)) * std}


def predict(cache, obs, action):
    """One step of the fitted module, as unsure as it was wrong about its context; it never ends an episode."""
    out = Dynamics(obs.size).apply(cache["weights"], inputs(obs, action)) * cache["std"] + cache["mean"]
    error = cache["error"]
    return Prediction(obs + out[:-1], out[-1], error[:-1], error[-1], jnp.float32(0))


FITTED = WorldModel("fitted linen", encode, predict)


@pytest.fixture(scope="module")
def context():
    """What random actions show of the task."""

    def act(key, obs):
        return jax.random.uniform(key, (1,), minval=-BOUND, maxval=BOUND)

    steps = jax.jit(lambda: rollout(KEY, LINE.env, LINE.env_params, act, CONTEXT))()
    first, _ = jax.vmap(lambda key: LINE.env.reset_env(key, LINE.env_params))(jax.random.split(KEY, 20))
    steps = Transition(*map(np.asarray, steps))
    return Context(steps, np.asarray(first), None, BOUND, "SimpleEnv", "random", LINE.max_steps)


def test_foresees_steps_that_it_has_not_seen(context):
    cache = jax.jit(lambda: FITTED.encode(None, context.transitions, None))()
    obs, action = jax.random.uniform(KEY, (2, 200, 1), minval=-8.0, maxval=8.0)
    found = jax.jit(jax.vmap(FITTED.predict, in_axes=(None, 0, 0)))(cache, obs, action)
    errors = np.abs(np.asarray(found.next_obs - (obs + action)))
    assert np.median(errors) < 0.3, "a step is five units long in the mean"
    assert np.median(np.abs(np.asarray(found.reward + jnp.abs((obs + action)[:, 0])))) < 1.0


def test_an_agent_learns_the_real_task_in_the_dream(context):
    """TD3 dreams, and solves the real task."""
    cache = jax.jit(lambda: FITTED.encode(None, context.transitions, None))()
    dream = WorldModelEnv("fitted linen", FITTED.predict, None, context.actions, 1)
    params = env_params(cache, context, LINE.max_steps)
    config = TD3Config(
        hidden_size=32, batch_size=64, max_steps=1500, init_episodes=5, stop="none", buffer_size=1500
    )
    hyperparams, (bucket,) = sample(KEY, config, LINE.solved_return, 1)
    agent = agents.make(config, bucket, dream.action_space())

    @jax.jit
    def train_and_test(key, params):
        member = jax.tree.map(lambda x: x[0], hyperparams)
        policy = agent.train(key, dream, params, member).params
        act = lambda key, obs: agent.act(key, policy, obs)  # noqa: E731
        return evaluate(key, LINE.env, LINE.env_params, act, 10, LINE.max_steps).returns.mean()

    assert train_and_test(KEY, params) > LINE.solved_return
