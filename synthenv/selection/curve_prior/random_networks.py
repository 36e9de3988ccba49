"""Random networks whose outputs, brought to normal scores, are whatever else a random task needs.

Depth, width and the size of the weights are drawn for every network. Widths differ, so layers are as wide as the widest
and units beyond a network's width are zero. Most of a network's weights would be random words that are used once, and
drawing them would take longer than training on them. So the networks of a batch share the normal draws of their hidden
layers, each through random permutations and signs of the units in front of every layer: for each network alone the
weights are as independent as before, and no two are the same function.

References:
    Rakotoarison et al. (2024), In-context freeze-thaw Bayesian optimization, and its released prior.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

# Outputs of networks with one random configuration each (230,000 of them, as ``reference_outputs`` draws them) at the
# probabilities of the normal scores 0, 0.25, 0.5, ... The distribution is symmetric.
_SCORES = np.arange(0.0, 4.51, 0.25)
_OUTPUTS = np.concatenate(
    [
        [0.0, 0.1138, 0.2499, 0.4266, 0.6453, 0.9057, 1.2051, 1.5386, 1.8921, 2.2754],
        [2.6807, 3.1067, 3.5482, 3.9807, 4.426, 4.819, 5.3557, 5.729, 6.7622],
    ]
)
MOST_SCORE = 4.595  # of 0.5 / 230,000: what lies further out than the reference sample counts as its end


@dataclass(frozen=True)
class NetworkConfig:
    """What networks are drawn from; uniform between the bounds.

    Attributes:
        layers: affine maps, the output's among them.
        width: hidden units.
        weight_scale: standard deviation of weights and biases.
        kept: share of the weights between hidden layers that are not zero.
        hidden_noise: standard deviation of what is added in front of each tanh.
        output_noise: and to the outputs.
    """

    layers: tuple[int, int] = (8, 15)
    width: tuple[int, int] = (36, 149)
    weight_scale: tuple[float, float] = (0.089, 0.193)
    kept: float = 0.855
    hidden_noise: tuple[float, float] = (0.0003, 0.0014)
    output_noise: tuple[float, float] = (0.0004, 0.0013)


def _uniform(key: jax.Array, bounds: tuple[float, float]) -> jax.Array:
    return jax.random.uniform(key, (), minval=bounds[0], maxval=bounds[1])


def draw_hidden(key: jax.Array, config: NetworkConfig) -> jax.Array:
    """Standard normal weights between hidden layers, some of them zero and the others larger for it. [L, W, W]"""
    key_weights, key_kept = jax.random.split(key)
    shape = (config.layers[1] - 2, config.width[1], config.width[1])
    kept = jax.random.bernoulli(key_kept, config.kept, shape)
    return jnp.where(kept, jax.random.normal(key_weights, shape) / math.sqrt(config.kept), 0.0)


def apply(
    key: jax.Array, config: NetworkConfig, hidden: jax.Array, inputs: jax.Array, num_outputs: int
) -> jax.Array:
    """Draw a network and map inputs [N, D] to [N, num_outputs]; ``hidden`` is of ``draw_hidden``."""
    keys = jax.random.split(key, 8)
    num_layers = jax.random.randint(keys[0], (), config.layers[0], config.layers[1] + 1)
    width = jax.random.randint(keys[1], (), config.width[0], config.width[1] + 1)
    scale = _uniform(keys[2], config.weight_scale)
    noise = _uniform(keys[3], config.hidden_noise)
    most = config.width[1]
    used = (jnp.arange(most) < width).astype(jnp.float32)[None]

    def finish(key: jax.Array, products: jax.Array) -> jax.Array:
        """Biases, noise and tanh."""
        key_bias, key_noise = jax.random.split(key)
        bias = jnp.broadcast_to(jax.random.normal(key_bias, (1, most)), products.shape)
        disturbance = noise * jax.random.normal(key_noise, products.shape)
        return jnp.tanh(scale * (products + bias) + disturbance) * jnp.broadcast_to(used, products.shape)

    def layer(x: jax.Array, step: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        i, key, weights = step
        key_order, key_signs, key_finish = jax.random.split(key, 3)
        signs = jax.random.rademacher(key_signs, (1, most), jnp.float32)
        mixed = (x * jnp.broadcast_to(signs, x.shape))[:, jax.random.permutation(key_order, most)]
        return jnp.where(i < num_layers - 2, finish(key_finish, mixed @ weights), x), None

    x = finish(keys[4], inputs @ jax.random.normal(keys[5], (inputs.shape[1], most)))
    steps = jnp.arange(len(hidden)), jax.random.split(keys[6], len(hidden)), hidden
    x, _ = jax.lax.scan(layer, x, steps)
    key_last, key_sd, key_noise = jax.random.split(keys[7], 3)
    last = jax.random.normal(key_last, (most + 1, num_outputs)) * scale
    outputs = x @ last[:-1] + jnp.broadcast_to(last[-1:], (len(x), num_outputs))
    return outputs + jax.random.normal(key_noise, outputs.shape) * _uniform(key_sd, config.output_noise)


def normal_scores(outputs: jax.Array) -> jax.Array:
    """Standard normal quantiles of the shares of the reference sample that lie below outputs [...]."""
    table = jnp.asarray(_OUTPUTS, jnp.float32), jnp.asarray(_SCORES, jnp.float32)
    size = jnp.interp(jnp.abs(outputs), *table, right=MOST_SCORE)
    return jnp.sign(outputs) * jnp.minimum(size, MOST_SCORE)


def reference_outputs(key: jax.Array, num_networks: int) -> jax.Array:
    """The 23 outputs of networks for one configuration each, of 1 to 10 uniform columns. [num_networks, 23]"""
    config = NetworkConfig()

    def one(key: jax.Array, hidden: jax.Array) -> jax.Array:
        key_size, key_row, key_network = jax.random.split(key, 3)
        size = jax.random.randint(key_size, (), 1, 11)
        row = jax.random.uniform(key_row, (1, 10), minval=-math.sqrt(3), maxval=math.sqrt(3))
        row = jnp.where((jnp.arange(10) < size)[None], row, 0.0)
        return apply(key_network, config, hidden, row, 23)[0]

    def batch(key: jax.Array) -> jax.Array:
        key_hidden, key_each = jax.random.split(key)
        return jax.vmap(one, (0, None))(jax.random.split(key_each, 50), draw_hidden(key_hidden, config))

    outputs = jax.lax.map(batch, jax.random.split(key, -(-num_networks // 50)))
    return outputs.reshape(-1, 23)[:num_networks]
