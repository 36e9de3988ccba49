"""Who is better than whom on how many data sets, as ratings: 400 points are odds of 10 to 1.

    wins = outcomes(regret)                                # [D, P, P], of the players' regret on every data set [D, P]
    elo = ratings(wins.sum(0), anchor)                     # [P]

The protocol is that of TabArena (Erickson et al. 2025): each data set is one game between any two players, which the
lower regret wins, ratings are the most likely ones of Bradley and Terry's model, one player is anchored at 1000, and
intervals come from a bootstrap over data sets.

Axis letters here: D data sets, P players.
"""

import numpy as np

_POINTS = 400.0 / np.log(10.0)  # of a natural logarithm of odds
_ANCHORED = 1000.0
_RIDGE = 1e-6  # who wins or loses every game has no finite rating; this keeps it at some thousand points
_LARGEST_STEP = 1.0


def outcomes(regret: np.ndarray) -> np.ndarray:
    """Who won against whom on each data set: 1, 0, or a half each for a tie. [D, P, P]

    Args:
        regret: of the players on every data set, without NaN. [D, P]
    """
    mine, theirs = regret[:, :, None], regret[:, None, :]
    won = (mine < theirs) + 0.5 * (mine == theirs)
    return won * ~np.eye(regret.shape[1], dtype=bool)


def ratings(wins: np.ndarray, anchor: int) -> np.ndarray:
    """The most likely ratings. [P]

    Args:
        wins: how often the player of the row won against that of the column. [P, P]
        anchor: which player has 1000 points.
    """
    games = wins + wins.T
    strength = np.zeros(len(wins))
    for _ in range(1000):  # Newton's method in short steps; the likelihood is concave
        odds = 1.0 / (1.0 + np.exp(strength[None, :] - strength[:, None]))
        gradient = (wins - games * odds).sum(1) - _RIDGE * strength
        weights = games * odds * (1.0 - odds)
        hessian = np.diag(weights.sum(1) + _RIDGE) - weights
        step = np.linalg.solve(hessian, gradient)
        strength = strength + step * min(1.0, _LARGEST_STEP / max(np.abs(step).max(), 1e-300))
        if np.abs(step).max() < 1e-9:
            break
    return _ANCHORED + _POINTS * (strength - strength[anchor])


def elo_intervals(regret: np.ndarray, anchor: int, num_draws: int = 200, seed: int = 0) -> np.ndarray:
    """Ratings and their 95 % bootstrap intervals over data sets. [3, P]: rating, lower and upper end

    Args:
        regret: of the players on every data set. [D, P]
        anchor: which player has 1000 points, in every draw.
        num_draws: of data sets with replacement.
        seed: of the draws.
    """
    wins = outcomes(regret)
    draws = np.random.default_rng(seed).integers(0, len(wins), (num_draws, len(wins)))
    drawn = [ratings(wins[draw].sum(0), anchor) for draw in draws]
    return np.stack([ratings(wins.sum(0), anchor), *np.percentile(drawn, [2.5, 97.5], axis=0)])
