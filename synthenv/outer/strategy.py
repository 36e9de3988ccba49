"""Evolution strategies over flat parameter vectors, behind one ask and tell.

``paper_nes`` is the papers' own rule, written here because no library has it; the others are evosax algorithms.
Everything is maximised; evosax minimises, so scores change sign on their way in and nowhere else.

Scores that are all equal tell no direction from another, so they leave the search as it is: a momentum that goes on, or
a spread that shrinks, would be no answer to them. Some equal scores among others favour no direction either: open_es
and snes share out among them what their ranks weigh together, sep_cma_es and paper_nes take them in order of
appearance, which is as good as at random.

References:
    Ferreira et al. (2022), algorithm 1; the released code for the mirrored-pair rule.
    Salimans et al. (2017), Evolution strategies as a scalable alternative to reinforcement learning (open_es).
    evosax (Lange, 2022) for Open_ES, SNES and Sep_CMA_ES.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from evosax.algorithms import SNES, Open_ES, Sep_CMA_ES

from synthenv.core.registry import Registry
from synthenv.outer.config import StrategyConfig
from synthenv.outer.fitness_shaping import SHAPINGS, ranks, shape


class Strategy(NamedTuple):
    """Pure functions of one search distribution; ``mean`` [D] and members [P, D] are flat vectors.

    init(key, mean) -> state;  ask(key, state) -> (members, state);  mean(state) -> [D];
    tell(key, members, scores [P], incumbent_score, state) -> state.
    """

    population_size: int
    init: Callable[[jax.Array, jax.Array], Any]
    ask: Callable[[jax.Array, Any], tuple[jax.Array, Any]]
    tell: Callable[[jax.Array, jax.Array, jax.Array, jax.Array, Any], Any]
    mean: Callable[[Any], jax.Array]


def _finite_or_worst(score: jax.Array) -> jax.Array:
    """A score that is not finite, +inf included, is the worst there can be."""
    return jnp.where(jnp.isfinite(score), score, -jnp.inf)


def _all_equal(scores: jax.Array) -> jax.Array:
    """Whether nobody did better than anybody; those that are not finite are equal among themselves."""
    scores = _finite_or_worst(scores)
    return jnp.max(scores) == jnp.min(scores)


def solved_share(scores: jax.Array, solved_score: float) -> jax.Array:
    """How much of a task is solved, 0 to 1, by the mean of those scores [P] that are finite.

    It is the mean over the threshold, or the threshold over the mean where both are negative.
    """
    finite = jnp.isfinite(scores)
    score = jnp.mean(scores, where=finite)
    share = score / solved_score if solved_score > 0 else solved_score / jnp.minimum(score, -1e-9)
    share = jnp.where(score >= solved_score, 1.0, share)  # a threshold of 0 is reached at once or not at all
    return jnp.clip(jnp.where(jnp.any(finite), share, 0.0), 0.0, 1.0)


def _shared_weights(population: jax.Array, fitness: jax.Array, state: Any, params: Any) -> jax.Array:
    """The weights of the ranks of fitness [P], lowest first; equal ones share what their ranks weigh together.

    evosax gives all of them the weight of their mean rank, and such weights no longer add up.
    """
    weights = params.weights[ranks(fitness)]
    equal = fitness[:, None] == fitness[None, :]
    return jnp.sum(jnp.where(equal, weights[None, :], 0.0), axis=1) / jnp.sum(equal, axis=1)


def _ordered_weights(population: jax.Array, fitness: jax.Array, state: Any, params: Any) -> jax.Array:
    """The weights of the ranks of fitness [P], lowest first, equal ones in order of appearance.

    Evolution paths take the sum of the selected steps to be of the length that unequal weights give it: shared weights
    make it shorter, and the spread shrinks. What the ranks of infinite fitness weigh goes to the others.
    """
    weights = params.weights[ranks(fitness)]
    failed = jnp.isinf(fitness)
    lost = jnp.sum(jnp.where(failed, weights, 0.0))
    return jnp.where(failed, 0.0, weights) / jnp.where(jnp.all(failed), 1.0, 1.0 - lost)


def mirrored_update(
    mean: jax.Array,
    members: jax.Array,
    scores: jax.Array,
    incumbent_score: jax.Array,
    config: StrategyConfig,
) -> jax.Array:
    """The papers' step: mean + step_size * sum_i F_i eps_i over the winners of n mirrored pairs.

    Args:
        mean: parameters [D].
        members: plus halves, then minus halves [2n, D].
        scores: their scores [2n]; within a pair the minus half wins only if strictly better. A score that is
            not finite loses, and a pair of two such scores weighs nothing.
        incumbent_score: mean score of the unperturbed parameters.
        config: step size and transformation.
    """
    num_pairs = members.shape[0] // 2
    plus, minus = _finite_or_worst(scores).reshape(2, num_pairs)
    noise = members[:num_pairs] - mean[None]  # [n, D], std included
    flip = (minus > plus) & config.mirrored
    winners = jnp.where(flip, minus, plus)
    weights = shape(config.transformation, winners, incumbent_score) * jnp.where(flip, -1.0, 1.0)
    tells_nothing = _all_equal(scores if config.mirrored else plus)
    return jnp.where(tells_nothing, mean, mean + config.step_size * jnp.dot(weights, noise))


def paper_nes(config: StrategyConfig, num_dims: int, solved_score: float) -> Strategy:
    """The SE/RN papers' evolution strategy; its state is the mean."""

    def init(key: jax.Array, mean: jax.Array) -> jax.Array:
        return mean

    def ask(key: jax.Array, mean: jax.Array) -> tuple[jax.Array, jax.Array]:
        noise = config.std * jax.random.normal(key, (config.num_pairs, mean.size))
        return jnp.concatenate([mean[None] + noise, mean[None] - noise]), mean

    def tell(
        key: jax.Array, members: jax.Array, scores: jax.Array, incumbent_score: jax.Array, mean: jax.Array
    ) -> jax.Array:
        return mirrored_update(mean, members, scores, _finite_or_worst(incumbent_score), config)

    return Strategy(2 * config.num_pairs, init, ask, tell, lambda mean: mean)


