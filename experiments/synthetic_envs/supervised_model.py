"""Models of a task fitted by supervision, in the networks of a synthetic environment: the baseline of figures 22, 23.

References:
    Ferreira et al. (2022), appendix D.2: next state and reward by mean squared error, Adam, 100 epochs of batches
    of 1024.
"""

from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from synthenv.agents import registry as agents
from synthenv.agents.presets import TABLE3_CARTPOLE
from synthenv.agents.training.hyperparams import sample
from synthenv.core.types import Transition
from synthenv.envs.registry import EnvSpec
from synthenv.envs.rollout import rollout
from synthenv.nets.mlp import Layer, Params, apply_mlp
from synthenv.proxies.synthetic_env import SyntheticMDP, SyntheticParams, SyntheticState

Data = Literal["tests", "best", "random", "balanced"]
FAILURES = 0.1  # share of balanced data that is drawn from the failures alone
BATCH_SIZE = 1024


class Recipe(NamedTuple):
    """How a model is fitted.

    Attributes:
        done: regressed on 0 and 1 like the rest, classified by cross-entropy (an output above 0.5 is an end), or
            unfitted: left as drawn.
        standardised: fit standardised inputs and targets with a learning rate that decays to 0; else raw ones with a
            constant rate, as the paper says or at least does not deny.
        epochs: passes over the data.
        learning_rate: Adam's, at the start.
    """

    done: Literal["regressed", "classified", "unfitted"] = "regressed"
    standardised: bool = False
    epochs: int = 100
    learning_rate: float = 1e-3


def streams(
    key: jax.Array, spec: EnvSpec, num_agents: int, max_train_steps: int, num_steps: int
) -> Transition:
    """Let agents that have learnt more and more play greedily on the real task, each for ``num_steps``. [A, T]

    They stand for the incumbents of a search, from the first to the last: DDQN of table 3, trained on the real task for
    1 to 100 % of ``max_train_steps``.
    """
    config = replace(
        TABLE3_CARTPOLE,
        stop="none",
        time_limit="terminal",
        max_steps=max_train_steps,
        max_episodes=max_train_steps,
        buffer_size=max_train_steps,
    )
    key_draw, key_agents = jax.random.split(key)
    hyperparams, buckets = sample(key_draw, config, spec.solved_return, num_agents)
    budgets = np.geomspace(max_train_steps / 100, max_train_steps, num_agents).astype(np.int32)
    agent = agents.make(config, buckets[0], spec.env.action_space(spec.env_params))

    def play(one: tuple[jax.Array, Any]) -> Transition:
        key_train, key_play = jax.random.split(one[0])
        params = agent.train(key_train, spec.env, spec.env_params, one[1]).params
        return rollout(
            key_play, spec.env, spec.env_params, lambda k, obs: agent.act(k, params, obs), num_steps
        )

    each = (jax.random.split(key_agents, num_agents), hyperparams.replace(max_steps=budgets))
    return _cut(jax.jit(partial(jax.lax.map, play))(each))


def random_stream(key: jax.Array, spec: EnvSpec, num_steps: int) -> Transition:
    """Play at random. [1, T]"""
    space = spec.env.action_space(spec.env_params)
    play = jax.jit(
        lambda key: rollout(key, spec.env, spec.env_params, lambda key, obs: space.sample(key), num_steps)
    )
    return _cut(jax.tree.map(lambda x: x[None], play(key)))


def _cut(played: Transition) -> Transition:
    """NumPy [A, T], with every stream's last episode marked as cut off there."""
    played = jax.tree.map(np.array, played)
    played.truncated[:, -1] |= ~played.terminated[:, -1]
    return played


