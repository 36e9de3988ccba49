"""Searches that an experiment begins, goes on with after an interruption, or leaves alone if they are finished."""

import json
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.runs.config import MetaTrainConfig, to_stored


def finish(search: MetaTrainConfig, seed: int, path: Path) -> list[dict[str, Any]]:
    """Bring the search in the run directory ``path`` to its end; returns its metrics, a dict per generation.

    Raises:
        UserError: if ``path`` holds a finished run of another config.
    """
    from synthenv.runs import metrics
    from synthenv.runs.meta_train import meta_train

    if (path / "result.json").exists():
        _refuse_another(path, {"seed": seed, **to_stored(search)})
    else:
        begun = (path / "config.json").exists()
        meta_train(search, seed, path, resume=begun, on_generation=lambda line: _show(path.name, line))
    return metrics.read(path)


def _refuse_another(path: Path, wanted: dict[str, Any]) -> None:
    stored = json.loads((path / "config.json").read_bytes())["config"]
    if {name: stored.get(name) for name in wanted} != plain(wanted):
        raise UserError(f"{path} holds a finished run of another config: choose another --out")


def _show(name: str, line: dict[str, Any]) -> None:
    """Tell how a search goes."""
    print(
        f"{name}  generation {line['generation']}  incumbents {line['incumbent_mean']:.1f}"
        f"  {line['seconds']:.1f} s",
        flush=True,
    )
