"""What ``synthenv oswm run`` shows on the terminal."""

from typing import Any

from synthenv.runs.display.terminal import START, bars, bracketed, counted, listing, say
from synthenv.runs.oswm.run import plot as oswm_plot
from synthenv.runs.oswm.run import run as oswm_run
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.oswm.run.setup import termination_of

_ABOUT = {
    "final_return": "at the end of training",
    "last_evaluations_return": "last {last} during training",
    "best_return": "best of {checkpoints} by {real} tests, played again",
    "untrained_control": "best of {untrained}, likewise",
    "random_return": "uniform actions",
    "dream_return": "at the end of training, in the dream",
}


def run(command: OswmRun) -> dict[str, Any]:
    """Train in dreams and test on the real task, as the command line says."""
    out = command.out
    assert out is not None
    with bars() as make_bar:
        bar = make_bar("seed", command.seeds, START)

        def begin() -> None:
            bar.show(START, f"{START}: it may take minutes until the first seed is done")

        def show(seed: int, steps: int, mean: float) -> None:
            bar.show(f"{steps:,} dreamt steps  return {mean:.4g}", completed=seed)

        def tell(line: dict[str, Any]) -> None:
            done = line["generation"] + 1
            told = f"return {line['final_return']:.4g}  {line['train_seconds']:.1f} s of training"
            bar.show(told, f"{done}/{counted(command.seeds, 'seed')}  {told}", completed=done)
            if termination_of(command) is None and not line["context_ends"]:
                say(f"seed {line['generation']}: no episode of its context ended, so none of its dream did")

        result = oswm_run.run(command, out, show, tell, say, begin)
    table(result, command)
    say(f"run: {out}   curves: {out / 'plots' / oswm_plot.FILE}")
    return result


def table(result: dict[str, Any], command: OswmRun) -> None:
    """Print returns, and the steps that they took."""
    steps = result["real_steps"]
    num_seeds = result["num_seeds"]
    measure = "return of one seed" if num_seeds == 1 else f"mean return over {num_seeds} seeds [95 % CI]"
    title = f"{command.agent} in dreams by {command.model}, tested on {result['tested_on']}: {measure}"
    words = {
        "checkpoints": counted(result["num_tests"], "checkpoint"),
        "untrained": counted(result["num_tests"], "untrained policy"),
        "last": counted(min(oswm_run.NUM_LAST, result["num_tests"]), "test"),
        "real": "real" if command.task else "dreamt",
    }
    rows = [
        (
            about.format(**words),
            bracketed(result, "return", "final_", ".4g")
            if key == "final_return"
            else bracketed(result, key, "", ".4g"),
        )
        for key, about in _ABOUT.items()
        if command.task or key != "dream_return"  # without a task everything is played in the dream
    ]
    listing(title, ("policy", "return"), rows)
    expert = f", {steps['expert']:,.0f} of its expert" if steps["expert"] else ""
    context = (
        "none for the context, which was logged"
        if command.context_file
        else f"{steps['context']:,.0f} of context"
    )
    took = f"{context}{expert}, {steps['evaluation']:,.0f} of tests during training"
    say(
        f"real steps per seed: {took if command.task else 'none'}; seconds per seed:"
        f" {result['encode_seconds']:.1f} to encode the context, {result['train_seconds']:.1f} to train"
    )
    by = (
        "where the world model said so"
        if termination_of(command) is None
        else "by the known rule of the task"
    )
    say(f"dreamt episodes ended {by}, or after {result['dream_steps']:,} steps")
