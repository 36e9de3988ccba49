"""A made-up meta-data set whose curves are power laws of two hyperparameters."""

import numpy as np

from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.meta_dataset import MetaDataset

COLUMNS = (Column("rate", "number"), Column("kind", "choice", values=("a", "b")))


def synthetic(num_datasets=4, num_configs=12, num_steps=10, low=0.0, high=1.0, seed=0) -> MetaDataset:
    """Better with a greater rate, slower with the second kind; levels differ between data sets."""
    draws = np.random.default_rng(seed)
    configs = np.column_stack([draws.random(num_configs), np.arange(num_configs) % 2]).astype(np.float32)
    level = 0.05 * draws.normal(size=(num_datasets, 1, 1))
    rate, kind = configs[None, :, 0, None], configs[None, :, 1, None]
    share = np.arange(1, num_steps + 1)[None, None] / num_steps
    score = 0.55 + level + 0.3 * rate - 0.1 * share ** (-0.3 - 0.2 * kind)
    curves = (low + (high - low) * np.clip(score, 0, 1)).reshape(-1, num_steps).astype(np.float32)
    costs = np.broadcast_to(2.0 + 8.0 * kind, score.shape).reshape(curves.shape).astype(np.float32)
    num = num_datasets * num_configs
    return MetaDataset(
        tuple(f"data {d}" for d in range(num_datasets)),
        COLUMNS,
        tuple(f"config {i}" for i in range(num_configs)),
        configs,
        np.repeat(np.arange(num_datasets, dtype=np.int32), num_configs),
        np.tile(np.arange(num_configs, dtype=np.int32), num_datasets),
        curves,
        costs,
        np.zeros(num, bool),
        (),
        np.zeros((num_datasets, 0), np.float32),
        (low, high),
    )
