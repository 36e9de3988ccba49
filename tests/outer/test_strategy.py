"""Strategies: the papers' step by hand, and what every ask and tell must keep."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.outer.config import StrategyConfig
from synthenv.outer.fitness_shaping import SHAPINGS
from synthenv.outer.strategy import (
    _ordered_weights,
    _shared_weights,
    make_strategy,
    mirrored_update,
    solved_share,
)

NAMES = ["paper_nes", "open_es", "snes", "sep_cma_es"]
DIMS, PAIRS, SOLVED = 6, 8, 195.0
START = jnp.linspace(-1.0, 1.0, DIMS)
KEY = jax.random.key(0)

pytestmark = pytest.mark.rank_promotion_ok  # evosax


def config_of(name, **changes):
    step_size = 1.0 if name == "paper_nes" else 0.05
    return StrategyConfig(name, num_pairs=PAIRS, std=0.1, step_size=step_size)._replace(**changes)


@functools.cache  # evosax compiles once per instance
def strategy_of(name, **changes):
    return make_strategy(config_of(name, **changes), DIMS, SOLVED)


def after_one_tell(strategy, scores, incumbent_score=0.0):
    """State after one generation with these member scores [P]."""
    members, state = strategy.ask(KEY, strategy.init(KEY, START))
    return strategy.tell(KEY, members, jnp.asarray(scores, jnp.float32), jnp.float32(incumbent_score), state)


# ---------------------------------------------------------------- the papers' step, by hand


def step_of(scores, incumbent_score=0.0, **changes):
    """Step of two pairs with noise (1, 0) and (0, 1), in units of the noise."""
    mean = jnp.array([10.0, 20.0])
    members = mean + jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    config = StrategyConfig("paper_nes", num_pairs=2, step_size=0.5, transformation="all_better_1")
    config = config._replace(**changes)
    return mirrored_update(mean, members, jnp.array(scores), jnp.float32(incumbent_score), config) - mean


def test_plus_halves_win():
    """Gains 4 and 2 weigh 1 and 0.5; the step is half of that."""
    np.testing.assert_allclose(step_of([4.0, 2.0, 1.0, 1.0]), [0.5, 0.25])


def test_better_minus_flips_the_sign():
    """The second pair's minus half wins with the highest score: its noise enters negatively."""
    np.testing.assert_allclose(step_of([2.0, 1.0, 1.0, 4.0]), [0.25, -0.5])


def test_tie_goes_to_plus():
    """Equal halves keep the sign, as in the released code."""
    np.testing.assert_allclose(step_of([4.0, 2.0, 4.0, 1.0]), [0.5, 0.25])


def test_equal_scores_move_nothing():
    """Better than the incumbent, but nobody better than anybody; not mirrored, minus halves are not looked at."""
    np.testing.assert_array_equal(step_of([4.0, 4.0, 4.0, 4.0]), 0.0)
    np.testing.assert_array_equal(step_of([4.0, 4.0, 1.0, 9.0], mirrored=False), 0.0)


@pytest.mark.parametrize("transformation", SHAPINGS)
def test_halves_that_both_diverged_weigh_nothing(transformation):
    """Neither side of the second pair is known to be the better one, even if the worst pair beats the incumbent."""
    step = step_of([5.0, jnp.nan, 3.0, jnp.inf], 1.0, transformation=transformation)
    assert step[1] == 0.0
    np.testing.assert_array_equal(step_of([jnp.nan] * 4, -9.0, transformation=transformation), 0.0)


def test_not_mirrored_ignores_minus():
    """The plus half stands for its pair even if minus is better."""
    np.testing.assert_allclose(step_of([2.0, 4.0, 9.0, 9.0], mirrored=False), [0.25, 0.5])


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_half_that_is_not_finite_loses(bad):
    """Whichever half diverged, the other one stands for the pair."""
    np.testing.assert_allclose(step_of([bad, 2.0, 4.0, bad]), [-0.5, 0.25])


@pytest.mark.parametrize("transformation", ["linear", "all_better_1"])
def test_pair_without_a_finite_half_is_worst(transformation):
    """Its siblings are weighed against each other, and it weighs nothing."""
    noise = jnp.eye(3)
    config = StrategyConfig("paper_nes", num_pairs=3, step_size=1.0, transformation=transformation)
    step = mirrored_update(
        jnp.zeros(3),
        jnp.concatenate([noise, -noise]),
        jnp.array([4.0, 0.0, jnp.nan, 1.0, -1.0, -jnp.inf]),
        jnp.float32(0.0),
        config,
    )
    np.testing.assert_allclose(step, [1.0, 0.0, 0.0], atol=1e-6)


# ---------------------------------------------------------------- all strategies


