"""A search with an objective of a person's own: in a directory, with workers, and to be taken up again after anything.

    tuner = Tuner({"lr": (1e-4, 0.1, "log"), "model": ["small", "large"]}, objective, "asha", budget=60, num_steps=27)
    print(tuner.run()["best"])

config.json       what was asked
pool.json         the candidates; a trial goes by its place among them
selector.safetensors   what the selector has learnt from past runs, if it learns
history.jsonl     every decision and every score, see ``history.py``
trials/           a directory for each trial, see ``job.py``; of its jobs' directories only the newest is kept
trials.csv best.json progress.png result.json
"""

import contextlib
import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import to_json, write_atomic
from synthenv.core.registry import unknown
from synthenv.runs.select.run import job, record, tables
from synthenv.runs.select.run.processes import NO_GUARD, Here, Processes, carry_out_limited
from synthenv.runs.select.run.work import Terms, Work
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.locked_directory import RESULT
from synthenv.runs.storage.stored_config import CONFIG
from synthenv.selection.tables.columns import Column
from synthenv.selection.tuner import fitted as selectors
from synthenv.selection.tuner import objective as objectives
from synthenv.selection.tuner.fitted import Fitted
from synthenv.selection.tuner.jobs import Budget, Outcome
from synthenv.selection.tuner.objective import Call
from synthenv.selection.tuner.place import Place, name_of, not_portable
from synthenv.selection.tuner.pool import SIZE, Pool, make_pool
from synthenv.selection.tuner.search import Search

Show = Callable[[dict[str, Any]], None]


