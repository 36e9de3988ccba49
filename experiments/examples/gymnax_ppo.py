"""PPO in one page that knows gymnax and nothing of synthenv: hand it any ``(env, params)``.

    python experiments/examples/gymnax_ppo.py CartPole-v1

About 5 s on two CPU cores; the mean return of finished episodes rises from about 20 to above 400. The loop exists to
show that a synthetic environment needs no special treatment by its users: real tasks and proxies run through the same
lines. A time limit ends an episode like a terminal state (no bootstrapping through it), as usual in such loops.

References:
    Schulman et al. (2017), Proximal policy optimization algorithms.
    Lu et al. (2022), Discovered policy optimisation (purejaxrl: training wholly inside one jitted function).
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

StepResult = tuple[jax.Array, Any, jax.Array, jax.Array]  # obs, state, reward, done


class PPOConfig(NamedTuple):
    """Static choices: N environments, T steps per update."""

    num_envs: int = 32
    num_steps: int = 32
    num_updates: int = 60
    num_epochs: int = 4
    num_minibatches: int = 4
    hidden_size: int = 64
    learning_rate: float = 2.5e-3
    discount: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    value_weight: float = 0.5
    entropy_weight: float = 0.01
    max_grad_norm: float = 0.5


CARTPOLE = PPOConfig()


class Batch(NamedTuple):
    """What one rollout leaves, leading axes [T, N]; ``episode_return`` is NaN unless an episode ended there."""

    obs: jax.Array
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    done: jax.Array
    episode_return: jax.Array


def step_gymnax1(env: Any, key: jax.Array, state: Any, action: jax.Array, params: Any) -> StepResult:
    """The six values of gymnax 1.x."""
    obs, state, reward, terminated, truncated, _ = env.step(key, state, action, params)
    return obs, state, reward, jnp.logical_or(terminated, truncated)


def step_gymnax0(env: Any, key: jax.Array, state: Any, action: jax.Array, params: Any) -> StepResult:
    """The five values of gymnax before 1.0."""
    obs, state, reward, done, _ = env.step(key, state, action, params)
    return obs, state, reward, done


def init_net(key: jax.Array, obs_size: int, hidden_size: int, num_actions: int) -> list[Any]:
    """One tanh hidden layer each for the policy and the value, orthogonal."""
    shapes = [(obs_size, hidden_size, 2**0.5), (hidden_size, num_actions, 0.01)]
    shapes += [(obs_size, hidden_size, 2**0.5), (hidden_size, 1, 1.0)]
    keys = jax.random.split(key, len(shapes))
    return [
        (jax.nn.initializers.orthogonal(scale)(k, (rows, cols)), jnp.zeros((1, cols)))
        for k, (rows, cols, scale) in zip(keys, shapes, strict=True)
    ]


def apply_net(net: list[Any], obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log-probabilities [B, actions] and values [B] of observations [B, ...]."""
    obs = obs.reshape(len(obs), -1)
    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = net
    logits = jnp.tanh(obs @ w1 + b1) @ w2 + b2
    values = jnp.tanh(obs @ w3 + b3) @ w4 + b4
    return jax.nn.log_softmax(logits), values[:, 0]


def advantages(batch: Batch, last_value: jax.Array, config: PPOConfig) -> jax.Array:
    """Generalised advantage estimates [T, N]; ``done[t]`` cuts between ``t`` and ``t + 1``."""

    def backward(carry, row):
        advantage, next_value = carry
        going_on = 1.0 - row.done
        delta = row.reward + config.discount * going_on * next_value - row.value
        advantage = delta + config.discount * config.gae_lambda * going_on * advantage
        return (advantage, row.value), advantage

    start = (jnp.zeros_like(last_value), last_value)
    return jax.lax.scan(backward, start, batch, reverse=True)[1]


