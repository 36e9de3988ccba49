"""Searches that an experiment begins, goes on with after an interruption, or leaves alone if nothing is left to do."""

from pathlib import Path
from typing import Any

from synthenv.runs.meta_train.config import MetaTrainConfig


def finish(search: MetaTrainConfig, seed: int, path: Path) -> list[dict[str, Any]]:
    """Bring the search in the run directory ``path`` to its end; returns its metrics, a dict per generation.

    Raises:
        UserError: if ``path`` holds a run of another config, other than one of fewer generations.
    """
    from synthenv.runs.meta_train.run import finished_result, meta_train
    from synthenv.runs.storage import metrics

    if finished_result(search, seed, path) is None:
        meta_train(search, seed, path, resume=True, on_generation=lambda line: _show(path.name, line))
    return metrics.read(path)


def _show(name: str, line: dict[str, Any]) -> None:
    """Tell how a search goes."""
    print(
        f"{name}  generation {line['generation']}  incumbents {line['incumbent_mean']:.1f}"
        f"  {line['seconds']:.1f} s",
        flush=True,
    )
