"""Random numbers for one task out of one call: a prior that split a key for every coin would compile for minutes."""

import math

import jax
import jax.numpy as jnp

from synthenv.core import keys


class Draws:
    """Hands out the random words [N] that it was made with, each once and in order; lives while a program is traced.

    Raises:
        ValueError: (any method) if more are asked for than there are.
    """

    def __init__(self, words: jax.Array):
        self._words = words
        self._next = 0

    def words(self, shape: tuple[int, ...] = ()) -> jax.Array:
        """Return random uint32 [*shape]."""
        num = math.prod(shape)
        if self._next + num > self._words.shape[0]:
            raise ValueError(f"{self._words.shape[0]} random words are too few: draw more")
        taken = self._words[self._next : self._next + num].reshape(shape)
        self._next += num
        return taken

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw evenly from [low, high)."""
        return low + (high - low) * keys.uniform(self.words(shape))

    def log_uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw between two positive numbers, every octave alike."""
        return low * (high / low) ** self.uniform(shape=shape)

    def normal(self, shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw from a standard normal distribution."""
        return keys.normal(self.words((*shape, 2)))

    def coin(self, probability: float, shape: tuple[int, ...] = ()) -> jax.Array:
        """Return True with this probability."""
        return self.uniform(shape=shape) < probability

    def integer(self, low: int, high: int, shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw an int32 evenly from low to high - 1."""
        return low + (self.uniform(shape=shape) * (high - low)).astype(jnp.int32)