def open_es(config: StrategyConfig, num_dims: int, solved_score: float) -> Strategy:
    """evosax's OpenES with Adam, whose steps ``step_decay`` makes shorter near the threshold."""
    algorithm = Open_ES(
        2 * config.num_pairs,
        jnp.zeros(num_dims),
        optimizer=optax.adam(config.step_size, b2=0.99),
        std_schedule=optax.constant_schedule(config.std),
    )

    def shorten(before: Any, after: Any, scores: jax.Array) -> Any:
        if not config.step_decay:
            return after
        # Members score a little below their mean, but there are many: a steadier measure than the incumbents.
        scale = 1.0 - config.step_decay * solved_share(scores, solved_score)
        return after.replace(mean=before.mean + scale * (after.mean - before.mean))

    return from_evosax(algorithm, algorithm.default_params, shorten)


def adaptive(
    kind: Any, weights: Callable[..., jax.Array], config: StrategyConfig, num_dims: int, solved_score: float
) -> Strategy:
    """evosax's SNES, which adapts a step size for every dimension; or its separable CMA-ES, which has one for all too.

    Args:
        kind: SNES or Sep_CMA_ES.
        weights: what members weigh, as evosax asks for it.
        config: population and first spread.
        num_dims: numbers of a proxy.
        solved_score: not looked at.
    """
    algorithm = kind(2 * config.num_pairs, jnp.zeros(num_dims), fitness_shaping_fn=weights)
    return from_evosax(algorithm, algorithm.default_params.replace(std_init=config.std))


def from_evosax(
    algorithm: Any,
    params: Any,
    adjust: Callable[[Any, Any, jax.Array], Any] = lambda before, after, scores: after,
) -> Strategy:
    """Wrap an evosax algorithm; its state is a plain pytree, so it can be saved like any other.

    Args:
        algorithm: with its population size.
        params: of the algorithm.
        adjust: (state, state after tell, scores [P]) -> the state to go on with.
    """

    def init(key: jax.Array, mean: jax.Array) -> Any:
        return algorithm.init(key, mean, params)

    def ask(key: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        return algorithm.ask(key, state, params)

    def tell(
        key: jax.Array, members: jax.Array, scores: jax.Array, incumbent_score: jax.Array, state: Any
    ) -> Any:
        after = algorithm.tell(key, members, -_finite_or_worst(scores), state, params)[0]
        return jax.tree.map(partial(jnp.where, _all_equal(scores)), state, adjust(state, after, scores))

    return Strategy(algorithm.population_size, init, ask, tell, algorithm.get_mean)


class StrategyKind(NamedTuple):
    """An evolution strategy: its name, and (config, number of parameters D, solved score) -> Strategy."""

    name: str
    make: Callable[[StrategyConfig, int, float], Strategy]


STRATEGIES: Registry[StrategyKind] = Registry(
    "strategy",
    StrategyKind,
    ours=(
        StrategyKind("paper_nes", paper_nes),
        StrategyKind("open_es", open_es),
        StrategyKind("snes", partial(adaptive, SNES, _shared_weights)),
        StrategyKind("sep_cma_es", partial(adaptive, Sep_CMA_ES, _ordered_weights)),
    ),
)


def check_shapes(strategy: Strategy, num_dims: int) -> Strategy:
    """The same strategy, whose ask and tell see that members are [P, D], scores [P], and the state keeps its shapes.

    Raises:
        AssertionError: in ask or tell, where something is of another shape.
    """
    shape = (strategy.population_size, num_dims)

    def ask(key: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        members, after = strategy.ask(key, state)
        chex.assert_shape([members, strategy.mean(after)], [shape, shape[1:]])
        return members, after

    def tell(
        key: jax.Array, members: jax.Array, scores: jax.Array, incumbent_score: jax.Array, state: Any
    ) -> Any:
        chex.assert_shape([members, scores, incumbent_score], [shape, shape[:1], ()])
        after = strategy.tell(key, members, scores, incumbent_score, state)
        chex.assert_trees_all_equal_shapes(state, after)
        return after

    return strategy._replace(ask=ask, tell=tell)


def make_strategy(config: StrategyConfig, num_dims: int, solved_score: float) -> Strategy:
    """Build the strategy that ``config`` names, for [num_dims]; ``solved_score`` is the threshold of step_decay.

    Raises:
        UserError: if the name of the strategy or of the score transformation is unknown.
    """
    SHAPINGS.find(config.transformation)
    return check_shapes(STRATEGIES.find(config.name).make(config, num_dims, solved_score), num_dims)
