"""Cheap counter-based random numbers for innermost loops.

``jax.random`` stays the source of all randomness: a loop draws its two seed words from a key once and then hashes
``(seed, counter)``. A threefry call inside a CPU loop body costs a few microseconds (it is compiled as a loop of
its own), as much as everything else in a small environment step; an integer hash costs nanoseconds. It is meant
for exploration coins, replay indices and the keys handed to ``env.step_env``, not for drawing weights or noise of a
search. ``stream`` is for priors, which draw tens of thousands of numbers for every batch, eight times as fast.

References:
    The mixing function is the 32-bit "lowbias32" finaliser found by C. Wellons' hash prospector.
"""

import jax
import jax.numpy as jnp

_GOLDEN = jnp.uint32(0x9E3779B9)


def mix(x: jax.Array) -> jax.Array:
    """Bijective hash of uint32 values, element by element."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x21F0AAAD)
    x = (x ^ (x >> 15)) * jnp.uint32(0xD35A2D97)
    return x ^ (x >> 15)


def seed_words(key: jax.Array) -> jax.Array:
    """Two seed words, uint32 [2], for ``words``."""
    return jax.random.bits(key, (2,))


def words(seed: jax.Array, counter: jax.Array, num_words: int) -> jax.Array:
    """``num_words`` random words for this counter, uint32 [num_words]. The seed is a ``seed_words`` result."""
    base = mix(mix(counter.astype(jnp.uint32) * _GOLDEN + seed[0]) ^ seed[1])
    return mix(base + (jnp.arange(num_words, dtype=jnp.uint32) + 1) * _GOLDEN)


def stream(seed: jax.Array, num_words: int) -> jax.Array:
    """One long draw, uint32 [num_words]: a counter hashed with both words of the seed. Long draws of different seeds
    share no stretch, unlike those of ``words``, whose lanes all count on from one word."""
    counter = jnp.arange(num_words, dtype=jnp.uint32)
    return mix(mix(counter * _GOLDEN + seed[0]) ^ seed[1])


def uniform(word: jax.Array) -> jax.Array:
    """Map random words to float32 in [0, 1)."""
    return (word >> 8).astype(jnp.float32) * jnp.float32(2**-24)


def normal(pairs: jax.Array) -> jax.Array:
    """Standard normal float32 [...] from pairs of random words, uint32 [..., 2] (Box and Muller, 1958)."""
    radius = jnp.sqrt(-2.0 * jnp.log(_above_zero(pairs[..., 0])))
    return radius * jnp.cos(2.0 * jnp.pi * uniform(pairs[..., 1]))


def gumbel(word: jax.Array) -> jax.Array:
    """Standard Gumbel float32 from random words."""
    return -jnp.log(-jnp.log(_above_zero(word)))


def _above_zero(word: jax.Array) -> jax.Array:
    """Map random words to float32 in (0, 1), ends excluded."""
    return ((word >> 9).astype(jnp.float32) + 0.5) * jnp.float32(2**-23)


def key_from(pair: jax.Array) -> jax.Array:
    """A typed threefry key from two random words, uint32 [2]."""
    return jax.random.wrap_key_data(pair, impl="threefry2x32")
