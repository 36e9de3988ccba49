"""The layout of Quick-Tune's meta-data sets (Arango et al., 2024).

perf.json
    ``{data set: {run: [top-1 accuracy in % after each epoch]}}``; a key "info" is no data set.
cost.json
    the same with the seconds of each epoch.
table.csv
    a row for each run, which the first column names: ``cat:model:dla46x_c`` is 1 for a choice, -1 stands for None.
descriptors.json
    ``{data set: [samples, classes, resolution, channels]}``; optional.
space.json
    the ConfigSpace of the hyperparameters; optional. Its conditions tell which hyperparameters of a run are inactive;
    without them an inactive one keeps the default that table.csv gives it.

Every run is of a configuration of its own, which goes by the name of the run. One that diverged (NaN or null in
perf.json) ends with that epoch, which has a cost and no score, and counts as crashed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.selection.readers.from_runs import Run, ended_by_nan, from_runs
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.tables.text_files import Row, Table, number, numbers, read_object, read_table

FILES = ("perf.json", "cost.json", "table.csv")
META_NAMES = ("samples", "classes", "resolution", "channels")
_NONE = -1.0


def recognises(path: Path) -> bool:
    """Whether a directory looks like one."""
    return (path / "perf.json").is_file() and (path / "table.csv").is_file()


def read(path: Path) -> MetaDataset:
    """Read one.

    Raises:
        UserError: a file is missing or damaged; the message names it.
    """
    scores, costs = (_runs_by_dataset(path / name) for name in FILES[:2])
    configs = _configs(read_table(path / "table.csv", needs=("",)))
    space = path / "space.json"
    if space.is_file():
        _drop_inactive(configs, _conditions(space))
    descriptors = path / "descriptors.json"
    about = _about(descriptors) if descriptors.is_file() else {}
    runs = list(_runs(path, scores, costs))
    used = {run.config: configs[run.config] for run in runs if run.config in configs}
    return from_runs(runs, used, about, score_range=(0.0, 100.0), score_name="top-1 accuracy in %")


def _runs_by_dataset(path: Path) -> dict[str, dict[str, list[Any]]]:
    found = read_object(path)
    found.pop("info", None)
    for dataset, runs in found.items():
        if not isinstance(runs, dict) or not all(isinstance(curve, list) for curve in runs.values()):
            raise UserError(f"{path}, {dataset} must be {{run: [number of each epoch]}}")
    return found


def _runs(path: Path, scores: Mapping[str, Any], costs: Mapping[str, Any]) -> Iterator[Run]:
    for dataset, curves in scores.items():
        for run, curve in curves.items():
            seconds = costs.get(dataset, {}).get(run)
            if seconds is None:
                raise UserError(
                    f"{path / 'cost.json'} has no run {run} of {dataset}, as perf.json has: add it"
                )
            if len(seconds) != len(curve):
                raise UserError(
                    f"run {run} of {dataset} has {len(curve)} epochs in perf.json and {len(seconds)} in"
                    f" {path / 'cost.json'}: mend the shorter one"
                )
            values = numbers(curve, f"{path}/perf.json, run {run} of {dataset}")
            spent = numbers(seconds, f"{path}/cost.json, run {run} of {dataset}")
            yield ended_by_nan(dataset, run, values, spent)


def _configs(table: Table) -> dict[str, dict[str, Any]]:
    """Hyperparameters of each run by its name."""
    plain = [name for name in table.header if name and not name.startswith("cat:")]
    chosen: dict[str, list[tuple[str, str]]] = {}
    for name in table.header:
        if name.startswith("cat:"):
            _, hyperparameter, choice = name.split(":", 2)
            chosen.setdefault(hyperparameter, []).append((name, choice))
    configs = {}
    for run, row in table.by_name("").items():
        config: dict[str, Any] = {name: row.number(name) for name in plain}
        config = {name: None if x in (_NONE, None) else x for name, x in config.items()}
        configs[run] = config | {name: _choice(row, name, marks) for name, marks in chosen.items()}
    return configs


def _choice(row: Row, name: str, marks: list[tuple[str, str]]) -> str | None:
    marked = [choice for column, choice in marks if row.cells[column] not in ("0", "0.0", "")]
    if len(marked) > 1:
        raise UserError(
            f"{row.where} has {len(marked)} choices of {name} ({', '.join(marked)}): keep one of them"
        )
    return marked[0] if marked else None


def _conditions(path: Path) -> list[Any]:
    found = read_object(path).get("conditions", [])
    if not all(isinstance(condition, dict) and "child" in condition for condition in found):
        raise UserError(f"{path} has a condition without a child: write the space again with ConfigSpace")
    return found


def _drop_inactive(configs: Mapping[str, dict[str, Any]], conditions: Any) -> None:
    for config in configs.values():
        for condition in conditions:
            if not _holds(condition, config):
                config[condition["child"]] = None


def _holds(condition: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether a condition, as ConfigSpace writes it, lets its child be active."""
    kind = condition["type"]
    if kind in ("OR", "AND"):
        parts = [_holds(part, config) for part in condition["conditions"]]
        return any(parts) if kind == "OR" else all(parts)
    have, want = config.get(condition["parent"]), condition.get("value", condition.get("values"))
    if have is None:
        return False
    answers = {
        "EQ": lambda: have == want,
        "NEQ": lambda: have != want,
        "IN": lambda: have in want,
        "LT": lambda: have < want,
        "GT": lambda: have > want,
    }
    if kind not in answers:
        raise UserError(
            f"space.json has a condition {kind!r}, which is none of {', '.join(answers)}, OR, AND"
        )
    return answers[kind]()


def _about(path: Path) -> dict[str, dict[str, float]]:
    found = read_object(path)
    for dataset, row in found.items():
        if not isinstance(row, list) or len(row) != len(META_NAMES):
            raise UserError(f"{path}, {dataset} must be [{', '.join(META_NAMES)}]")
    return {
        dataset: {name: number(x, f"{path}, {dataset}") for name, x in zip(META_NAMES, row, strict=True)}
        for dataset, row in found.items()
    }
