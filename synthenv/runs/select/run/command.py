"""What ``synthenv select run`` shows on the terminal."""

from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.runs.display.terminal import bars, counted, listing, say
from synthenv.runs.select.run.arguments import SelectRun
from synthenv.runs.select.run.tuner import Tuner
from synthenv.selection.tuner.jobs import Budget
from synthenv.selection.tuner.place import load_named, parse_place
from synthenv.selection.tuner.pool import read_any_space


def run(command: SelectRun) -> dict[str, Any]:
    """Carry out a search, show how it goes, and what it has found."""
    out = command.out
    assert out is not None
    with bars() as make_bar:
        bar = make_bar("search", _total(command)[1])

        def show(event: dict[str, Any]) -> None:
            best = event["best_score"]
            numbers = "" if best is None else f"best {best:.4g} (trial {event['best_trial']})"
            name, total = _total(command)
            done = event[name] if total is None else min(event[name], total)
            bar.show(numbers, f"{trial_line(event)}  {numbers}", completed=round(done))

        summary = _tuner(command, out, show).run()
    best = summary["best"]
    evaluations, steps = counted(summary["evaluations"], "evaluation"), counted(summary["steps"], "step")
    say(
        f"{summary['finished']} trials finished, {summary['paused']} paused, {summary['crashed']} crashed;"
        f" {evaluations}, {steps}, {summary['seconds']:.0f} s"
    )
    rows = [(name, f"{x:.4g}" if isinstance(x, float) else str(x)) for name, x in best["config"].items()]
    say(f"the best is trial {best['trial']}, with {best['score']:.6g} after step {best['step']}:")
    listing("", ("parameter", "value"), rows)
    say(f"trials: {out / 'trials.csv'}   picture: {out / 'progress.png'}")
    return summary


def trial_line(event: dict[str, Any]) -> str:
    """How a job ended, in a line."""
    score = "" if event["score"] is None else f" with {event['score']:.4g}"
    why = f" ({event['reason']})" if event["reason"] else ""
    return f"trial {event['trial']} {event['state']}{score} after {counted(event['steps'], 'step')}{why}"


def _total(command: SelectRun) -> tuple[str, int | None]:
    """What the bar counts, and up to what."""
    if command.budget_evaluations is not None:
        return "evaluations", command.budget_evaluations
    if command.budget_steps is not None:
        return "total_steps", command.budget_steps
    assert command.budget_seconds is not None
    return "seconds", round(command.budget_seconds)


def _tuner(command: SelectRun, out: Path, show: Any) -> Tuner:
    place = parse_place(command.objective)
    described = {"space": str(command.space.resolve()), "data": command.data and str(command.data.resolve())}
    described |= {"pool_size": command.pool_size}
    return Tuner(
        _space(command.space),
        place,
        command.selector,
        Budget(command.budget_evaluations, command.budget_steps, command.budget_seconds),
        out,
        num_steps=command.num_steps,
        data=command.data,
        meta_features=command.described(),
        pool_size=command.pool_size,
        minimise=command.minimise,
        score_range=command.score_range,
        trial_seconds=command.trial_seconds,
        num_workers=command.num_workers,
        seed=command.common.seed,
        resume=command.resume,
        described=described,
        show=show,
    )


def _space(path: Path) -> Any:
    """What a file says that may be tried.

    Raises:
        UserError: the file is not there, or has no space.
    """
    if path.suffix == ".json":
        return read_any_space(path)
    if path.suffix != ".py":
        raise UserError(
            f"--space {path} is neither JSON nor Python: pass a file whose name ends with .json or .py"
        )
    return load_named(path.resolve(), "space")
