"""Deep power laws: an ensemble of networks that tell what a curve leaves to the best score as alpha + beta * b^-gamma.

Every member tells the three numbers from a configuration's features; b is the share of the longest training. The law
is of errors, 1 - score: were it of scores, beta would begin by going to the wrong side of z * sigmoid(z), whose least
value it does not leave again. Members begin with different weights and draw different batches of what was seen, and
nothing is learnt from other data sets but what steps cost. What the paper calls an epoch is a batch here, which is the
same for the first 64 scores.

Axis letters here: N candidates, F features, T steps, M rows, E members.

References:
    Kadra, Janowski, Wistuba and Grabocka (2023), Scaling laws for hyperparameter optimization.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from synthenv.nets.linear import Linear, init_linear, linear
from synthenv.selection.forecast import Forecast, Normal
from synthenv.selection.surrogates import step_seconds
from synthenv.selection.surrogates.history import History, append, empty
from synthenv.selection.surrogates.step_seconds import StepSeconds
from synthenv.selection.surrogates.surrogate import Candidates, Seen, Surrogate
from synthenv.selection.tables.meta_dataset import MetaDataset

NUM_MEMBERS = 5
_WIDTH = 128
_FIRST_EPOCHS, _EPOCHS = 250, 20
_BATCH = 64
_ADAM = optax.adam(1e-3)

Network = tuple[Linear, Linear, Linear]


class Params(NamedTuple):
    """Random key of weights and batches, least score, width of the range of scores, and what steps take."""

    key: jax.Array
    low: jax.Array
    width: jax.Array
    seconds: StepSeconds


class State(NamedTuple):
    """A data set half seen.

    Attributes:
        features: of the candidates. [N, F]
        history: what was seen, scores in [0, 1].
        members: networks. [E, ...]
        adam: state of their training. [E, ...]
    """

    features: jax.Array
    history: History
    members: Network
    adam: Any


def fit(key: jax.Array, meta: MetaDataset) -> Params:
    """Take over the range of scores, and learn what steps cost."""
    low, high = meta.score_range
    scale = (jnp.asarray(low, jnp.float32), jnp.asarray(high - low, jnp.float32))
    return Params(key, *scale, step_seconds.fit(meta))


def _init(key: jax.Array, num_features: int) -> Network:
    first, second, last = jax.random.split(key, 3)
    return (
        init_linear(first, num_features, _WIDTH),
        init_linear(second, _WIDTH, _WIDTH),
        init_linear(last, _WIDTH, 3),
    )


def constants(network: Network, features: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """alpha, beta and gamma of configurations [..., F]. [...] each"""
    x = jax.nn.leaky_relu(linear(network[0], features))
    x = jax.nn.leaky_relu(linear(network[1], x))
    alpha, beta, gamma = jnp.moveaxis(linear(network[2], x), -1, 0)
    return alpha, jax.nn.silu(beta), jax.nn.silu(gamma)


def curve(network: Network, features: jax.Array, share: jax.Array) -> jax.Array:
    """Scores of configurations [..., F] after a share [...] of the longest training, above 0. [...]"""
    alpha, beta, gamma = constants(network, features)
    return 1.0 - (alpha + beta * share**-gamma)


def _loss(
    network: Network, features: jax.Array, share: jax.Array, score: jax.Array, mask: jax.Array
) -> jax.Array:
    wrong = jnp.where(mask, jnp.abs(curve(network, features, share) - score), 0.0)
    return jnp.sum(wrong) / jnp.maximum(jnp.sum(mask), 1)


def _train(
    key: jax.Array, network: Network, adam: Any, features: jax.Array, history: History, num_epochs: jax.Array
) -> tuple[Network, Any]:
    """Train one member for so many batches; one size of arrays, whatever was seen."""
    there = history.mask
    share = jnp.maximum(history.step, 1) / history.curves.shape[1]
    score = jnp.where(there, history.score, 0.0)
    chances = jnp.where(there, 0.0, -jnp.inf)
    batch = min(_BATCH, len(score))

    def epoch(index: jax.Array, carry: Any) -> Any:
        network, adam = carry
        # The greatest of random lots are a draw without replacement; masked rows come last.
        lots = chances + jax.random.uniform(jax.random.fold_in(key, index), score.shape)
        rows = jax.lax.top_k(lots, batch)[1]
        grads = jax.grad(_loss)(
            network, features[history.candidate[rows]], share[rows], score[rows], there[rows]
        )
        change, adam = _ADAM.update(grads, adam)
        return optax.apply_updates(network, change), adam

    return jax.lax.fori_loop(0, num_epochs, epoch, (network, adam))


def start(params: Params, candidates: Candidates, num_steps: int, capacity: int) -> State:
    """Members with random weights."""
    keys = jax.random.split(params.key, NUM_MEMBERS)
    members: Any = jax.vmap(_init, in_axes=(0, None))(keys, candidates.features.shape[1])
    history = empty(len(candidates.features), num_steps, capacity)
    return State(jnp.asarray(candidates.features), history, members, jax.vmap(_ADAM.init)(members))


def update(params: Params, state: State, seen: Seen) -> State:
    """One more score: 250 epochs after the first, 20 after each further one."""
    score = (seen.score - params.low) / params.width
    history = append(state.history, seen._replace(score=score))
    num_epochs = jnp.where(history.count == 1, _FIRST_EPOCHS, _EPOCHS)
    keys = jax.random.split(jax.random.fold_in(params.key, history.count), NUM_MEMBERS)
    train = jax.vmap(_train, in_axes=(0, 0, 0, None, None, None))
    members, adam = train(keys, state.members, state.adam, state.features, history, num_epochs)
    return State(state.features, history, members, adam)


def forecast(params: Params, state: State, steps: jax.Array) -> Forecast:
    """Mean and spread of the members."""
    share = jnp.maximum(steps, 1) / state.history.curves.shape[1]
    said = jax.vmap(curve, in_axes=(0, None, None))(state.members, state.features, share)
    score = Normal(
        params.low + params.width * jnp.mean(said, axis=0), params.width * jnp.std(said, axis=0, ddof=1)
    )
    seconds = step_seconds.forecast(params.seconds, state.features, state.history)
    return Forecast(score, step_seconds.until(seconds, state.history, steps))


def power_law(capacity: int = 1024) -> Surrogate:
    """The surrogate that trains on so many of the newest scores."""
    return Surrogate(
        "power_law",
        "five networks that tell curves as power laws",
        fit,
        partial(start, capacity=capacity),
        update,
        forecast,
    )
