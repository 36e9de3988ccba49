"""What ``synthenv oswm benchmark`` shows on the terminal: progress row by row, then the tables."""

from typing import Any

from rich.progress import Progress

from synthenv.runs import benchmark, benchmark_report
from synthenv.runs.benchmark_arguments import OswmBenchmark
from synthenv.runs.benchmark_rows import Row, Watch
from synthenv.runs.commands import new_directory
from synthenv.runs.tables import COLUMNS, console, listing

START = "collecting, encoding, compiling"


def benchmark_with_bars(command: OswmBenchmark) -> dict[str, Any]:
    """Run the benchmark, show how it goes and what came of it."""
    out = command.out or new_directory(f"oswm-benchmark-{command.preset}-seed{command.common.seed}")
    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as progress:
        results = benchmark.run(command, out, *_watched(progress, command.seeds))
    for table, by_task in results["tables"].items():
        console.print(f"\n[bold]{benchmark_report.TITLES[table]}[/]", soft_wrap=True)
        for task, head, lines in benchmark_report.listings(table, by_task, between="\n"):
            listing(task, head, lines)
    if not results.get("contexts_shared", True):
        console.print("[yellow]rows of one table were shown different contexts: were machines changed?[/]")
    tables = ", ".join(f"table{table}.md .csv .png" for table in results["tables"])
    console.print(f"benchmark: {out / benchmark.RESULTS}   beside it: {tables}", soft_wrap=True)
    return results


def _watched(progress: Progress, num_seeds: int) -> tuple[Watch, Any, Any]:
    """Bars of the rows of a table and of the seeds of a row; a line per row where there is no terminal."""
    rows = progress.add_task("row", total=None, numbers="")
    seeds = progress.add_task("seed", total=num_seeds, numbers="")

    def say(line: str) -> None:
        if not console.is_terminal:
            console.print(line, soft_wrap=True, highlight=False)

    def tell_row(table: str, row: Row, done: int, total: int) -> None:
        name = f"table {table}: {row.task}, {row.method}{f', {row.strategy} context' if row.strategy else ''}"
        progress.update(rows, completed=done, total=total, numbers=name)
        progress.update(seeds, completed=0, numbers=START)
        say(f"row {done + 1}/{total} of {name}")

    def tell_error(line: dict[str, Any], total: int) -> None:
        name = "table 3: {task}, {model}, {strategy} context {context}: {raw}".format(**line)
        progress.update(rows, total=total, numbers=name)
        progress.advance(rows)
        say(name)

    def show(seed: int, steps: int, mean: float) -> None:
        progress.update(seeds, completed=seed, numbers=f"{steps:,} steps  return {mean:.4g}")

    def tell(line: dict[str, Any]) -> None:
        done = line["generation"] + 1
        told = f"return {line['final_return']:.4g}  {line['train_seconds']:.1f} s of training"
        progress.update(seeds, completed=done, numbers=told)
        say(f"  {done}/{num_seeds} seeds  {told}")

    return Watch(show, tell, progress.console.print), tell_row, tell_error