def loss(net: list[Any], batch: Batch, advantage: jax.Array, config: PPOConfig) -> jax.Array:
    """Clipped surrogate, squared value error and entropy bonus over a minibatch [B]."""
    log_probs, value = apply_net(net, batch.obs)
    log_prob = jnp.take_along_axis(log_probs, batch.action[:, None], axis=1)[:, 0]
    ratio = jnp.exp(log_prob - batch.log_prob)
    scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    clipped = jnp.clip(ratio, 1 - config.clip, 1 + config.clip)
    policy_loss = -jnp.minimum(ratio * scaled, clipped * scaled).mean()
    value_loss = jnp.square(value - (batch.value + advantage)).mean()
    entropy = -(jnp.exp(log_probs) * log_probs).sum(axis=1).mean()
    return policy_loss + config.value_weight * value_loss - config.entropy_weight * entropy


@partial(jax.jit, static_argnames=("env", "config", "step"))
def train(
    key: jax.Array,
    env: Any,
    params: Any,
    config: PPOConfig = CARTPOLE,
    step: Callable[..., StepResult] = step_gymnax1,
) -> tuple[list[Any], jax.Array]:
    """Train PPO in ``env``.

    Returns:
        the network, and the mean return of the episodes that ended during each update [num_updates]
        (NaN where none did).
    """
    optimiser = optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm), optax.adam(config.learning_rate, eps=1e-5)
    )
    key, key_net, key_reset = jax.random.split(key, 3)
    obs, state = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(key_reset, config.num_envs), params)
    net = init_net(key_net, obs[0].size, config.hidden_size, env.num_actions)

    def interact(carry, key):
        net, obs, state, total = carry
        key_act, key_step = jax.random.split(key)
        log_probs, value = apply_net(net, obs)
        action = jax.random.categorical(key_act, log_probs)
        log_prob = jnp.take_along_axis(log_probs, action[:, None], axis=1)[:, 0]
        keys = jax.random.split(key_step, config.num_envs)
        next_obs, state, reward, done = jax.vmap(partial(step, env), in_axes=(0, 0, 0, None))(
            keys, state, action, params
        )
        total = total + reward
        ended = jnp.where(done, total, jnp.nan)
        batch = Batch(obs, action, log_prob, value, reward, done.astype(jnp.float32), ended)
        return (net, next_obs, state, jnp.where(done, 0.0, total)), batch

    def learn(carry, rows):
        net, opt_state = carry
        updates, opt_state = optimiser.update(jax.grad(loss)(net, *rows, config), opt_state)
        return (optax.apply_updates(net, updates), opt_state), None

    def epoch(carry, key, batch, advantage):
        order = jax.random.permutation(key, config.num_steps * config.num_envs)
        order = order.reshape(config.num_minibatches, -1)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[order], (batch, advantage))
        return jax.lax.scan(learn, carry, flat)[0], None

    def update(carry, key):
        net, opt_state, obs, state, total = carry
        key_rollout, key_epochs = jax.random.split(key)
        (_, obs, state, total), batch = jax.lax.scan(
            interact, (net, obs, state, total), jax.random.split(key_rollout, config.num_steps)
        )
        advantage = advantages(batch, apply_net(net, obs)[1], config)
        (net, opt_state), _ = jax.lax.scan(
            lambda c, k: epoch(c, k, batch, advantage),
            (net, opt_state),
            jax.random.split(key_epochs, config.num_epochs),
        )
        return (net, opt_state, obs, state, total), jnp.nanmean(batch.episode_return)

    carry = (net, optimiser.init(net), obs, state, jnp.zeros(config.num_envs))
    (net, *_), returns = jax.lax.scan(update, carry, jax.random.split(key, config.num_updates))
    return net, returns


if __name__ == "__main__":
    import synthenv

    for i, mean in enumerate(train(jax.random.key(0), *synthenv.make(sys.argv[1]))[1]):
        print(f"update {i:3d}   mean return {mean:8.2f}")
