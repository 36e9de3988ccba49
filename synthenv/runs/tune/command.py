"""What ``synthenv tune`` shows on the terminal."""

from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.runs.display.terminal import bars, counted, listing, say
from synthenv.runs.tune.arguments import Tune
from synthenv.runs.tune.plan import make_plan


def tune(command: Tune) -> dict[str, Any]:
    """Carry out a study, show how it goes, and print the best configuration as a command."""
    try:
        from synthenv.runs.tune import study as studies
    except ModuleNotFoundError as error:
        if error.name not in ("optuna", "sqlalchemy"):
            raise
        raise UserError(f"tune needs Optuna ({error}): pip install 'synthenv[hpo]'") from None
    plan, out = make_plan(command), command.out
    assert out is not None
    with bars() as make_bar:
        bar = make_bar("trials", command.num_trials)
        running: dict[int, str] = {}

        def show(event: dict[str, Any]) -> None:
            number = event["trial"]
            if "generation" in event:
                running[number] = f"{number}: generation {event['generation']}, {event['value']:.1f}"
                bar.show("  ".join(running.values()))
                return
            running.pop(number, None)
            bar.show("  ".join(running.values()), completed=event["num_ended"])
            say(trial_line(event, command.num_trials))

        summary = studies.tune(plan, out, show, say)
    show_best(summary)
    _print_end(summary, out)
    return summary


def trial_line(event: dict[str, Any], num_trials: int) -> str:
    """Say in a line how a trial ended."""
    value = "" if event["value"] is None else f" with {event['value']:.1f}"
    why = f" ({event['reason']})" if event["state"] == "failed" else ""
    best = (
        f"  best {event['best_value']:.1f} (trial {event['best_trial']})"
        if event["best_value"] is not None
        else ""
    )
    return (
        f"{event['num_ended']}/{num_trials}  trial {event['trial']} {event['state']}{value}{why}"
        f" after {counted(event['generations'], 'generation')}{best}"
    )


def show_best(summary: dict[str, Any]) -> None:
    """Print the table of the best configuration."""
    best, shares = summary["best"], summary["importances"]
    title = f"best configuration: trial {best['trial']}, value {best['value']:.1f}"
    rows = []
    for path, value in best["params"].items():
        said = f"{value:.4g}" if isinstance(value, float) else str(value)
        share = next((shares[name] for name in shares if name.split(" ")[0] == path), None)
        rows.append((path, said, "" if share is None else f"{share:.0%}"))
    if shares:
        listing(title, ("parameter", "value", "importance"), rows)
    else:  # too few trials were completed to tell
        listing(title, ("parameter", "value"), [row[:2] for row in rows])


def _print_end(summary: dict[str, Any], out: Path) -> None:
    say(
        f"{counted(summary['completed'], 'trial')} completed, {summary['pruned']} pruned, {summary['failed']} failed;"
        f" {counted(summary['generations'], 'generation')}, {summary['seconds']:.0f} s of search"
    )
    say(f"trials: {out / 'trials.csv'}   pictures: {out / 'importance.png'}, {out / 'history.png'}")
    say("the best configuration again:")
    say(summary["best"]["command"])
