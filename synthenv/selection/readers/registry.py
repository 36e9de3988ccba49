"""Layouts of meta-data sets, and the one function that reads any of them."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from synthenv.core.errors import UserError
from synthenv.core.registry import Registry
from synthenv.selection.readers import (
    aslib,
    lcbench,
    matrix,
    model_sizes,
    ours,
    quick_tune,
    quick_tune_tool,
    taskset,
)
from synthenv.selection.tables.meta_dataset import MetaDataset


class Reader(NamedTuple):
    """One layout in which people keep their runs.

    Attributes:
        name: what it goes by.
        about: the files by which it is known, for the error where nothing fits.
        recognises: whether a path, which exists, looks like it.
        read: reads it; further arguments are options of the layout.
    """

    name: str
    about: str
    recognises: Callable[[Path], bool]
    read: Callable[..., MetaDataset]


READERS: Registry[Reader] = Registry(
    "layout of meta-data sets",
    Reader,
    [
        Reader("matrix", "perf_matrix*.csv", matrix.recognises, matrix.read),
        Reader("model_sizes", "csv with config name, size, family", model_sizes.recognises, model_sizes.read),
        Reader("taskset", "json lists of runs with hp, train, valid, test", taskset.recognises, taskset.read),
        Reader("aslib", "algorithm_runs.arff, description.txt", aslib.recognises, aslib.read),
        Reader(
            "lcbench_surrogate",
            "model.onnx, config_space.json, encoding.json",
            lcbench.recognises,
            lcbench.read,
        ),
        Reader(
            "quick_tune_tool",
            "config.csv, curve.csv, cost.csv, meta.csv",
            quick_tune_tool.recognises,
            quick_tune_tool.read,
        ),
        Reader("quick_tune", "perf.json, cost.json, table.csv", quick_tune.recognises, quick_tune.read),
        Reader("ours", "meta_dataset.json and csv files", ours.recognises, ours.read),
    ],
)


def read_meta_dataset(path: str | Path, layout: str | None = None, **options: Any) -> MetaDataset:
    """Read a table of past runs.

    Args:
        path: a directory, or a file if the layout is one.
        layout: its name in ``READERS``; found out by itself from the files unless it is passed. A later one in
            ``READERS`` comes first, and a user's before ours.
        options: of the layout, see its module.

    Raises:
        UserError: the path is not there, no layout fits, or a table is damaged; the message names the file and what to
            do.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"there is no {path}: pass the directory that holds the meta-data set")
    reader = READERS.find(layout) if layout else _recognised(path)
    _check_options(reader, options)
    return reader.read(path, **options)


def _recognised(path: Path) -> Reader:
    for reader in reversed(list(READERS.values())):
        if reader.recognises(path):
            return reader
    looked_for = "; ".join(f"{reader.about} ({reader.name})" for reader in READERS.values())
    raise UserError(f"{path} has the files of no known layout: looked for {looked_for}")


def _check_options(reader: Reader, options: dict[str, Any]) -> None:
    known = list(inspect.signature(reader.read).parameters)[1:]
    for name in options:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UserError(f"the layout {reader.name} has no option {name!r}: {takes}")
