"""One target's Gaussian process: conditioned on a context, and its length scales and noise by marginal likelihood.

The process has a constant mean, a squared-exponential kernel and noise. Mean and signal variance have closed forms, so
that length scales and noise are all that is searched for. Run it under ``jax.enable_x64()``.

Axis letters here: C context, D inputs.
"""

from functools import partial

import jax
import jax.numpy as jnp

from synthenv.nets.gaussian_process import marginal_likelihood
from synthenv.nets.gaussian_process.kernels import rbf, squared_distance
from synthenv.nets.gaussian_process.marginal_likelihood import Posterior
from synthenv.nets.gaussian_process.sign_steps import Logs, Rules, descend

NUM_STEPS = 30
NOISE_FLOOR = 1e-12  # as a share of the signal's variance
_FIRST_NOISE = 1e-3
_RULES = Rules(1.2, shortest=1e-4, log_scales=(-8.0, 4.0), log_noise=(-27.0, 1.0), skips_turns=True)


def gram(logs: Logs, inputs: jax.Array) -> jax.Array:
    """Return the covariance [C, C] of the rows of inputs [C, D], noise included, in units of the signal's variance."""
    moved = inputs * jnp.exp(logs.scales)[None]
    noise = NOISE_FLOOR + jnp.exp(logs.noise)
    return rbf(squared_distance(moved, moved), 1.0) + noise * jnp.eye(len(inputs), dtype=inputs.dtype)


def condition(logs: Logs, inputs: jax.Array, target: jax.Array) -> Posterior:
    """Fit one target [C] under given length scales and noise; mean and signal have the greatest likelihood."""
    return marginal_likelihood.condition(jnp.linalg.cholesky(gram(logs, inputs)), target)


def slopes(logs: Logs, inputs: jax.Array, target: jax.Array) -> Logs:
    """Of the negative logarithm of the likelihood, mean and signal at their best."""
    posterior = condition(logs, inputs, target)
    return marginal_likelihood.slopes(logs, partial(gram, inputs=inputs), posterior)


def search(inputs: jax.Array, target: jax.Array, num_scales: int) -> Logs:
    """Climb the likelihood of one target, from length scales at which rows are about a unit apart."""
    scale = -0.5 * jnp.log(jnp.asarray(inputs.shape[1], inputs.dtype))
    start = Logs(jnp.full(num_scales, scale), jnp.asarray(jnp.log(_FIRST_NOISE), inputs.dtype))
    return descend(start, partial(slopes, inputs=inputs, target=target), _RULES, NUM_STEPS)
