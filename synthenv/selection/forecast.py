"""What a surrogate says of a score that nobody has seen: distributions that acquisition functions can ask.

Each is a ``NamedTuple`` of arrays whose leading axes [...] are candidates, with the same four questions, so that
policies never ask which of them it is. Higher scores are better.

Axis letters here: B bins of a histogram.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

_LEAST_STD = 1e-9


class Distribution(Protocol):
    """Of the scores of some candidates [...]."""

    @property
    def mean(self) -> jax.Array:
        """The expected score. [...]"""
        ...

    @property
    def std(self) -> jax.Array:
        """The standard deviation. [...]"""
        ...

    def expected_improvement(self, best: jax.Array) -> jax.Array:
        """The mean of what a score exceeds ``best`` by, 0 where it does not. Shapes [...], best broadcasts."""
        ...

    def probability_above(self, threshold: jax.Array) -> jax.Array:
        """The probability of a score above the threshold. [...]"""
        ...

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw for each candidate, independent of each other. [...]"""
        ...

    def log_density(self, score: jax.Array) -> jax.Array:
        """The logarithm of the density at a score. [...]"""
        ...


class Normal(NamedTuple):
    """A normal distribution with these means and standard deviations. [...]"""

    mean: jax.Array
    std: jax.Array

    def expected_improvement(self, best: jax.Array) -> jax.Array:
        """Closed form of Jones et al. (1998), equation 15; what is certain improves by its difference."""
        std = jnp.maximum(self.std, _LEAST_STD)
        gap = self.mean - best
        z = gap / std
        improvement = gap * norm.cdf(z) + std * norm.pdf(z)
        return jnp.where(self.std > _LEAST_STD, jnp.maximum(improvement, 0.0), jnp.maximum(gap, 0.0))

    def probability_above(self, threshold: jax.Array) -> jax.Array:
        """The upper tail."""
        return norm.sf((threshold - self.mean) / jnp.maximum(self.std, _LEAST_STD))

    def sample(self, key: jax.Array) -> jax.Array:
        """Mean and standard deviation times a normal draw."""
        return self.mean + self.std * jax.random.normal(key, self.mean.shape)

    def log_density(self, score: jax.Array) -> jax.Array:
        """Of the normal distribution."""
        return norm.logpdf(score, self.mean, jnp.maximum(self.std, _LEAST_STD))


class Mixture(NamedTuple):
    """Normal distributions of which one is true, nobody knows which; components on the last axis. [..., C]"""

    component_mean: jax.Array
    component_std: jax.Array
    share: jax.Array

    @property
    def _components(self) -> Normal:
        return Normal(self.component_mean, self.component_std)

    @property
    def mean(self) -> jax.Array:
        """The expected score."""
        return jnp.sum(self.share * self.component_mean, axis=-1)

    @property
    def std(self) -> jax.Array:
        """Within components, and between them."""
        apart = self.component_mean - self.mean[..., None]
        return jnp.sqrt(jnp.sum(self.share * (jnp.square(self.component_std) + jnp.square(apart)), axis=-1))

    def _broadcast(self, score: jax.Array) -> jax.Array:
        return jnp.broadcast_to(score, self.component_mean.shape[:-1])[..., None]

    def expected_improvement(self, best: jax.Array) -> jax.Array:
        """That of the components."""
        each = self._components.expected_improvement(self._broadcast(best))
        return jnp.sum(self.share * each, axis=-1)

    def probability_above(self, threshold: jax.Array) -> jax.Array:
        """That of the components."""
        each = self._components.probability_above(self._broadcast(threshold))
        return jnp.sum(self.share * each, axis=-1)

    def sample(self, key: jax.Array) -> jax.Array:
        """A component, and a draw from it."""
        key_component, key_draw = jax.random.split(key)
        shape = self.component_mean.shape[:-1]
        place = jax.random.categorical(key_component, jnp.log(self.share), shape=shape)
        draws = self._components.sample(key_draw)
        return jnp.take_along_axis(draws, place[..., None], axis=-1)[..., 0]

    def log_density(self, score: jax.Array) -> jax.Array:
        """Of the components' densities together."""
        each = self._components.log_density(self._broadcast(score))
        return jax.scipy.special.logsumexp(each + jnp.log(self.share), axis=-1)


class Histogram(NamedTuple):
    """Densities that are constant between the edges of bins.

    Attributes:
        logits: unnormalised logarithms of the bins' probabilities. [..., B]
        edges: where bins begin and end, ascending. [B + 1]
    """

    logits: jax.Array
    edges: jax.Array

    @property
    def _shares(self) -> jax.Array:
        return jax.nn.softmax(self.logits, axis=-1)

    @property
    def _middles(self) -> jax.Array:
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def _bins(self, score: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Where bins begin and end, and a score of each candidate, all of the logits' shape."""
        shape = self.logits.shape
        score = jnp.broadcast_to(score, shape[:-1])[..., None]
        low, high = (jnp.broadcast_to(edges, shape) for edges in (self.edges[:-1], self.edges[1:]))
        return low, high, jnp.broadcast_to(score, shape)

    @property
    def mean(self) -> jax.Array:
        """The expected score."""
        return self._shares @ self._middles

    @property
    def std(self) -> jax.Array:
        """Of the bins' middles, and within a bin."""
        second = self._shares @ (jnp.square(self._middles) + jnp.square(jnp.diff(self.edges)) / 12.0)
        return jnp.sqrt(jnp.maximum(second - jnp.square(self.mean), 0.0))

    def expected_improvement(self, best: jax.Array) -> jax.Array:
        """Exact: bins above ``best`` by their middles, the one that holds it by the triangle above it."""
        low, high, best = self._bins(best)
        above, below = jnp.maximum(high - best, 0.0), jnp.maximum(low - best, 0.0)
        gain = 0.5 * (jnp.square(above) - jnp.square(below)) / (high - low)
        return jnp.sum(self._shares * gain, axis=-1)

    def probability_above(self, threshold: jax.Array) -> jax.Array:
        """The share of every bin that lies above the threshold."""
        low, high, threshold = self._bins(threshold)
        part = jnp.clip((high - threshold) / (high - low), 0.0, 1.0)
        return jnp.sum(self._shares * part, axis=-1)

    def sample(self, key: jax.Array) -> jax.Array:
        """A bin, and a uniform place in it."""
        key_bin, key_place = jax.random.split(key)
        place = jax.random.categorical(key_bin, self.logits)
        u = jax.random.uniform(key_place, place.shape)
        return self.edges[place] + u * jnp.diff(self.edges)[place]

    def log_density(self, score: jax.Array) -> jax.Array:
        """Of the bin that holds the score; the outermost bins hold what lies beyond them."""
        place = jnp.clip(jnp.searchsorted(self.edges, score, side="right") - 1, 0, len(self.edges) - 2)
        log_shares = jax.nn.log_softmax(self.logits, axis=-1)
        chosen = jnp.take_along_axis(log_shares, place[..., None], axis=-1)[..., 0]
        return chosen - jnp.log(jnp.diff(self.edges)[place])


class Forecast(NamedTuple):
    """What a surrogate expects of every candidate [N].

    Attributes:
        score: the distribution of its score at the step that was asked for.
        seconds: what the way there costs from where the candidate stands. [N]
    """

    score: Distribution
    seconds: jax.Array
