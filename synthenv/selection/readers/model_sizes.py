"""Tables of language models by sizes of the training set (Lin et al., 2024): which model to fine-tune.

A csv file for each data set, or one of them: ``config name`` is the model, columns that are numbers are the losses
after fine-tuning on so many samples, ``size`` is how many parameters it has and ``family`` where it comes from. Models
are the configurations, with the family as a choice and the parameters as a logarithmic number; steps are the sizes of
the training set in ascending order, see :func:`training_sizes`. Every step was trained from the start. A score is minus
the loss. Costs are unknown.
"""

from pathlib import Path

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.readers.from_runs import Run, from_runs
from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.tables.text_files import Table, read_table

_NEEDS = ("config name", "size", "family")


def recognises(path: Path) -> bool:
    """Whether a csv file, or one of a folder, has the columns."""
    files = [path] if path.suffix == ".csv" and path.is_file() else sorted(path.glob("*.csv"))
    for file in files:
        with open(file, errors="replace") as text:
            if text.readline().startswith(_NEEDS[0]):
                return True
    return False


def read(path: Path) -> MetaDataset:
    """Read one file or a folder of them.

    Raises:
        UserError: a file is damaged, or two files disagree about the sizes or about a model; the message names it.
    """
    runs: list[Run] = []
    models: dict[str, dict[str, object]] = {}
    tables = [read_table(file, _NEEDS) for file in _files(path)]
    sizes = training_sizes(path)
    for table in tables:
        for model, row in table.by_name(_NEEDS[0]).items():
            known = {"family": row.cells["family"], "parameters": row.number("size")}
            if not known["parameters"] > 0:
                raise UserError(
                    f"{row.where} has no number of parameters above 0 in its column size: fill it in"
                )
            if models.setdefault(model, known) != known:
                raise UserError(
                    f"{row.where} has another size or family for {model} than a file before: mend one"
                )
            losses = row.numbers(str(size) for size in sizes)
            runs.append(Run(table.path.stem, model, -losses))
    families = tuple(sorted({str(known["family"]) for known in models.values()}))
    counts = [float(str(known["parameters"])) for known in models.values()]
    columns = (
        Column("family", "choice", values=families),
        Column("parameters", "number", min(counts), max(counts), is_log=True),
    )
    worst = min((np.nanmin(np.asarray(run.curve), initial=0.0) for run in runs), default=-1.0)
    return from_runs(
        runs, models, columns=columns, score_range=(float(np.floor(worst)), 0.0), score_name="minus the loss"
    )


def training_sizes(path: Path) -> tuple[int, ...]:
    """How many samples each step was trained on.

    Raises:
        UserError: there are none, or two files have different ones.
    """
    found = {file: _sizes(read_table(file, _NEEDS)) for file in _files(path)}
    first, *others = found
    for other in others:
        if found[other] != found[first]:
            raise UserError(
                f"{other} has other sizes of the training set than {first.name}: read them one by one"
            )
    return found[first]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.glob("*.csv"))


def _sizes(table: Table) -> tuple[int, ...]:
    sizes = sorted(int(name) for name in table.header if name.isdecimal())
    if not sizes:
        raise UserError(f"{table.path} has no column of losses: name them by the number of samples, as 200")
    return tuple(sizes)
