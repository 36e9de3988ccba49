"""The benchmark of one-shot world models: tables 1, 2 and 3 of the paper, row by row.

config.json               what was asked for
rows/TASK/METHOD/         a run directory for each row of tables 1 and 2
proxy_loss/               table 3
benchmark.json            all numbers, those of the paper among them
table1.csv table1.md ...  the same for people
table1.png ...            pictures

References:
    Ferreira et al. (2024), One-shot world models, tables 1, 2 and 3.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error, plain, read_json, to_json, write_atomic
from synthenv.runs.oswm.benchmark import errors_plot, one_step_errors, returns_plot
from synthenv.runs.oswm.benchmark import tables as benchmark_report
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark, Row
from synthenv.runs.oswm.benchmark.one_step_errors import ProxyLoss
from synthenv.runs.oswm.benchmark.table_rows import Watch, context_digests, finish, rows_of
from synthenv.runs.oswm.run.real_tasks import check_memory, world_model
from synthenv.runs.storage import locked_directory, stored_config
from synthenv.runs.storage.environment import environment
from synthenv.runs.storage.locked_directory import LOCK
from synthenv.runs.storage.stored_config import CONFIG

RESULTS = "benchmark.json"


def run(
    command: OswmBenchmark,
    out: Path,
    watch: Watch,
    tell_row: Callable[[str, Row, int, int], None] = lambda table, row, done, total: None,
    tell_error: Callable[[dict[str, Any], int], None] = lambda line, total: None,
) -> dict[str, Any]:
    """Complete all tables; rows that are done already stay as they are.

    Args:
        command: what to do.
        out: the directory.
        watch: callbacks that are told how a row goes.
        tell_row: called before every row with its table, the row, how many rows of the table are done, and of how many.
        tell_error: called with every new line of table 3, and how many lines there will be.

    Returns:
        what ``benchmark.json`` holds, including earlier measurements in the directory: by table and task, rows of
        tables 1 and 2 and the summary of table 3; and whether rows were shown equal contexts.

    Raises:
        UserError: a world model is unknown, ``out`` holds something else, or as ``finish`` and ``one_step_errors.run``.
    """
    command.check()
    for name in command.models:
        check_memory(world_model(name), command.context)
    _check_place(command, out)
    with locked_directory.locked(out):
        _check_place(command, out)  # again: whoever held the lock may have begun another benchmark
        stored_config.write(out, command.asked(), environment=environment())
        results = _stored(out)
        for table in command.tables:
            if table == "3":
                results["tables"][table] = _errors(command, out, tell_error)
            else:
                _returns(command, table, out, watch, tell_row, results)
        _write(results, out)
        _draw(results, out)
    return results


def _stored(out: Path) -> dict[str, Any]:
    """Read all that was measured in the directory so far, to which new results are added."""
    if not (out / RESULTS).exists():
        return {"tables": {}}
    return read_json(out / RESULTS, "remove it, and it will be written anew from the rows")


def _returns(
    command: OswmBenchmark,
    table: str,
    out: Path,
    watch: Watch,
    tell_row: Callable[[str, Row, int, int], None],
    results: dict[str, Any],
) -> None:
    """Complete table 1 or 2; ``results`` grows with every row, and is written."""
    rows = rows_of(command, table)
    of_task: dict[str, list[Any]] = results["tables"].setdefault(table, {})
    for number, row in enumerate(rows):
        tell_row(table, row, number, len(rows))
        result = finish(command, row, out / "rows", watch)
        new, of_row = benchmark_report.row_of(table, row, result), of_task.setdefault(row.task, [])
        of_row[:] = [old for old in of_row if _name(old) != _name(new)] + [new]
        results["contexts_shared"] = _contexts_shared(results, out)
        _write(results, out)


def _name(row: Mapping[str, Any]) -> tuple[str, str | None]:
    return row["method"], row["strategy"]


def _contexts_shared(results: Mapping[str, Any], out: Path) -> bool:
    """Return whether rows of one task and strategy were shown the same contexts, seed by seed."""
    seen: dict[tuple[str, str, int], set[str]] = {}
    by_task = [pair for table in ("1", "2") for pair in results["tables"].get(table, {}).items()]
    for task, rows in by_task:
        for method, strategy in map(_name, rows):
            if strategy is not None:
                for seed, name in context_digests(Row(task, method, strategy), out / "rows").items():
                    seen.setdefault((task, strategy, seed), set()).add(name)
    return all(len(contexts) == 1 for contexts in seen.values())


def _errors(command: OswmBenchmark, out: Path, tell: Callable[[dict[str, Any], int], None]) -> dict[str, Any]:
    """Return table 3, with all that the directory holds."""
    config = ProxyLoss(
        tasks=command.tasks,
        strategies=command.strategies,
        models=command.models,
        num_contexts=command.num_contexts,
        num_context_rows=command.context,
        num_test_rows=command.num_test_rows,
        expert_steps=command.expert_steps,
        seed=command.common.seed,
    )
    total = len(list(one_step_errors.keys(config)))
    return plain(one_step_errors.run(config, out / "proxy_loss", lambda line: tell(line, total)))


def _check_place(command: OswmBenchmark, out: Path) -> None:
    """Check that the directory is free, or that what is there can be gone on with."""
    try:
        names = sorted(entry.name for entry in out.iterdir()) if out.exists() else []
    except OSError as error:
        raise disk_error(error, out) from error
    # A benchmark that was killed while it began leaves no more than its lock and a temporary file.
    foreign = [name for name in names if name != LOCK and not name.endswith(".tmp")]
    if CONFIG in names:
        _compare(command, out)
    elif foreign:
        raise UserError(f"{out} is not empty and holds no benchmark ({foreign[0]}): choose another --out")


def _compare(command: OswmBenchmark, out: Path) -> None:
    stored, wanted = stored_config.stored_config(out), plain(command.settings())
    if stored.get("command") != "oswm benchmark":
        raise UserError(f"{out} holds something else: choose another --out")
    if not command.resume:
        raise UserError(f"{out} holds a benchmark: pass --resume to go on, or choose another --out")
    began = {name: stored.get(name) for name in wanted}
    stored_config.check_same(f"the benchmark in {out} was", began, wanted)


def _write(results: dict[str, Any], out: Path) -> None:
    """Write numbers as JSON, CSV and Markdown."""
    write_atomic(out / RESULTS, f"{to_json(results, indent=1)}\n".encode())
    for table, by_task in results["tables"].items():
        benchmark_report.write(table, by_task, out)


def _draw(results: dict[str, Any], out: Path) -> None:
    for table, by_task in results["tables"].items():
        if table == "3":
            errors_plot.draw(by_task, out / "table3.png")
        else:
            returns_plot.write(table, by_task, out)