class Tuner:
    """A search that is ready to run.

        synthenv.Tuner({"lr": (1e-4, 0.1, "log")}, objective, budget=20, out="runs/mine").run()["best"]

    Args:
        space: what may be tried, see ``selection/tuner/pool.py``.
        objective: what is tried, see ``selection/tuner/objective.py``; a function, or its ``Place`` in a file.
        selector: how it is searched, a name of ``METHODS``. If it is not given, ``quick_tune_no_refit`` with past runs,
            else ``asha`` for several steps and ``random`` for one.
        budget: evaluations, or a ``Budget`` or mapping of evaluations, steps and seconds, over all workers together.
        out: the directory; a new one under runs/ if not given.
        num_steps: steps of a whole trial; those of the past runs if not given, else 1.
        data: past runs for a selector that learns: their directory, or a fitted file.
        meta_features: what is known of the data set at hand, by the names that the past runs have.
        pool_size: candidates to draw from the space.
        minimise: whether small scores are good.
        score_range: the least and the greatest score; another one is a crash. That of past runs if not given.
        trial_seconds: after which a trial is ended and counts as crashed, all its jobs together.
        num_workers: jobs at the same time.
        executor: who carries jobs out, a ``concurrent.futures.Executor``; processes of our own if not given.
        seed: the only source of randomness.
        resume: go on with the search in ``out``, or begin it if there is none.
        described: what else is to stand in ``config.json`` and may not differ when the search is taken up again.
        show: called with every end of a job.

    Raises:
        UserError: something makes no sense; the message says what to pass instead.
    """

    def __init__(
        self,
        space: Any,
        objective: Any,
        selector: str | None = None,
        budget: int | Mapping[str, float] | Budget | None = None,
        out: str | Path | None = None,
        *,
        num_steps: int | None = None,
        data: str | Path | None = None,
        meta_features: Mapping[str, float] | None = None,
        pool_size: int = SIZE,
        minimise: bool = False,
        score_range: tuple[float, float] | None = None,
        trial_seconds: float | None = None,
        num_workers: int = 1,
        executor: Executor | None = None,
        seed: int = 0,
        resume: bool = False,
        described: Mapping[str, Any] | None = None,
        show: Show = lambda event: None,
    ):
        self.space, self.objective, self.data, self.pool_size = space, objective, data, pool_size
        self.budget = Budget.of(budget)
        self.selector = selector or _selector(num_steps, data)
        self.num_steps, self.meta_features = num_steps, dict(meta_features or {})
        self.minimise, self.score_range, self.trial_seconds = minimise, score_range, trial_seconds
        self.num_workers, self.executor, self.seed = num_workers, executor, seed
        self.out, self.resume = None if out is None else Path(out), resume
        self.described, self.show = dict(described or {}), show
        self._check()

    def _check(self) -> None:
        if getattr(
            multiprocessing.current_process(), "_inheriting", False
        ):  # a worker that imports the script
            raise UserError(NO_GUARD)
        for name in ("num_workers", "num_steps", "pool_size"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UserError(f"{name} is {value!r}: pass a whole number from 1 on")
        if self.trial_seconds is not None and not self.trial_seconds > 0:
            raise UserError(f"trial_seconds is {self.trial_seconds!r}: pass a number above 0")
        if self.score_range is not None and not self.score_range[0] < self.score_range[1]:
            raise UserError(
                f"score_range is {self.score_range!r}: pass the least score and then the greatest"
            )
        self._trouble = "" if self.executor is not None else not_portable(self.objective)
        if self._trouble and (self.num_workers > 1 or self.trial_seconds is not None):
            raise UserError(
                f"the objective cannot be sent to a process ({self._trouble}): put it into a file of its own and import"
                " it, or search with one worker and without trial_seconds"
            )
        if self.resume and self.out is None:
            raise UserError("resume goes on with which search? Pass its directory as out")

    def run(self) -> dict[str, Any]:
        """Search until the budget is spent or nothing is left to try.

        Returns:
            the summary, as in ``result.json``: the best trial, how many there were of each kind, what was spent.

        Raises:
            UserError: the directory is not free, no trial came to a score, or a worker cannot begin.
            MachineError: the machine stopped it; the search can be resumed.
        """
        with self._directory() as out, locked_directory.locked(out):
            record.check_free(out, self.resume)
            search = self._open(out)
            with self._workers() as (executor, function):
                terms = Terms(self.objective, self.budget, self.num_workers, self.trial_seconds, self.show)
                work = Work(terms, out, search, executor, function)
                work.carry_out()
            return self._end(out, search, work)

    def _end(self, out: Path, search: Search, work: Work) -> dict[str, Any]:
        work.write(True)
        summary = tables.summary(search, out, work.clock())
        if summary["best"] is None:
            first = min(search.reasons, default=None)
            why = "" if first is None else f": trial {first} crashed, {search.reasons[first]}"
            raise UserError(f"no trial came to a score{why} (see {out / tables.TRIALS}): mend the objective")
        write_atomic(out / RESULT, to_json(summary, indent=2).encode())
        return summary

    def _directory(self) -> contextlib.AbstractContextManager[Path]:
        if self.out is None:
            return locked_directory.claimed(f"select-{self.selector}-seed{self.seed}")
        return contextlib.nullcontext(self.out)

    def _open(self, out: Path) -> Search:
        """The search of a directory as it stands, or a new one."""
        fitted = self._fitted(out)
        pool = self._pool(fitted.columns)
        num_steps = self.num_steps or fitted.num_steps or 1
        if fitted.num_steps and num_steps > fitted.num_steps:
            raise UserError(
                f"the past runs have {fitted.num_steps} steps, not {num_steps}: pass num_steps="
                f"{fitted.num_steps} or fewer"
            )
        objectives.check(self.objective, num_steps)
        described, score_range = self._described(fitted), self.score_range or fitted.score_range
        self._begin(out, pool, fitted, num_steps)
        return Search(
            pool,
            fitted.method.policy,
            fitted.params,
            num_steps,
            self.seed,
            None,
            self.minimise,
            score_range,
            described,
            fitted.num_steps or None,
        )

    def _fitted(self, out: Path) -> Fitted:
        file = out / record.SELECTOR
        source = file if (out / CONFIG).exists() and file.exists() else self.data
        return selectors.ready(self.selector, source, self.seed, self._pool)

    def _pool(self, columns: tuple[Column, ...]) -> Pool:
        return make_pool(self.space, self.pool_size, self.seed, columns or None)

    def _described(self, fitted: Fitted) -> np.ndarray:
        """The meta-features of the data set at hand, NaN where unknown. [K]"""
        for name in self.meta_features:
            if name not in fitted.meta_names:
                raise UserError(unknown("meta-feature", name, fitted.meta_names or ("none",)))
        return np.array([self.meta_features.get(name, np.nan) for name in fitted.meta_names], np.float32)

    def _begin(self, out: Path, pool: Pool, fitted: Fitted, num_steps: int) -> None:
        """Put on record what is asked, or hold it to what is on record; budgets and workers may change."""
        text = to_json(pool.configs, indent=1).encode()
        if not (out / CONFIG).exists():
            write_atomic(out / record.POOL, text)
            if fitted.params is not None:
                selectors.save(fitted, out / record.SELECTOR)
        fixed = {
            "selector": self.selector,
            "seed": self.seed,
            "num_steps": num_steps,
            "minimise": self.minimise,
            "score_range": self.score_range,
            "meta_features": self.meta_features,
            "objective": name_of(self.objective),
            "pool": hashlib.sha256(text).hexdigest()[:16],
            **self.described,
        }
        budget = {f"budget_{name}": value for name, value in self.budget._asdict().items()}
        record.hold(
            out, fixed, budget | {"num_workers": self.num_workers, "trial_seconds": self.trial_seconds}
        )

    @contextlib.contextmanager
    def _workers(self) -> Iterator[tuple[Any, Callable[[Call], Outcome]]]:
        """Who carries jobs out, and what they are told to do."""
        if self.executor is not None:
            yield self.executor, job.carry_out if self.trial_seconds is None else carry_out_limited
            return
        needs_script = getattr(self.objective, "__module__", "__main__") == "__main__" and not isinstance(
            self.objective, Place
        )
        executor = Here() if self._trouble else Processes(self.num_workers, needs_script)
        try:
            yield executor, job.carry_out
        finally:
            executor.shutdown()


def _selector(num_steps: int | None, data: Any) -> str:
    if data is not None:
        return "quick_tune_no_refit"
    return "random" if num_steps in (None, 1) else "asha"
