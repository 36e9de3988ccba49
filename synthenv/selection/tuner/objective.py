"""An objective of a person's own, and what it says, as scores of steps. Imports nothing heavy: workers begin with it.

An objective is a function of a configuration, a dict. It may be one of three kinds:

    def objective(config): return score                         # a whole trial, or with last_step: up to that step

    def objective(config):                                      # a curve: one score after each step
        for epoch in range(27): yield score

    def objective(config, step, directory): return score        # the same, called for each step; from 1 on

A score is a number, or a dict with ``score``, and if it likes ``cost`` (seconds that count instead of those that it
took) and ``status`` (False: it failed, for the ``reason`` given). What else it wants to know it names as an argument:

    directory             where this job may write
    previous_directory    where the job before wrote, which ended at first_step; None in a trial's first job
    first_step            steps that the trial has already
    last_step             steps that it is to have at the end of this job

A list of scores counts as if they were yielded. Of an objective that yields and names neither ``first_step`` nor
``previous_directory`` the steps that a trial has already are repeated, and their scores thrown away. An exception, a
None, NaN, infinity or a score out of its range is a crash.
"""

import contextlib
import inspect
import math
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from synthenv.core.errors import UserError
from synthenv.selection.tuner.place import load

ASKED_FOR = ("step", "directory", "previous_directory", "first_step", "last_step")
Report = Callable[[float, float], None]  # a score and the seconds of its step


class Call(NamedTuple):
    """A job as a worker sees it.

    Attributes:
        objective: the function, or where it is.
        config: of the trial.
        first: steps that it has already.
        last: steps that it is to have.
        directory: where the job may write.
        previous: where the job before wrote.
        score_range: the least and the greatest score.
        limit: seconds after which it is ended.
    """

    objective: Any
    config: dict[str, Any]
    first: int
    last: int
    directory: str
    previous: str | None = None
    score_range: tuple[float, float] | None = None
    limit: float | None = None


class Crash(Exception):
    """Why an objective's answer counts as a crash."""


def check(objective: Any, num_steps: int) -> None:
    """See that an objective can do what is going to be asked of it.

    Raises:
        UserError: it is no function, takes no configuration, or cannot stop at a step of several.
    """
    function = load(objective)
    if not callable(function):
        raise UserError(f"the objective is a {type(function).__name__}: pass a function of a configuration")
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of a built-in one
        return
    called = getattr(function, "__name__", "the objective")
    by_place = [
        p
        for p in parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if not by_place:
        raise UserError(f"{called} takes no configuration: give it an argument, {called}(config)")
    for parameter in list(parameters.values())[1:]:
        is_needed = parameter.default is parameter.empty and parameter.kind not in (2, 4)
        if is_needed and parameter.name not in ASKED_FOR:
            raise UserError(
                f"{called} has an argument {parameter.name}, which nobody passes: known ones are {', '.join(ASKED_FOR)}"
            )
    yields = inspect.isgeneratorfunction(inspect.unwrap(function))
    if yields and num_steps == 1:
        raise UserError(f"{called} yields scores step by step: pass num_steps, the steps of a whole trial")
    if num_steps > 1 and not yields and not {"step", "first_step", "last_step"} & set(parameters):
        raise UserError(
            f"{called} cannot stop at a step of {num_steps}: let it yield a score after each, or take last_step or"
            " step as an argument"
        )


def evaluate(call: Call, report: Report) -> tuple[str, bool]:
    """Carry out a job.

    Args:
        call: the job.
        report: told the score of each of its steps in turn; NaN for steps on the way of which nothing is said.

    Returns:
        the reason of a crash, or nothing, and whether the trial is over before the job's last step.
    """
    num = 0
    try:
        answers = _answers(call)
        with contextlib.closing(answers):
            begin = time.monotonic()
            for answer in answers:
                score, cost = _read(answer, call.score_range)
                seconds = time.monotonic() - begin if cost is None else cost
                skipped = call.last - call.first - 1 if isinstance(answer, _Whole) else 0
                for _ in range(skipped):
                    report(math.nan, seconds / (skipped + 1))
                report(score, seconds / (skipped + 1))
                num, begin = num + 1 + skipped, time.monotonic()
                if num == call.last - call.first:
                    return "", False
    except Crash as crash:
        return str(crash), False
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return _line(f"{type(error).__name__}: {error}"), False
    if call.first + num == 0:
        return "it yielded no score", False
    return "", True


class _Whole(NamedTuple):
    """The one answer to a job of any number of steps."""

    said: Any


def _answers(call: Call) -> Generator[Any, None, None]:
    """What the objective says of each step of a job."""
    function, known = load(call.objective), _known(call)
    wanted = _wanted(function)
    if "step" in wanted:
        previous = known["previous_directory"]
        for step in range(call.first + 1, call.last + 1):
            words = known | {"step": step, "previous_directory": previous}
            yield function(dict(call.config), **{name: words[name] for name in wanted})
            previous = known["directory"]
        return
    said = function(dict(call.config), **{name: known[name] for name in wanted})
    if isinstance(said, list | tuple) or inspect.isgenerator(said):
        with contextlib.closing(said) if inspect.isgenerator(said) else contextlib.nullcontext():
            goes_on = {"first_step", "previous_directory"} & set(wanted)
            for i, answer in enumerate(said):
                if goes_on or i >= call.first:
                    yield answer
    elif call.last - call.first == 1 or "last_step" in wanted:
        yield _Whole(said)
    else:
        raise Crash(f"it returned one score for {call.last - call.first} steps: take last_step, or yield")


def _known(call: Call) -> dict[str, Any]:
    previous = None if call.previous is None else Path(call.previous)
    directory = Path(call.directory)
    return {
        "directory": directory,
        "previous_directory": previous,
        "first_step": call.first,
        "last_step": call.last,
    }


def _wanted(function: Callable[..., Any]) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)[1:]
    except (TypeError, ValueError):
        return []
    return [name for name in names if name in ASKED_FOR]


def _read(answer: Any, score_range: tuple[float, float] | None) -> tuple[float, float | None]:
    """The score, and the cost if one was said."""
    said, cost = answer.said if isinstance(answer, _Whole) else answer, None
    if isinstance(said, Mapping):
        if not said.get("status", True):
            raise Crash(_line(str(said.get("reason") or said.get("info") or "it says that it failed")))
        if "score" not in said:
            raise Crash(f"it returned a dict without a score, with {', '.join(map(str, said)) or 'nothing'}")
        cost = None if said.get("cost") is None else _number(said["cost"], "cost")
        said = said["score"]
    score = _number(said, "score")
    if not math.isfinite(score):
        raise Crash(f"its score is {score}")
    if score_range is not None and not score_range[0] <= score <= score_range[1]:
        raise Crash(f"its score {score:g} lies outside of {score_range[0]:g} to {score_range[1]:g}")
    if cost is not None and not 0 <= cost < math.inf:
        raise Crash(f"its cost {cost:g} is no number of seconds")
    return score, cost


def _number(said: Any, what: str) -> float:
    if said is None:
        raise Crash(f"its {what} is None: return a number")
    if isinstance(said, str | bytes | bool):
        raise Crash(_line(f"its {what} is {said!r}, which is no number"))
    try:
        return float(said)
    except (TypeError, ValueError):
        raise Crash(_line(f"its {what} is of type {type(said).__name__}, which is no number")) from None


def _line(text: str) -> str:
    """The first line, of a decent length."""
    first = (text.strip().splitlines() or ["?"])[0]
    return first if len(first) <= 300 else f"{first[:297]}..."
