"""Small meta-data sets whose scores follow a rule, so that a choice can be judged."""

import numpy as np

from synthenv.selection.tables.columns import columns_of, stored
from synthenv.selection.tables.meta_dataset import MetaDataset


def table(
    scores: np.ndarray,
    meta_features: np.ndarray,
    configs: list[dict],
    crashed: np.ndarray | None = None,
    **more,
) -> MetaDataset:
    """Scores [D, M] of one step as a meta-data set; NaN is a run that is not there, unless it crashed."""
    crashed = np.zeros(scores.shape, bool) if crashed is None else crashed
    dataset, config = np.nonzero(~np.isnan(scores) | crashed)
    columns = columns_of(configs)
    names = tuple(f"data{i}" for i in range(len(scores)))
    fields = {
        "datasets": names,
        "columns": columns,
        "config_names": tuple(f"config{i}" for i in range(len(configs))),
        "configs": stored(columns, configs),
        "dataset_of": dataset.astype(np.int32),
        "config_of": config.astype(np.int32),
        "curves": scores[dataset, config][:, None].astype(np.float32),
        "costs": np.full((len(dataset), 1), np.nan, np.float32),
        "crashed": crashed[dataset, config],
        "meta_names": tuple(f"meta{i}" for i in range(meta_features.shape[1])),
        "meta_features": meta_features.astype(np.float32),
    }
    return MetaDataset(**(fields | more))


def crossing(num_datasets: int = 12, num_configs: int = 8) -> MetaDataset:
    """Large values of x are best on data sets with a large meta-feature, small ones on the others."""
    side = np.where(np.arange(num_datasets) % 2 == 0, 1.0, -1.0)
    x = np.linspace(-1.0, 1.0, num_configs)
    noise = 0.01 * np.random.default_rng(0).standard_normal((num_datasets, num_configs))
    scores = 0.5 + 0.2 * side[:, None] * x[None] + noise
    meta_features = np.stack([side, np.geomspace(10.0, 1e4, num_datasets)], axis=1)
    return table(scores, meta_features, [{"x": float(value)} for value in x])
