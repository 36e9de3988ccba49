"""Ratings against arithmetic by hand."""

import numpy as np
import pytest

from synthenv.selection.search.elo import elo_intervals, outcomes, ratings


def test_ten_wins_to_one_are_four_hundred_points():
    elo = ratings(np.array([[0.0, 10.0], [1.0, 0.0]]), anchor=1)
    np.testing.assert_allclose(elo, [1400.0, 1000.0], atol=0.01)


def test_ratings_are_transitive_where_the_games_are():
    # 10:1 of the first against the second, and of the second against the third; 100:1 between the ends.
    wins = np.array([[0.0, 10.0, 100.0], [1.0, 0.0, 10.0], [1.0, 1.0, 0.0]])
    np.testing.assert_allclose(ratings(wins, anchor=2), [1800.0, 1400.0, 1000.0], atol=0.01)


@pytest.mark.parametrize("anchor", [0, 1, 2])
def test_the_anchor_has_1000_points_and_moves_all_alike(anchor):
    wins = np.array([[0.0, 3.0, 4.0], [2.0, 0.0, 1.0], [1.0, 4.0, 0.0]])
    elo, other = ratings(wins, anchor), ratings(wins, (anchor + 1) % 3)
    assert elo[anchor] == 1000.0
    np.testing.assert_allclose(elo - elo[0], other - other[0], atol=1e-6)


def test_a_tie_is_half_a_win_for_both():
    wins = outcomes(np.array([[0.1, 0.1, 0.3]]))
    np.testing.assert_array_equal(wins[0], [[0.0, 0.5, 1.0], [0.5, 0.0, 1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(ratings(outcomes(np.full((4, 3), 0.2)).sum(0), 0), 1000.0, atol=1e-6)


def test_the_order_of_the_players_changes_nothing():
    regret = np.random.default_rng(0).uniform(size=(12, 5)).round(1)
    order = np.array([3, 0, 4, 1, 2])
    mine = elo_intervals(regret, anchor=1)
    theirs = elo_intervals(regret[:, order], anchor=int(np.flatnonzero(order == 1)[0]))
    np.testing.assert_allclose(mine[:, order], theirs, atol=1e-4)


def test_who_always_wins_has_a_finite_rating_above_the_others():
    regret = np.random.default_rng(0).uniform(0.1, 1.0, (10, 3))
    regret[:, 2] = 0.0
    elo, low, high = elo_intervals(regret, anchor=0)
    assert np.isfinite([elo, low, high]).all()
    assert elo[2] > elo[:2].max() + 1000.0


def test_intervals_hold_the_rating_and_are_narrower_with_more_data_sets():
    rng = np.random.default_rng(0)
    few, many = (rng.uniform(size=(num, 2)) * [1.0, 1.5] for num in (10, 400))
    widths = []
    for regret in (few, many):
        elo, low, high = elo_intervals(regret, anchor=1)
        assert low[0] <= elo[0] <= high[0]
        assert low[1] == high[1] == 1000.0
        widths.append(high[0] - low[0])
    assert widths[1] < 0.5 * widths[0]