def collect(key: jax.Array, spec: EnvSpec, data: Data, num: int, max_train_steps: int = 10_000) -> Transition:
    """Transitions of the real task to fit a model to. [N]

    Args:
        key: random key.
        spec: the real task.
        data: tests takes episodes of agents of every age (see ``streams``), best those of the quarter that lasts
            longest, random actions drawn uniformly, balanced half random and half tests, a tenth of all replaced by
            failures.
        num: how many.
        max_train_steps: of the agents that play.
    """
    key_agents, key_random, key_draw = jax.random.split(key, 3)
    draw = np.random.default_rng(np.asarray(jax.random.key_data(key_draw)))
    pools = []
    if data != "random":
        played = streams(key_agents, spec, 16, max_train_steps, -(-num // (4 if data == "best" else 16)))
        if data == "best":
            ended = (played.terminated | played.truncated).sum(axis=1)
            played = jax.tree.map(lambda x: x[np.argsort(ended, kind="stable")[:4]], played)
        pools.append(_flat(played))
    if data in ("random", "balanced"):
        pools.append(_flat(random_stream(key_random, spec, num)))
    pool = jax.tree.map(lambda *x: np.concatenate([part[:num] for part in x]), *pools)
    if data != "balanced":
        return pool
    ends = np.flatnonzero(pool.terminated)
    chosen = draw.choice(len(pool.reward), num - int(FAILURES * num), replace=False)
    chosen = np.concatenate([chosen, draw.choice(ends, num - len(chosen))])
    return jax.tree.map(lambda x: x[chosen], pool)


def _flat(played: Transition) -> Transition:
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), played)


def inputs_and_targets(proxy: SyntheticMDP, data: Transition) -> tuple[jax.Array, dict[str, jax.Array]]:
    """What the networks see, [N, actions + obs], and what each should answer, [N, outputs]."""
    one_hot = jax.nn.one_hot(data.action, proxy.num_actions)
    targets = {
        "state": jnp.asarray(data.next_obs),
        "reward": jnp.asarray(data.reward)[:, None],
        "done": jnp.asarray(data.terminated, jnp.float32)[:, None],
    }
    return jnp.concatenate([one_hot, data.obs], axis=1), targets


