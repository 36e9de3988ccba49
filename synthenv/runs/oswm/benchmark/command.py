"""What ``synthenv oswm benchmark`` shows on the terminal: progress row by row, then the tables."""

from typing import Any

from rich.progress import Progress

from synthenv.runs.display.terminal import COLUMNS, START, console, is_live, listing, say
from synthenv.runs.oswm.benchmark import run as benchmark
from synthenv.runs.oswm.benchmark import tables as benchmark_report
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark
from synthenv.runs.oswm.benchmark.rows import Row, Watch


def benchmark_with_bars(command: OswmBenchmark) -> dict[str, Any]:
    """Run the benchmark, show how it goes and what came of it."""
    out = command.out
    assert out is not None
    with Progress(*COLUMNS, console=console, disable=not is_live()) as progress:
        results = benchmark.run(command, out, *_watched(progress, command.seeds))
    for table, by_task in results["tables"].items():
        say(f"\n{benchmark_report.TITLES[table]}", style="bold")
        for task, head, lines in benchmark_report.listings(table, by_task, between="\n"):
            listing(task, head, lines)
    if not results.get("contexts_shared", True):
        say("rows of one table were shown different contexts: were machines changed?", style="yellow")
    tables = ", ".join(f"table{table}.md .csv .png" for table in results["tables"])
    say(f"benchmark: {out / benchmark.RESULTS}   beside it: {tables}")
    return results


def _watched(progress: Progress, num_seeds: int) -> tuple[Watch, Any, Any]:
    """Bars of the rows of a table and of the seeds of a row; a line per row where there is no terminal."""
    rows = progress.add_task("row", total=None, numbers="")
    seeds = progress.add_task("seed", total=num_seeds, numbers="")

    def say_without_bars(line: str) -> None:
        if not is_live():
            say(line)

    def tell_row(table: str, row: Row, done: int, total: int) -> None:
        name = f"table {table}: {row.task}, {row.method}{f', {row.strategy} context' if row.strategy else ''}"
        progress.update(rows, completed=done, total=total, numbers=name)
        progress.update(seeds, completed=0, numbers=START)
        say_without_bars(f"row {done + 1}/{total} of {name}")

    def tell_error(line: dict[str, Any], total: int) -> None:
        name = "table 3: {task}, {model}, {strategy} context {context}: {raw}".format(**line)
        progress.update(rows, total=total, numbers=name)
        progress.advance(rows)
        say_without_bars(name)

    def show(seed: int, steps: int, mean: float) -> None:
        progress.update(seeds, completed=seed, numbers=f"{steps:,} steps  return {mean:.4g}")

    def tell(line: dict[str, Any]) -> None:
        done = line["generation"] + 1
        told = f"return {line['final_return']:.4g}  {line['train_seconds']:.1f} s of training"
        progress.update(seeds, completed=done, numbers=told)
        say_without_bars(f"  {done}/{num_seeds} seeds  {told}")

    return Watch(show, tell, say), tell_row, tell_error
