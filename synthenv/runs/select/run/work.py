"""A search at work: jobs go out to workers, and what comes back is put on record before anything follows from it."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, NamedTuple

from synthenv.core.errors import MachineError, UserError
from synthenv.core.files import to_json, write_atomic
from synthenv.runs.select.run import history, job, tables
from synthenv.runs.select.run.plot import write_progress
from synthenv.selection.tuner.jobs import Budget, Job, Outcome
from synthenv.selection.tuner.objective import Call
from synthenv.selection.tuner.search import Search

BEST, PROGRESS = "best.json", "progress.png"
_POLL_SECONDS = 0.2  # of futures that concurrent.futures does not know
_PICTURE_SECONDS = 60.0  # between two pictures, at least


class Terms(NamedTuple):
    """What is agreed on with those who work.

    Attributes:
        objective: what is tried.
        budget: how far the search goes.
        num_workers: jobs at the same time.
        trial_seconds: after which a trial is ended; None for no limit.
        show: called with every end of a job.
    """

    objective: Any
    budget: Budget
    num_workers: int
    trial_seconds: float | None
    show: Callable[[dict[str, Any]], None]


class Work:
    """A search at work.

    Args:
        terms: what is agreed on.
        out: the directory, which is locked.
        search: a new one; what its history says is asked and told again.
        executor: who carries jobs out.
        function: how: ``job.carry_out``, or the like.
    """

    def __init__(
        self, terms: Terms, out: Path, search: Search, executor: Any, function: Callable[[Call], Outcome]
    ):
        self._terms, self._out, self._search = terms, out, search
        self._executor, self._function = executor, function
        self._pending: dict[Any, Job] = {}
        self._spent: dict[int, float] = {}  # seconds by candidate
        self.found: list[tuple[float, float]] = []  # clock and best score, when it changed
        self._pictured = time.monotonic()
        lines = history.read(out)
        history.replay(search, lines, out)
        self._offset = max((line["clock"] for line in lines), default=0.0)
        self._begin = time.monotonic()
        search.budget = terms.budget
        for line in lines:
            if line["event"] == "end":
                self._note(line["candidate"], history.outcome_of(line), line["clock"])

    def clock(self) -> float:
        """Seconds of search, those before it was taken up again among them."""
        return self._offset + time.monotonic() - self._begin

    def carry_out(self) -> None:
        """Keep the workers busy until there is nothing to do."""
        for interrupted in sorted(self._search.running.values()):
            self._submit(interrupted)
        while True:
            for _ in range(self._terms.num_workers - len(self._pending)):
                self._ask()
            if not self._pending:
                return
            for future in sorted(_done(self._pending), key=lambda future: self._pending[future]):
                self._hear(future)
            self.write(False)

    def write(self, is_last: bool) -> None:
        """Write what a person reads; the picture now and then."""
        tables.write_trials(self._search, self._out)
        if is_last or time.monotonic() - self._pictured > _PICTURE_SECONDS:
            write_progress(self._search, self.found, self.clock(), self._out / PROGRESS)
            self._pictured = time.monotonic()

    def _ask(self) -> None:
        clock, decisions = self.clock(), self._search.num_decisions
        if (asked := self._search.ask(clock)) is not None:
            history.append(self._out, history.begun(asked, clock))
            self._submit(asked)
        elif self._search.num_decisions > decisions:
            history.append(self._out, history.waited(clock))

    def _submit(self, asked: Job) -> None:
        search, limit = self._search, self._terms.trial_seconds
        previous = tables.directory_of(self._out, asked.candidate, asked.first) if asked.first else None
        call = Call(
            self._terms.objective,
            search.pool.configs[asked.candidate],
            asked.first,
            asked.last,
            str(tables.directory_of(self._out, asked.candidate, asked.last)),
            None if previous is None else str(previous),
            search.score_range,
            None if limit is None else max(limit - self._spent.get(asked.candidate, 0.0), 1e-3),
        )
        self._pending[self._executor.submit(self._function, call)] = asked

    def _hear(self, future: Any) -> None:
        ended = self._pending.pop(future)
        try:
            outcome: Outcome = future.result()
        except UserError:
            raise
        except Exception as error:
            raise MachineError(
                f"a worker failed ({type(error).__name__}: {error}): see to it, and go on by resuming the search"
            ) from error
        clock, before = self.clock(), self._search.best()
        history.append(self._out, history.ended(ended, outcome, clock))
        self._search.tell(ended, outcome)
        self._note(ended.candidate, outcome, clock)
        if self._search.best() != before:
            write_atomic(
                self._out / BEST, to_json(tables.best_of(self._search, self._out), indent=2).encode()
            )
        if ended.first and not outcome.reason:
            job.remove_directory(tables.directory_of(self._out, ended.candidate, ended.first))
        self._terms.show(self._event(ended, outcome, clock))

    def _note(self, candidate: int, outcome: Outcome, clock: float) -> None:
        self._spent[candidate] = self._spent.get(candidate, 0.0) + outcome.wall_seconds
        for score in outcome.scores:
            sign = -1.0 if self._search.minimise else 1.0
            if score == score and (not self.found or sign * score > sign * self.found[-1][1]):
                self.found.append((clock, score))

    def _event(self, ended: Job, outcome: Outcome, clock: float) -> dict[str, Any]:
        search, best = self._search, self._search.best()
        return {
            "trial": ended.candidate,
            "state": search.state_of(ended.candidate),
            "steps": int(search.steps[ended.candidate]),
            "score": next((score for score in reversed(outcome.scores) if score == score), None),
            "reason": outcome.reason,
            "evaluations": search.num_jobs - len(search.running),
            "total_steps": int(search.steps.sum()),
            "seconds": clock,
            "best_score": None if best is None else best.score,
            "best_trial": None if best is None else best.candidate,
        }


def _done(futures: Iterable[Any]) -> list[Any]:
    """Those that are over, once there are any; of concurrent.futures, or anything with ``done`` and ``result``."""
    futures = list(futures)
    if all(isinstance(future, Future) for future in futures):
        return list(wait(futures, return_when=FIRST_COMPLETED).done)
    while not (over := [future for future in futures if future.done()]):
        time.sleep(_POLL_SECONDS)
    return over
