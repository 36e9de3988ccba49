"""What ``synthenv select simulate`` shows on the terminal."""

from typing import Any

from synthenv.runs.display.terminal import Bar, bars, counted, listing, say
from synthenv.runs.select.simulate import run
from synthenv.runs.select.simulate.arguments import SelectSimulate
from synthenv.runs.select.simulate.plot import regret_plot


def simulate(command: SelectSimulate) -> dict[str, Any]:
    """Replay searches, show how far they are, and what they came to."""
    out = command.out
    assert out is not None
    with bars() as make_bar:
        shown: dict[str, Bar] = {}

        def tell(method: str, done: int, total: int) -> None:
            if method not in shown:
                shown[method] = make_bar(method, total)
            line = f"{method}: {done} of {counted(total, 'piece')} of its searches done"
            shown[method].show("", line if done % max(total // 5, 1) == 0 else None, completed=done + 1)

        results = run.carry_out(command, tell)
    regret_plot(results, out / "regret.png")
    listing(
        f"normalised regret on {results['num_datasets']} data sets [95 % CI over them]",
        ("method", *(f"{hour:g} h" for hour in command.hours), "CPU ms a step"),
        [
            (
                name,
                *map(_bracketed, row["regret"], row["ci95_regret"]),
                f"{1e3 * row['cpu_seconds_per_step']:.2f}",
            )
            for name, row in results["methods"].items()
        ],
    )
    say(f"every search: {out / 'regret.csv'}   picture: {out / 'regret.png'}")
    return results


def _bracketed(mean: float, interval: list[float]) -> str:
    return f"{mean:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