@pytest.mark.parametrize("name", NAMES)
def test_climbs_a_noisy_hill(name):
    """After 60 generations the mean is much nearer to the top of a hill; all scores are negative."""
    strategy, top = strategy_of(name), jnp.full(DIMS, 0.5)

    def score(x, noise):
        return -10.0 - jnp.sum(jnp.square(x - top), axis=-1) + 0.02 * noise

    def generation(state, key):
        key_ask, key_score, key_tell = jax.random.split(key, 3)
        members, state = strategy.ask(key_ask, state)
        scores = score(members, jax.random.normal(key_score, (2 * PAIRS,)))
        return strategy.tell(key_tell, members, scores, score(strategy.mean(state), 0.0), state), None

    state = strategy.init(KEY, START)
    state, _ = jax.jit(lambda s: jax.lax.scan(generation, s, jax.random.split(KEY, 60)))(state)
    distance = jnp.linalg.norm(strategy.mean(state) - top)
    assert distance < 0.35 * jnp.linalg.norm(START - top)


@pytest.mark.parametrize("name", ["paper_nes", "open_es"])
def test_members_are_mirrored_pairs(name):
    """Member i and member n + i lie on opposite sides of the mean, at distances of the order of std."""
    strategy = strategy_of(name)
    members, _ = strategy.ask(KEY, strategy.init(KEY, START))
    plus, minus = members[:PAIRS] - START, members[PAIRS:] - START
    np.testing.assert_allclose(plus, -minus, atol=1e-6)
    assert 0.07 < jnp.std(plus) < 0.13
    assert len(np.unique(np.asarray(plus[:, 0]))) == PAIRS


@pytest.mark.parametrize("name", NAMES)
def test_population_size_and_start(name):
    """The population has two members per pair and starts around the given mean."""
    strategy = strategy_of(name)
    state = strategy.init(KEY, START)
    members, _ = strategy.ask(KEY, state)
    assert members.shape == (strategy.population_size, DIMS) == (2 * PAIRS, DIMS)
    np.testing.assert_array_equal(strategy.mean(state), START)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NAMES)
def test_score_that_is_not_finite_counts_as_very_low(name, bad):
    """A diverged member moves the mean exactly as one with a hopeless score."""
    strategy = strategy_of(name)
    scores = np.random.default_rng(0).normal(size=2 * PAIRS)
    low = scores.copy()
    scores[3], low[3] = bad, -1e6
    np.testing.assert_allclose(
        strategy.mean(after_one_tell(strategy, scores)),
        strategy.mean(after_one_tell(strategy, low)),
        rtol=1e-6,
    )


def after_a_climb(name):
    """A strategy in the middle of its search, with whatever momentum and paths it has."""
    strategy = strategy_of(name)
    return strategy, after_one_tell(strategy, np.arange(2.0 * PAIRS))


@pytest.mark.parametrize("incumbent", [np.nan, -np.inf, -9.0, 9.0])
@pytest.mark.parametrize("score", [np.nan, -np.inf, np.inf, 9.0, -4.0])
@pytest.mark.parametrize("name", NAMES)
def test_equal_scores_leave_the_search_as_it_is(name, score, incumbent):
    """Equal because everybody diverged or because nobody is better than anybody: mean, spread and momentum stay."""
    strategy, state = after_a_climb(name)
    members, asked = strategy.ask(KEY, state)
    told = strategy.tell(KEY, members, jnp.full(2 * PAIRS, score), jnp.float32(incumbent), asked)
    jax.tree.map(np.testing.assert_array_equal, told, asked)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_that_diverged_do_not_poison_the_rest(name):
    """The step is that of scores far below all others, except that nobody moves towards a member that diverged."""
    strategy, state = after_a_climb(name)
    scores = jnp.resize(jnp.array([jnp.nan, 1.0, jnp.inf, -jnp.inf, 200.0]), 2 * PAIRS)
    members, asked = strategy.ask(KEY, state)
    told = strategy.tell(KEY, members, scores, jnp.float32(0.0), asked)
    assert jnp.isfinite(strategy.mean(told)).all() and jnp.isfinite(strategy.ask(KEY, told)[0]).all()
    assert jnp.any(strategy.mean(told) != strategy.mean(asked))


def test_sep_cma_es_selects_nobody_who_diverged():
    """With three finite scores of sixteen the mean moves within what those three span, and does not shrink the step."""
    strategy = strategy_of("sep_cma_es")
    members, state = strategy.ask(KEY, strategy.init(KEY, START))
    scores = jnp.full(2 * PAIRS, jnp.nan).at[jnp.array([2, 7, 9])].set(jnp.array([3.0, 2.0, 1.0]))
    step = strategy.mean(strategy.tell(KEY, members, scores, jnp.float32(0.0), state)) - START
    directions = np.asarray(members[jnp.array([2, 7, 9])] - START)
    shares, residual, *_ = np.linalg.lstsq(directions.T, np.asarray(step), rcond=None)
    assert residual < 1e-9 and shares.sum() == pytest.approx(1.0, abs=1e-4)
    assert shares[0] > shares[1] > shares[2] > 0