def fit(key: jax.Array, proxy: SyntheticMDP, data: Transition, recipe: Recipe) -> dict[str, Params]:
    """Fit the three networks of a synthetic environment to transitions [N]."""
    key_init, key_batches = jax.random.split(key)
    x, targets = inputs_and_targets(proxy, data)
    scales = {name: (jnp.zeros(y.shape[1]), jnp.ones(y.shape[1])) for name, y in targets.items()}
    scales["input"] = (jnp.zeros(x.shape[1]), jnp.ones(x.shape[1]))
    if recipe.standardised:
        scales |= {
            "input": _moments(x),
            "state": _moments(targets["state"]),
            "reward": _moments(targets["reward"]),
        }
    x = _standardise(x, scales["input"])
    targets = {name: _standardise(y, scales[name]) for name, y in targets.items()}
    num_batches = max(1, len(x) // BATCH_SIZE)
    num_updates = recipe.epochs * num_batches
    rate = optax.cosine_decay_schedule(recipe.learning_rate, num_updates)
    optimiser = optax.adam(rate if recipe.standardised else recipe.learning_rate)

    def update(carry: Any, rows: jax.Array) -> tuple[Any, None]:
        nets, moments = carry
        batch = x[rows], {name: y[rows] for name, y in targets.items()}
        updates, moments = optimiser.update(jax.grad(loss)(nets, *batch, proxy, recipe), moments)
        return (optax.apply_updates(nets, updates), moments), None

    def epoch(carry: Any, key: jax.Array) -> tuple[Any, None]:
        order = jax.random.permutation(key, len(x))[: num_batches * BATCH_SIZE]
        return jax.lax.scan(update, carry, order.reshape(num_batches, -1))

    nets = proxy.init_params(key_init)
    keys = jax.random.split(key_batches, recipe.epochs)
    nets, _ = jax.jit(partial(jax.lax.scan, epoch))((nets, optimiser.init(nets)), keys)[0]
    return {name: unstandardise(net, scales["input"], scales[name]) for name, net in nets.items()}


def loss(
    nets: dict[str, Params], x: jax.Array, targets: dict[str, jax.Array], proxy: SyntheticMDP, recipe: Recipe
) -> jax.Array:
    """Sum of the networks' losses over a batch; they share no weights."""
    total = jnp.float32(0)
    for name, target in targets.items():
        output = apply_mlp(nets[name], x, proxy.config.activation)
        if name == "done" and recipe.done == "classified":
            total += optax.sigmoid_binary_cross_entropy(output - 0.5, target).mean()
        elif name != "done" or recipe.done == "regressed":
            total += jnp.mean((output - target) ** 2)
    return total


def _moments(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    std = values.std(axis=0)
    return values.mean(axis=0), jnp.where(std > 1e-6, std, 1.0)


def _standardise(values: jax.Array, moments: tuple[jax.Array, jax.Array]) -> jax.Array:
    return (values - moments[0][None, :]) / moments[1][None, :]


def unstandardise(net: Params, inputs: Any, outputs: Any) -> Params:
    """Absorb the scales into the first and last layer: the network then maps raw inputs to raw outputs."""
    first = Layer(net[0].kernel / inputs[1][:, None], net[0].bias - (inputs[0] / inputs[1]) @ net[0].kernel)
    net = (first, *net[1:])
    last = Layer(net[-1].kernel * outputs[1][None, :], net[-1].bias * outputs[1] + outputs[0])
    return (*net[:-1], last)


def one_step_errors(proxy: SyntheticMDP, nets: dict[str, Params], data: Transition) -> dict[str, Any]:
    """How far off the model is after one step, on transitions [N].

    Returns:
        ``mse`` of (next state, reward), the paper's measure; ``relative_error`` per observed number, root mean square
        by that of its change; ``done_recall``, the share of ends recognised, and ``false_ends``, of others taken for
        one.
    """
    x, targets = inputs_and_targets(proxy, data)
    answers = {name: apply_mlp(nets[name], x, proxy.config.activation) for name in targets}
    squares = [(answers[name] - targets[name]) ** 2 for name in ("state", "reward")]
    change = jnp.sqrt(jnp.mean((targets["state"] - data.obs) ** 2, axis=0))
    ends = answers["done"][:, 0] > 0.5
    real_ends = targets["done"][:, 0] > 0.5
    return {
        "mse": float(jnp.concatenate(squares, axis=1).mean()),
        "relative_error": (jnp.sqrt(squares[0].mean(axis=0)) / change).tolist(),
        "done_recall": float(jnp.sum(ends & real_ends) / jnp.maximum(real_ends.sum(), 1)),
        "false_ends": float(jnp.sum(ends & ~real_ends) / jnp.maximum((~real_ends).sum(), 1)),
    }


def multi_step_errors(
    proxy: SyntheticMDP, nets: dict[str, Params], played: Transition, horizon: int
) -> list[float]:
    """Median error after 1 to ``horizon`` steps of the model on its own, with the actions of real streams [A, T].

    The error is the root mean square over the observed numbers, each by its standard deviation.
    """
    ended = played.terminated | played.truncated
    windows = np.lib.stride_tricks.sliding_window_view(ended, horizon, axis=1)[:, ::5]
    stream, start = np.nonzero(~windows.any(axis=2))
    steps = 5 * start[:, None] + np.arange(horizon)[None, :]  # [W, K]
    actions, real = played.action[stream[:, None], steps], played.next_obs[stream[:, None], steps]
    params: SyntheticParams = proxy.env_params(nets)

    def imagine(obs: jax.Array, actions: jax.Array) -> jax.Array:
        def step(state: SyntheticState, action: jax.Array) -> tuple[SyntheticState, jax.Array]:
            obs, state, _, _, _ = proxy.step_env(jax.random.key(0), state, action, params)
            return state, obs

        return jax.lax.scan(step, SyntheticState(time=jnp.int32(0), raw=obs), actions)[1]

    imagined = jax.jit(jax.vmap(imagine))(played.obs[stream, steps[:, 0]], actions)
    relative = (imagined - real) / _flat(played).obs.std(axis=0)[None, None, :]
    return np.median(np.sqrt((np.asarray(relative) ** 2).mean(axis=2)), axis=0).tolist()
