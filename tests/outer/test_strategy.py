"""Strategies: the papers' step by hand, and what every ask and tell must keep."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.outer.config import StrategyConfig
from synthenv.outer.strategy import make_strategy, mirrored_update

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
    """Equal halves keep the sign."""
    np.testing.assert_allclose(step_of([4.0, 4.0, 4.0, 4.0]), [0.5, 0.5])


def test_not_mirrored_ignores_minus():
    """The plus half stands for its pair even if minus is better."""
    np.testing.assert_allclose(step_of([2.0, 4.0, 9.0, 9.0], mirrored=False), [0.25, 0.5])


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_half_that_is_not_finite_loses(bad):
    """Whichever half diverged, the other one stands for the pair."""
    np.testing.assert_allclose(step_of([bad, 2.0, 4.0, bad]), [-0.5, 0.25])


@pytest.mark.parametrize("transformation", ["linear", "all_better_1"])
def test_pair_without_a_finite_half_is_worst(transformation):
    """Its siblings are weighed against each other, as if it had their worst score."""
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


@pytest.mark.parametrize("incumbent", [np.nan, -np.inf, 0.0])
@pytest.mark.parametrize("scores", ["all nan", "all -inf", "all equal", "mixed"])
@pytest.mark.parametrize("name", NAMES)
def test_mean_and_next_members_stay_finite(name, scores, incumbent):
    """No score can poison the search."""
    strategy = strategy_of(name)
    scores = {
        "all nan": np.full(2 * PAIRS, np.nan),
        "all -inf": np.full(2 * PAIRS, -np.inf),
        "all equal": np.full(2 * PAIRS, 9.0),
        "mixed": np.resize([np.nan, 1.0, np.inf, -np.inf, 200.0], 2 * PAIRS),
    }[scores]
    state = after_one_tell(strategy, scores, incumbent)
    assert jnp.isfinite(strategy.mean(state)).all()
    assert jnp.isfinite(strategy.ask(KEY, state)[0]).all()


@pytest.mark.parametrize("name", ["paper_nes", "open_es"])
def test_equal_scores_do_not_move_the_mean(name):
    """Nobody is better than anybody, nor than the incumbent."""
    strategy = strategy_of(name)
    state = after_one_tell(strategy, np.full(2 * PAIRS, 9.0), incumbent_score=9.0)
    np.testing.assert_allclose(strategy.mean(state), START, atol=1e-6)  # noise has std 0.1


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
    with pytest.raises(ValueError, match=r"unknown strategy 'cma'.*sep_cma_es"):
        strategy_of("cma")


# ---------------------------------------------------------------- step_decay


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
