"""Distributions as numbers, NumPy only: histograms of several series over common bins, kernel densities.

References:
    Ferreira et al. (2022), figures 3, 4 and 8.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

NUM_BINS = 60


class Histogram(NamedTuple):
    """Shares of one quantity in several series, over common bins.

    Attributes:
        name: name of the quantity.
        edges: ends of the bins, ascending. The outermost bins also hold what lies beyond. [B + 1]
        shares: each series' shares of the bins, summing to 1. [B]
        statistics: each series' num, mean, std, min, q05, q95 and max, over all its finite values.
    """

    name: str
    edges: np.ndarray
    shares: dict[str, np.ndarray]
    statistics: dict[str, dict[str, float]]


def histogram(name: str, series: Mapping[str, np.ndarray], num_bins: int = NUM_BINS) -> Histogram:
    """Count several series of values [N] in bins that span the middle 99 % of each of them.

    Values that are not finite are left out; a series that has no finite value has no share anywhere.
    """
    finite = {label: np.asarray(v, np.float64)[np.isfinite(v)] for label, v in series.items()}
    ends = np.array([np.quantile(values, (0.005, 0.995)) for values in finite.values() if len(values)])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    margin = 0.02 * (high - low) or 0.5
    edges = np.linspace(low - margin, high + margin, num_bins + 1)
    shares = {
        label: np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(1, len(values))
        for label, values in finite.items()
    }
    return Histogram(name, edges, shares, {label: statistics(values) for label, values in finite.items()})


def statistics(values: np.ndarray) -> dict[str, float]:
    """Return moments and quantiles of values [N]; they are NaN where there are no values."""
    q = np.quantile(values, (0, 0.05, 0.95, 1)) if len(values) else np.full(4, np.nan)
    mean, std = (values.mean(), values.std()) if len(values) else (np.nan, np.nan)
    named = zip(("min", "q05", "q95", "max"), q.tolist(), strict=True)
    return {"num": len(values), "mean": float(mean), "std": float(std), **dict(named)}


def overlap(found: Histogram, one: str, other: str) -> float:
    """Return the share that two series have in common: 1 if they are equal bin by bin, 0 if they never meet."""
    return float(np.minimum(found.shares[one], found.shares[other]).sum())


def as_rows(histograms: Sequence[Histogram]) -> list[dict[str, Any]]:
    """Return a line of a table for each quantity and series: statistics, the ends of the bins, their shares."""
    return [
        {
            "quantity": found.name,
            "series": series,
            **{name: f"{value:.5g}" for name, value in found.statistics[series].items()},
            "low": f"{found.edges[0]:.5g}",
            "high": f"{found.edges[-1]:.5g}",
            **{f"share_{i}": f"{share:.4g}" for i, share in enumerate(shares)},
        }
        for found in histograms
        for series, shares in found.shares.items()
    ]


def from_rows(rows: Sequence[Mapping[str, str]]) -> list[Histogram]:
    """Invert ``as_rows``, up to rounding."""
    histograms: dict[str, Histogram] = {}
    for row in rows:
        shares = np.array([float(value) for name, value in row.items() if name.startswith("share_")])
        edges = np.linspace(float(row["low"]), float(row["high"]), len(shares) + 1)
        found = histograms.setdefault(row["quantity"], Histogram(row["quantity"], edges, {}, {}))
        found.shares[row["series"]] = shares
        names = ("num", "mean", "std", "min", "q05", "q95", "max")
        found.statistics[row["series"]] = {name: float(row[name]) for name in names}
    return list(histograms.values())


def density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return a Gaussian kernel density of values [N] on a grid [G], with Silverman's bandwidth.

    The bandwidth is at least a hundredth of the grid, since many agents have exactly the same return.
    """
    spread = min(values.std(), np.subtract(*np.percentile(values, [75, 25])) / 1.34)
    bandwidth = max(0.9 * spread * len(values) ** -0.2, 0.01 * np.ptp(grid))
    kernels = np.exp(-0.5 * ((grid[:, None] - values[None, :]) / bandwidth) ** 2)
    return kernels.mean(axis=1) / (bandwidth * np.sqrt(2 * np.pi))
