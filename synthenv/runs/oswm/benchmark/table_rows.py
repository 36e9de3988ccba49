"""The rows of a benchmark's tables 1 and 2: a task, a method, how contexts are collected, and a run directory.

A row that is done is never done again. Rows of both tables may be one and the same.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from synthenv.core.files import plain, read_json
from synthenv.runs.oswm.benchmark import real_task_rows
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark, Row
from synthenv.runs.oswm.benchmark.real_task_rows import RealRun
from synthenv.runs.oswm.run import run as oswm_run
from synthenv.runs.oswm.run.arguments import NUMBERS, OswmRun
from synthenv.runs.oswm.run.presets import dreaming_agent, preset
from synthenv.runs.oswm.run.run import Show
from synthenv.runs.storage import metrics
from synthenv.runs.storage.locked_directory import RESULT
from synthenv.runs.storage.stored_config import CONFIG, check_same, stored_config, with_contents


class Watch(NamedTuple):
    """Callbacks: after every test, after every seed, and for notices of what differs from the first machine."""

    show: Show
    tell: Callable[[dict[str, Any]], None]
    notify: Callable[[str], None]


def rows_of(command: OswmBenchmark, table: str) -> list[Row]:
    """Return the rows of table 1 or 2 in the order of work: dreams come before the baselines that count their steps."""
    if table == "2":
        return [Row(task, command.models[0], name) for task in command.tasks for name in command.strategies]
    rows = []
    for task in command.tasks:
        rows += [Row(task, model, strategy_of(command, task)) for model in command.models]
        rows += [Row(task, name, None) for name in command.baselines]
    return rows


def strategy_of(command: OswmBenchmark, task: str) -> str:
    """Return how contexts of a task are collected for table 1."""
    return command.strategy or preset(task).strategy


def finish(command: OswmBenchmark, row: Row, out: Path, watch: Watch) -> dict[str, Any]:
    """Complete a row, or read its result if it is done.

    Args:
        command: the benchmark.
        row: one of ``rows_of``; those before it of the same task are done.
        out: the directory of all rows.
        watch: callbacks that are told how it goes.

    Returns:
        its result, see ``oswm.run.summary.summarise``.

    Raises:
        UserError: as ``oswm.run.run.run``, or the directory holds the row of another benchmark.
    """
    path = out / row.place
    asked = _dream(command, row) if row.strategy is not None else _real(command, row, out)
    if (path / RESULT).exists():
        wanted = asked.asked() if isinstance(asked, RealRun) else oswm_run.asked_for(asked, path)
        return _stored_result(path, wanted)
    resume = (path / CONFIG).exists()
    if isinstance(asked, RealRun):
        return real_task_rows.run(asked, path, resume, *watch)
    return oswm_run.run(dataclasses.replace(asked, resume=resume), path, *watch)


def context_digests(row: Row, out: Path) -> dict[int, str]:
    """Return digests of the contexts of a row, by seed."""
    return {line["generation"]: line["context_digest"] for line in metrics.read(out / row.place)}


def _dream(command: OswmBenchmark, row: Row) -> OswmRun:
    return OswmRun(
        task=row.task,
        context=command.context,
        strategy=row.strategy,  # type: ignore[arg-type]  # one of STRATEGIES, which are its names
        model=row.method,
        common=command.common,
        **{name: getattr(command, name) for name in NUMBERS},
    )


def _real(command: OswmBenchmark, row: Row, out: Path) -> RealRun:
    steps = _PPO_STEPS.get(row.method)
    policy: Any = "ppo" if steps else row.method
    # A row that was begun keeps its number of steps, whichever model comes first now.
    max_steps = stored_config(out / row.place).get("max_steps")
    if max_steps is None:
        max_steps = steps(command, row, out) if steps else 0
    return RealRun(
        task=row.task,
        policy=policy,
        max_steps=max_steps,
        seed=command.common.seed,
        **{name: getattr(command, name) for name in NUMBERS if name != "max_steps"},
    )


def _steps_of_context(command: OswmBenchmark, row: Row, out: Path) -> int:
    """Return the real steps that the final policy of a dream by the first model needed, mean over seeds."""
    steps = _steps_of_first(command, row, out)
    return round(steps["context"] + steps["expert"])


def _steps_of_dream(command: OswmBenchmark, row: Row, out: Path) -> int:
    """Return the steps of ``_steps_of_context`` and those of the tests during training."""
    return round(_steps_of_first(command, row, out)["total"])


def _steps_of_first(command: OswmBenchmark, row: Row, out: Path) -> dict[str, float]:
    first = Row(row.task, command.models[0], strategy_of(command, row.task))
    return _read(out / first.place / RESULT)["real_steps"]


def _steps_dreamt(command: OswmBenchmark, row: Row, out: Path) -> int:
    return dreaming_agent("ppo", row.task, command.max_steps).max_steps


_PPO_STEPS = {
    "ppo-real-context": _steps_of_context,
    "ppo-real-equal": _steps_of_dream,
    "ppo-real-large": _steps_dreamt,
}


def _stored_result(path: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a finished row; refuse a row that was asked for something else."""
    wanted = plain(wanted)
    stored = with_contents(stored_config(path), wanted)
    check_same(f"the row in {path} was", {name: stored.get(name) for name in wanted}, wanted)
    return _read(path / RESULT)


def _read(file: Path) -> dict[str, Any]:
    return read_json(file, "remove its directory, and the row will be done again")
