"""Ways to search by name: a policy, and what it learns from past runs beforehand."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core.registry import Registry
from synthenv.selection.search import policies
from synthenv.selection.search.freeze_thaw import FreezeThawConfig, freeze_thaw
from synthenv.selection.search.simulate import Policy
from synthenv.selection.surrogates.registry import SURROGATES
from synthenv.selection.surrogates.surrogate import Candidates, Surrogate
from synthenv.selection.tables.meta_dataset import MetaDataset


class SearchMethod(NamedTuple):
    """A way to search.

    Attributes:
        name: what commands call it.
        about: one line for lists.
        policy: how it decides.
        fit: ``(key, meta) -> params`` of the policy, from the runs of other data sets; None if it learns nothing.
        sees_truth: whether its params are the best scores of the data set itself, [N]: a bound, no method.
    """

    name: str
    about: str
    policy: Policy
    fit: Callable[[jax.Array, MetaDataset], Any] | None = None
    sees_truth: bool = False


def ranked(surrogate: Surrogate) -> Policy:
    """Train candidates to the end one after the other, in the order of what a surrogate expects of them unseen."""

    def start(key: jax.Array, params: Any, candidates: Candidates, num_steps: int) -> jax.Array:
        state = surrogate.start(params, candidates, num_steps)
        steps = jnp.full(candidates.mask.shape, num_steps, jnp.int32)
        return surrogate.forecast(params, state, steps).score.mean

    return policies.IN_ORDER._replace(name=surrogate.name, start=start)


def _freeze_thaw(surrogate: Surrogate, config: FreezeThawConfig) -> SearchMethod:
    def fit(key: jax.Array, meta: MetaDataset) -> Any:
        return surrogate.fit(key, meta), meta.score_range

    return SearchMethod(surrogate.name, surrogate.about, freeze_thaw(surrogate, config), fit)


METHODS: Registry[SearchMethod] = Registry(
    "search method",
    SearchMethod,
    [
        SearchMethod("random", "candidates in random order, each to the end", policies.RANDOM),
        SearchMethod("asha", "asynchronous successive halving", policies.ASHA),
        SearchMethod("hyperband", "successive halving from several first steps", policies.HYPERBAND),
        SearchMethod(
            "zap",
            "the order of ZAP's ranking, each to the end",
            ranked(SURROGATES["zap"]),
            SURROGATES["zap"].fit,
        ),
        *(
            _freeze_thaw(SURROGATES[name], FreezeThawConfig())
            for name in ("quick_tune_no_refit", "latent_kronecker", "power_law")
        ),
        SearchMethod("oracle", "the best candidate at once: a bound", policies.IN_ORDER, sees_truth=True),
    ],
)
