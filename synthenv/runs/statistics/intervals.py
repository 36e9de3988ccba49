"""The uncertainty of a mean: bootstrap intervals and standard errors."""

import numpy as np

NUM_BOOTSTRAP = 10_000


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> list[float]:
    """Return the 95 % percentile bootstrap interval of the mean over agents (the first axis)."""
    per_agent = values.reshape(len(values), -1).mean(axis=1)
    draws = np.random.default_rng(seed).integers(0, len(values), (NUM_BOOTSTRAP, len(values)))
    return [float(x) for x in np.percentile(per_agent[draws].mean(axis=1), [2.5, 97.5])]


def bootstrap_band(values: np.ndarray, num_draws: int = 1000) -> np.ndarray:
    """Return the mean over agents and its 95 % percentile bootstrap band, [3, G] for values [A, G]."""
    draws = np.random.default_rng(0).multinomial(
        len(values), np.full(len(values), 1 / len(values)), num_draws
    )
    return np.stack([values.mean(axis=0), *np.percentile(draws @ values / len(values), [2.5, 97.5], axis=0)])


def standard_error(scores: np.ndarray) -> float:
    """Return the standard error of the mean of ``scores`` [N]."""
    return float(np.std(scores) / np.sqrt(len(scores)))
