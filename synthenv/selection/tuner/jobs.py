"""What a search asks for, what it is told, and how far it goes. Imports nothing heavy: workers need it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from synthenv.core.errors import UserError


class Budget(NamedTuple):
    """How far a search goes, over all workers together; None is no limit.

    Attributes:
        evaluations: jobs, those that crashed among them.
        steps: steps of all trials together; the last jobs may go beyond.
        seconds: after which no job is begun any more.
    """

    evaluations: int | None = None
    steps: int | None = None
    seconds: float | None = None

    @staticmethod
    def of(said: Any) -> "Budget":
        """What was said as a budget: one, a mapping of its names to numbers, or a number of evaluations.

        Raises:
            UserError: it is none.
        """
        if isinstance(said, Mapping):
            if wrong := set(said) - set(Budget._fields):
                known = ", ".join(Budget._fields)
                raise UserError(f"there is no budget of {min(wrong)}: pass a number of {known}")
            said = Budget(**said)
        budget = said if isinstance(said, Budget) else Budget(said)
        budget.check()
        return budget

    def check(self) -> None:
        """Refuse a budget that allows nothing, or everything.

        Raises:
            UserError: naming the number.
        """
        for name, value in self._asdict().items():
            if value is None:
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not value > 0 or (name != "seconds" and value != int(value)):
                raise UserError(f"a budget of {value!r} {name} is none: pass a number above 0")
        if all(value is None for value in self):
            raise UserError("a search needs an end: pass a budget of evaluations, steps or seconds")


class Job(NamedTuple):
    """Train a candidate from ``first`` steps, which it has already, to ``last``.

    Attributes:
        number: of the job, from 0 on.
        candidate: its place in the pool.
        first: steps before.
        last: steps afterwards.
    """

    number: int
    candidate: int
    first: int
    last: int


class Outcome(NamedTuple):
    """What came of a job.

    Attributes:
        scores: after each of its steps, as the objective said them; NaN where it said none on the way.
        seconds: of each of these steps, or what the objective said that they cost.
        reason: why the trial crashed, or nothing. Its scores before that count.
        ended: whether the trial is over before its last step.
        wall_seconds: of the job as a whole.
    """

    scores: tuple[float, ...]
    seconds: tuple[float, ...]
    reason: str = ""
    ended: bool = False
    wall_seconds: float = 0.0