@pytest.mark.parametrize("name", ["snes", "sep_cma_es"])
def test_spread_does_not_shrink_where_most_scores_are_equal(name):
    """Fifteen of sixteen score 9, and who does better has nothing to do with where: ties must not freeze the search."""
    strategy = strategy_of(name)
    state = strategy.init(KEY, START)
    for key in jax.random.split(KEY, 60):
        members, state = strategy.ask(key, state)
        scores = jnp.full(2 * PAIRS, 9.0).at[jax.random.randint(key, (), 0, 2 * PAIRS)].set(10.0)
        state = strategy.tell(key, members, scores, jnp.float32(9.0), state)
    # Random selection moves the logarithm of sep_cma_es's spread by -0.3 with deviation 1.1; shared weights, by -7.5.
    assert abs(np.mean(np.log(state.std * getattr(state, "D", 1.0))) - np.log(0.1)) < 4


def test_equal_scores_share_what_their_ranks_weigh():
    """snes: fitness 1, then twice 2, then 5; the weights still add up."""
    params = SimpleNamespace(weights=jnp.array([0.5, 0.3, 0.1, -0.9]))
    weights = _shared_weights(None, jnp.array([2.0, 5.0, 1.0, 2.0]), None, params)
    np.testing.assert_allclose(weights, [0.2, -0.9, 0.5, 0.2], rtol=1e-6)


def test_equal_scores_in_order_of_appearance():
    """sep_cma_es: every rank's weight is given once; those of members that diverged go to the others."""
    params = SimpleNamespace(weights=jnp.array([0.5, 0.3, 0.2, 0.0]))
    weights = _ordered_weights(None, jnp.array([2.0, 5.0, 1.0, 2.0]), None, params)
    np.testing.assert_array_equal(weights, jnp.array([0.3, 0.0, 0.5, 0.2]))
    weights = _ordered_weights(None, jnp.array([jnp.inf, 5.0, 1.0, jnp.inf]), None, params)
    np.testing.assert_allclose(weights, [0.0, 0.375, 0.625, 0.0], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_state_round_trips(name):
    """A state taken apart into NumPy arrays and put together again goes on as if nothing had happened."""
    strategy = strategy_of(name)
    state = after_one_tell(strategy, np.arange(2 * PAIRS))
    leaves, structure = jax.tree.flatten(state)
    restored = jax.tree.unflatten(structure, [jnp.asarray(np.asarray(leaf)) for leaf in leaves])
    results = []
    for s in (state, restored):
        members, s = strategy.ask(KEY, s)
        s = strategy.tell(KEY, members, -jnp.arange(2.0 * PAIRS), jnp.float32(1.0), s)
        results.append((members, strategy.mean(s)))
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_unknown_name():
    """The message names the culprit and the choices."""
    with pytest.raises(
        UserError, match=r"^unknown strategy 'cma'; .*sep_cma_es; one of your own needs --import FILE$"
    ):
        strategy_of("cma")


# ---------------------------------------------------------------- step_decay


@pytest.mark.parametrize("threshold", [SOLVED, 0.0, -100.0])
def test_members_that_diverged_do_not_count_for_the_share_that_is_solved(threshold):
    """One NaN among members that solve the task: it is solved; a threshold of 0 has no half-way."""
    solved = jnp.full(8, threshold + 1.0)
    for bad in (jnp.nan, jnp.inf, -jnp.inf):
        assert solved_share(solved.at[3].set(bad), threshold) == 1.0
    assert solved_share(jnp.full(8, jnp.nan), threshold) == 0.0
    low = solved_share(jnp.full(8, threshold - 100.0).at[2].set(jnp.nan), threshold)
    assert low == pytest.approx({SOLVED: 95 / 195, 0.0: 0.0, -100.0: 0.5}[threshold])


@pytest.mark.parametrize(("score", "factor"), [(SOLVED, 0.3), (SOLVED / 2, 0.65), (0.0, 1.0), (900.0, 0.3)])
def test_step_decay(score, factor):
    """The step shrinks by 70 % times the share of the task that the members solve."""
    spread = np.linspace(-1e-3, 1e-3, 2 * PAIRS)
    full, decayed = (
        strategy.mean(after_one_tell(strategy, score + spread)) - START
        for strategy in (strategy_of("open_es", step_decay=decay) for decay in (0.0, 0.7))
    )
    assert np.abs(full).max() > 0.01
    np.testing.assert_allclose(decayed, factor * full, rtol=1e-3, atol=1e-5)
