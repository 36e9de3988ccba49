"""Baselines of dreams: PPO trained on the real task, and policies that learn nothing.

Run directories, keys and tests are those of ``oswm.run``: a row of a benchmark is read alike wherever its policy
came from.
"""

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.types import EvalResult
from synthenv.runs.oswm.run.presets import dreaming_agent
from synthenv.runs.oswm.run.real_tasks import PolicyAct, real_task
from synthenv.runs.oswm.run.run import NUM_LAST, Show, judge, save_policy, work_off
from synthenv.runs.oswm.run.summary import RETURNS, summarise
from synthenv.runs.oswm.run.training import Trainer, keys_of_seed, learn, pick_untrained, random_act, zero_act
from synthenv.runs.storage.run_directory import RunDir

_FIXED = {"random": random_act, "zero": zero_act}


@dataclass(frozen=True)
class RealRun:
    """What to do.

    Attributes:
        task: its id.
        policy: the policy that is judged; random and zero learn nothing.
        max_steps: real training steps of PPO; 0 for the others.
        seeds: independent runs.
        evaluations: tests during training, the last one at its end.
        eval_episodes: episodes of each of these.
        test_episodes: episodes that policies are judged by.
        seed: the only source of randomness.
    """

    task: str
    policy: Literal["ppo", "random", "zero"]
    max_steps: int
    seeds: int
    evaluations: int
    eval_episodes: int
    test_episodes: int
    seed: int

    def asked(self) -> dict[str, Any]:
        """Everything that decides the outcome, as config.json keeps it."""
        return {"command": "oswm benchmark, real task", **asdict(self)}


class RealPlace:
    """What all seeds share: the task, the compiled agents, random actions.

    Raises:
        UserError: there is no such task, or no compiled loop can step it and PPO is to be trained there.
    """

    def __init__(self, asked: RealRun):
        self.asked, self.task = asked, real_task(asked.task)
        self.random = random_act(self.task.actions)
        self.trainer: Trainer | None = None
        if asked.policy == "ppo":
            if self.task.spec is None:
                raise UserError(f"PPO cannot train on {asked.task}: no compiled loop can step it")
            agent = dreaming_agent("ppo", asked.task, asked.max_steps)
            self.trainer = Trainer(agent, self.task.spec.env, self.task.spec.env_params)


def run_seed(place: RealPlace, seed: int, show: Show) -> tuple[dict[str, Any], Any]:
    """Do everything that one seed does; return its line and the final policy's params, None if it has none."""
    if place.trainer is None:
        return fixed_line(place, seed), None
    return trained_line(place, place.trainer, seed, show)


def trained_line(place: RealPlace, trainer: Trainer, seed: int, show: Show) -> tuple[dict[str, Any], Any]:
    """Train PPO on the real task, as ``oswm.run.run.run_seed`` trains it in a dream."""
    asked, task = place.asked, place.task
    assert task.spec is not None
    keys = keys_of_seed(asked.seed, seed)
    env_params = task.spec.env_params

    def test(key: jax.Array, params: Any) -> EvalResult:
        return task.play(key, trainer.act, params, asked.eval_episodes)

    told = functools.partial(show, seed)
    learned = learn(trainer, keys.train, keys.tests, env_params, test, asked.evaluations, told)
    num_tests = len(learned.steps)
    untrained = pick_untrained(trainer, keys.untrained, keys.tests, env_params, test, num_tests)

    def play(act: PolicyAct, params: Any) -> EvalResult:
        return task.play(keys.judge, act, params, asked.test_episodes)

    judged = judge(play, trainer.act, place.random, learned, untrained)
    num_steps, evaluation = int(learned.steps[-1]), learned.picked.num_real_steps
    line = _line(
        seed,
        {name: float(np.mean(result.returns)) for name, result in judged.items()}
        | {"last_evaluations_return": float(np.mean(learned.picked.returns[-NUM_LAST:]))},
        training=num_steps,
        evaluation=evaluation,
        measurement=sum(int(np.sum(result.lengths)) for result in judged.values()) + untrained.num_real_steps,
    )
    curve = {"steps": learned.steps, "returns": learned.picked.returns}
    return line | {"train_steps": num_steps, "train_seconds": learned.seconds, "curve": curve}, learned.params


def fixed_line(place: RealPlace, seed: int) -> dict[str, Any]:
    """Play a policy that learns nothing, from the starts that the others are judged from."""
    asked, task = place.asked, place.task
    key = keys_of_seed(asked.seed, seed).judge
    result = task.play(key, _FIXED[asked.policy](task.actions), None, asked.test_episodes)
    returns = {"final_return": float(np.mean(result.returns))}
    return _line(seed, returns, training=0, evaluation=0, measurement=int(np.sum(result.lengths)))


def _line(
    seed: int, returns: dict[str, float], training: int, evaluation: int, measurement: int
) -> dict[str, Any]:
    """Return a line of ``metrics.jsonl`` with the same fields as those of dreams; missing returns are null."""
    return {
        "generation": seed,
        **dict.fromkeys((*RETURNS, "dream_return")),
        **returns,
        "one_step_error": None,
        "real_steps": {
            "context": 0,
            "expert": 0,
            "training": training,
            "evaluation": evaluation,
            "total": training + evaluation,
            "measurement": measurement,
        },
        "train_steps": 0,
        "encode_seconds": 0.0,
        "train_seconds": 0.0,
    }


def run(
    asked: RealRun,
    out: Path,
    resume: bool = False,
    show: Show = lambda seed, steps, mean: None,
    tell: Callable[[dict[str, Any]], None] = lambda line: None,
    notify: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Do all seeds that have no line yet.

    Args:
        asked: what to do.
        out: the run directory.
        resume: go on with an unfinished run.
        show: called after every test.
        tell: called with the line of every seed that is done.
        notify: called with a line about anything the user should know.

    Returns:
        the result, see ``summary.summarise``.

    Raises:
        UserError: as ``RealPlace`` and ``RunDir.create``, or the disk is full.
    """
    place = RealPlace(asked)
    config = asked.asked() | ({"learner": place.trainer.config.stored()} if place.trainer else {})
    with RunDir.create(out, config, resume, leaves_proxy=False) as run_dir:
        for note in run_dir.notes:
            notify(note)

        def line_of(seed: int) -> dict[str, Any]:
            line, policy = run_seed(place, seed, show)
            if policy is not None:
                save_policy(run_dir.path, seed, policy, config)
            return line

        lines = work_off(run_dir, asked.seeds, line_of, tell)
        result = summarise(asked.task, real=True, lines=lines) | {"out": str(out)}
        run_dir.save_result(result)
    return result
