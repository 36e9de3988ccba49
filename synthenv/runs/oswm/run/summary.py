"""The result of an ``oswm run``, from the lines of its seeds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.storage.metrics import column

# The returns stand in the order in which they are to be read: what one gets, what luck and knowing the real task would
# add, and what there is without any learning.
RETURNS = (
    "final_return",
    "last_evaluations_return",
    "best_return",
    "untrained_control",
    "random_return",
)
_COSTS = ("encode_seconds", "train_seconds", "train_steps")


def summarise(name: str, real: bool, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the result of a run.

    Args:
        name: name of the task, or of the file that the context is from.
        real: whether the tests were on the real task, or in the dream for want of one.
        lines: lines of ``metrics.jsonl``, one a seed.

    Returns:
        means over seeds, and each seed's own numbers in ``per_seed``:

        final_return, ci95_return: return of the policy at the end of training; 95 % bootstrap interval over seeds.
        last_evaluations_return: mean of the last ten tests during training.
        best_return: return of the policy that did best in a test during training, played again.
        untrained_control: the same of the best of as many untrained policies.
        random_return: return of uniform actions.
        dream_return: return of the policy at the end of training, in the dream.
        real_steps: context, expert (trained for the context), evaluation (tests during training) and their total;
            measurement is what the numbers of this report took in addition, which no policy depends on.
        one_step_error: error of the world model, as shares of the variance, over the seeds where it could be measured;
            None if there are none, as without a task.
        num_tests: tests during training, which may be fewer than were asked for.
    """
    returns = (*RETURNS, "dream_return")
    per_seed = {key: [line[key] for line in lines] for key in (*returns, *_COSTS)}
    means = _means(lines, per_seed)
    intervals = {f"ci95_{key}": bootstrap_interval(column(lines, key)) for key in returns}
    ci95_return = intervals.pop("ci95_final_return")
    steps = [line["real_steps"] for line in lines]
    errors = [line["one_step_error"] for line in lines]
    measured = [error for error in errors if error is not None]
    return {
        "tested_on": name if real else f"the dream of {name}",
        "final_return": means.pop("final_return"),
        "ci95_return": ci95_return,
        **means,
        **intervals,
        "real_steps": _means(steps, steps[0]),
        "one_step_error": _means(measured, measured[0]) if measured else None,
        "num_seeds": len(lines),
        "num_tests": max(len(line.get("curve", {}).get("steps", ())) for line in lines),
        "per_seed": {**per_seed, "real_steps": steps, "one_step_error": errors},
    }


def _means(rows: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> dict[str, float]:
    """Average each key over the rows."""
    return {key: float(column(rows, key).mean()) for key in keys}
