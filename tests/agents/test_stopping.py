"""Both early-stop rules: hand arithmetic, the paper's first possible stops, and a plain Python transcription."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents.training.stopping import init_stop, update_stop


@functools.partial(jax.jit, static_argnames=("window", "rule"))
def _scan(returns, init_episodes, tolerance, solved_return, window, rule):
    hyperparams = SimpleNamespace(
        init_episodes=init_episodes, plateau_tolerance=tolerance, solved_return=solved_return
    )

    def step(state, episode_and_return):
        state = update_stop(state, *episode_and_return, hyperparams, rule)
        return state, (state.mean_return, state.triggered)

    return jax.lax.scan(step, init_stop(window), (jnp.arange(returns.size), returns))[1]


def follow(returns, window, rule, init_episodes=0, tolerance=0.01, solved_return=195.0):
    """The mean of the window and whether the rule fires, after each episode."""
    returns = jnp.asarray(returns, jnp.float32)
    means, triggered = _scan(returns, init_episodes, tolerance, solved_return, window, rule)
    return np.asarray(means), np.asarray(triggered)


def fires(episode, returns, d, rule, init_episodes, tolerance, solved_return):
    """Transcribe the released code: the rule after episode index ``episode``, on the returns so far."""
    returns = returns[: episode + 1]
    mean = sum(returns[-d:]) / len(returns[-d:])
    if rule == "solved":
        return mean >= solved_return and episode >= init_episodes
    before = returns[:-d][-d:]
    if not before:
        return False  # the code cannot come here: init + d episodes leave at least one
    past = sum(before) / len(before)
    return abs(mean - past) / (abs(past) + 1e-9) < tolerance and episode >= init_episodes + d


def test_plateau_by_hand():
    """d = 2: means of the last two against the up to two before them; fires within ten percent."""
    #         index: 0    1    2     3     4     5
    returns = [10.0, 20.0, 8.0, 13.0, 15.0, 14.0]
    # index 2: m = 14, p = 10 -> .4;  3: m = 10.5, p = 15 -> .3;  4: m = 14, p = 14 -> 0;  5: 14.5, 10.5 -> .38
    means, fired = follow(returns, 2, "plateau", tolerance=0.1)
    np.testing.assert_allclose(means, [10, 15, 14, 10.5, 14, 14.5])
    assert fired.tolist() == [False, False, False, False, True, False]


def test_plateau_with_fewer_than_two_windows():
    """With n < 2d episodes the past is the first n - d only: d = 3, n = 4 compares (4, 4, 4) with (4)."""
    _, fired = follow([4.0, 4.0, 4.0, 4.0], 3, "plateau")
    assert fired.tolist() == [False, False, False, True]
    _, fired = follow([5.0, 4.0, 4.0, 4.0], 3, "plateau")
    assert not fired.any()


def test_plateau_of_negative_returns():
    """The change is relative to |p|: from -100 to -105 is five percent."""
    for tolerance, stops in ((0.06, True), (0.04, False)):
        _, fired = follow([-100.0, -105.0], 1, "plateau", tolerance=tolerance)
        assert fired[-1] == stops


def test_plateau_at_zero():
    """Returns that stay at zero are a plateau; leaving zero is not."""
    assert follow([0.0, 0.0], 1, "plateau")[1].tolist() == [False, True]
    assert not follow([0.0, 1.0], 1, "plateau")[1].any()


@pytest.mark.parametrize(("init_episodes", "first"), [(1, 12), (10, 21)])
def test_first_possible_plateau(init_episodes, first):
    """Table 3 (one warm-up episode) can stop after 12 episodes, table 5 (ten) after 21."""
    _, fired = follow(np.full(30, 7.0), 10, "plateau", init_episodes=init_episodes)
    assert np.flatnonzero(fired)[0] + 1 == first
    assert fired[first:].all()


def test_solved_by_hand():
    """d = 3, solved at 10: reaching the threshold exactly counts."""
    #         means: 12    6    8     9    12   10    7
    returns = [12.0, 0.0, 12.0, 15.0, 9.0, 6.0, 6.0]
    means, fired = follow(returns, 3, "solved", solved_return=10.0)
    np.testing.assert_allclose(means, [12, 6, 8, 9, 12, 10, 7])
    assert fired.tolist() == [True, False, False, False, True, True, False]


def test_solved_with_fewer_than_a_window():
    """Right after warm-up the mean of fewer than d returns is enough, and not earlier."""
    _, fired = follow([200.0] * 5, 10, "solved", init_episodes=3)
    assert fired.tolist() == [False, False, False, True, True]


def test_none_never_fires():
    """The rule `none` still reports the mean."""
    means, fired = follow([5.0] * 6, 2, "none", solved_return=0.0, tolerance=1.0)
    assert not fired.any() and means[-1] == 5.0


def test_nan_return_does_not_stop():
    """A NaN in the window fires neither rule."""
    returns = [1.0, 1.0, np.nan, 1.0]
    assert not follow(returns, 2, "plateau", tolerance=1.0)[1][2:].any()
    assert not follow(returns, 2, "solved", solved_return=0.0)[1][2:].any()


def test_unknown_rule():
    """A misspelt rule is an error that lists the right ones."""
    with pytest.raises(ValueError, match="'plateau', 'solved' or 'none'"):
        follow([1.0], 1, "plato")


@pytest.mark.parametrize("rule", ["plateau", "solved"])
@pytest.mark.parametrize("window", [1, 3, 10])
def test_against_transcription(rule, window):
    """On random walks and random warm-ups every decision equals the transcription's."""
    rng, num_fired, length = np.random.default_rng(window), 0, 40
    for _ in range(40):
        steps = rng.choice([-6, -1, 0, 0, 1, 6], size=length)
        returns = (rng.integers(-40, 40) + np.cumsum(steps)).astype(int).tolist()
        init_episodes = int(rng.integers(0, 15))
        settings = (init_episodes, 0.0617, int(np.median(returns)))  # 0.0617 is no quotient that can occur
        _, fired = follow(returns, window, rule, *settings)
        assert fired.tolist() == [fires(i, returns, window, rule, *settings) for i in range(length)]
        num_fired += fired.sum()
    assert 100 < num_fired < 40 * length - 100
