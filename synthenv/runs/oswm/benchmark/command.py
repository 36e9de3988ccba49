"""What ``synthenv oswm benchmark`` shows on the terminal: progress row by row, then the tables."""

from collections.abc import Callable
from typing import Any

from synthenv.runs.display.terminal import START, Bar, bars, counted, listing, say
from synthenv.runs.oswm.benchmark import run as benchmark
from synthenv.runs.oswm.benchmark import tables as benchmark_report
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark, Row
from synthenv.runs.oswm.benchmark.table_rows import Watch


def benchmark_with_bars(command: OswmBenchmark) -> dict[str, Any]:
    """Run the benchmark, and show how it goes and what its results are."""
    out = command.out
    assert out is not None
    with bars() as make_bar:
        results = benchmark.run(command, out, *_watched(make_bar, command.seeds))
    for table, by_task in results["tables"].items():
        say(f"\n{benchmark_report.TITLES[table]}", style="bold")
        for task, head, lines in benchmark_report.listings(table, by_task, between="\n"):
            listing(task, head, lines)
    if not results.get("contexts_shared", True):
        say("rows of one table were shown different contexts: were machines changed?", style="yellow")
    tables = ", ".join(f"table{table}.md .csv .png" for table in results["tables"])
    say(f"benchmark: {out / benchmark.RESULTS}   beside it: {tables}")
    return results


def _watched(make_bar: Callable[..., Bar], num_seeds: int) -> tuple[Watch, Any, Any]:
    """Make bars of the rows of a table and of the seeds of a row; without a terminal there is a line per row."""
    rows, seeds = make_bar("row", None, ""), make_bar("seed", num_seeds, "")

    def tell_row(table: str, row: Row, done: int, total: int) -> None:
        name = f"table {table}: {row.task}, {row.method}{f', {row.strategy} context' if row.strategy else ''}"
        rows.show(name, f"row {done + 1}/{total} of {name}", completed=done, total=total)
        seeds.show(START, completed=0)

    def tell_error(line: dict[str, Any], total: int) -> None:
        name = "table 3: {task}, {model}, {strategy} context {context}: {raw}".format(**line)
        rows.show(name, name, total=total, advance=1)

    def show(seed: int, steps: int, mean: float) -> None:
        seeds.show(f"{steps:,} steps  return {mean:.4g}", completed=seed)

    def tell(line: dict[str, Any]) -> None:
        done = line["generation"] + 1
        told = f"return {line['final_return']:.4g}  {line['train_seconds']:.1f} s of training"
        seeds.show(told, f"  {done}/{counted(num_seeds, 'seed')}  {told}", completed=done)

    return Watch(show, tell, say), tell_row, tell_error
