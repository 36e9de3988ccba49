"""Surrogates that judge candidates once, before anything was run, and heed nothing that is seen later.

Axis letters here: N candidates.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.selection.forecast import Forecast, Normal
from synthenv.selection.surrogates.surrogate import Candidates, Seen, Surrogate
from synthenv.selection.tables.meta_dataset import MetaDataset


class Standing(NamedTuple):
    """What is expected of each candidate; it lasts as long as the search.

    Attributes:
        mean: in standard deviations over the candidates, or a share of votes. [N]
        std: how far those disagree who were asked. [N]
    """

    mean: jax.Array
    std: jax.Array


def standardised(mean: jax.Array, std: jax.Array, mask: jax.Array) -> Standing:
    """A standing from outputs in any unit; only candidates that are there count. Shapes [N]"""
    count = jnp.maximum(jnp.sum(mask), 1)
    centred = mean - jnp.sum(jnp.where(mask, mean, 0.0)) / count
    spread = jnp.maximum(jnp.sqrt(jnp.sum(jnp.where(mask, centred**2, 0.0)) / count), 1e-9)
    return Standing(centred / spread, std / spread)


def standing_surrogate(
    name: str,
    about: str,
    fit: Callable[[jax.Array, MetaDataset], Any],
    stand: Callable[[Any, Candidates], Standing],
) -> Surrogate:
    """A surrogate of a function that learns and one that judges candidates; it knows nothing of costs."""

    def start(params: Any, candidates: Candidates, num_steps: int) -> Standing:
        return stand(params, candidates)

    def update(params: Any, state: Standing, seen: Seen) -> Standing:
        return state

    def forecast(params: Any, state: Standing, steps: jax.Array) -> Forecast:
        return Forecast(Normal(state.mean, state.std), jnp.maximum(steps, 1).astype(jnp.float32))

    return Surrogate(name, about, fit, start, update, forecast)


def mixed_surrogate(name: str, about: str, parts: Sequence[Surrogate]) -> Surrogate:
    """The mean of what several surrogates of this kind expect; each counts the same, whatever its unit."""

    def fit(key: jax.Array, meta: MetaDataset) -> tuple[Any, ...]:
        return tuple(
            part.fit(k, meta) for part, k in zip(parts, jax.random.split(key, len(parts)), strict=True)
        )

    def stand(params: tuple[Any, ...], candidates: Candidates) -> Standing:
        states = [part.start(p, candidates, 1) for part, p in zip(parts, params, strict=True)]
        states = [standardised(state.mean, state.std, candidates.mask) for state in states]
        means, stds = jnp.stack([s.mean for s in states]), jnp.stack([s.std for s in states])
        return Standing(means.mean(0), jnp.sqrt(jnp.mean(stds**2, axis=0) + jnp.var(means, axis=0)))

    return standing_surrogate(name, about, fit, stand)
