"""From a few real transitions to a policy: context, world model, dream, agent, tests. One seed is one unit of work.

References:
    Ferreira et al. (2024), One-shot world models. What its table 1 reports, the best of many checkpoints by real tests,
    stands here beside what that choice alone is worth, and behind the return at the end of training.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import make_directory
from synthenv.core.sealed_file import write_sealed
from synthenv.core.types import EvalResult, WorldModel
from synthenv.runs import dream_places, oswm_plot
from synthenv.runs.dream_places import RealTask, play_compiled
from synthenv.runs.dream_presets import DreamPreset, dreaming_agent, preset
from synthenv.runs.dream_training import Trainer, learn, pick_untrained, random_act, train_expert
from synthenv.runs.oswm_arguments import OswmRun
from synthenv.runs.oswm_summary import summarise
from synthenv.runs.rundir import RunDir
from synthenv.runs.trials import check_fits
from synthenv.worldmodel.context import Context
from synthenv.worldmodel.env import WorldModelEnv, env_params
from synthenv.worldmodel.strategies import STRATEGIES, Act, Actions, Collection
from synthenv.worldmodel.terminations import KNOWN, Termination

NUM_HELD_OUT = 500  # rows that one-step errors are measured on

Show = Callable[[int, int, float], None]  # seed, training steps so far, mean return of the test after them


class Dreams:
    """What all seeds of a run share: task, world model, environment and compiled agents.

    Raises:
        UserError: a name is unknown, the file is damaged, or task, file and agent do not fit each other.
    """

    def __init__(self, command: OswmRun):
        command.check()
        self.command = command
        self.preset = DreamPreset(dreaming_agent("ppo", None, None), "")
        self.task: RealTask | None = None
        if command.task is not None:
            self.preset, self.task = preset(command.task), dream_places.real_task(command.task)
        self.model = dream_places.world_model(command.model)
        self.logged: Context | None = None
        if command.context_file is not None:
            self.logged, longest = dream_places.context_of_file(
                command.context_file, command.context, self.task
            )
        self.max_steps = self.preset.dream_steps or (self.task.max_steps if self.task else max(2, longest))
        self.pessimism = self.preset.pessimism if command.pessimism is None else command.pessimism
        self.agent = dreaming_agent(command.agent, command.task, command.max_steps)
        self.actions = self.task.actions if self.task else _actions_of(self.logged)
        self.name = self.task.name if self.task else self.logged.task
        check_fits(self.agent, self.name, self.actions.num_actions is not None, is_table=False)
        self.env = WorldModelEnv(
            name=f"dream of {self.name}",
            predict=self.model.predict,
            termination=termination_of(command),
            num_actions=self.actions.num_actions,
            action_size=self.actions.size,
            action_bound=self.actions.bound,
            obs_size=self.task.obs_size if self.task else self.logged.obs_size,
        )
        self.trainer = Trainer(self.agent, self.env)
        self.random = random_act(self.actions)
        self.expert = self._expert_trainer()

    def _expert_trainer(self) -> Trainer | None:
        """Who is trained on the real task to collect the context, if the strategy asks for that."""
        if self.logged is not None or not any(STRATEGIES[self.command.strategy].expert_share):
            return None
        assert self.task is not None
        if self.task.spec is None:
            raise UserError(
                f"the strategy {self.command.strategy} trains its expert on the real task, which takes a compiled one,"
                f" and {self.name} is none: choose held, random or repeat, or pass --context-file"
            )
        return Trainer(dreaming_agent("ppo", self.name, None), self.task.spec.env, self.task.spec.env_params)

    def collection(self, strategy: str, num_steps: int) -> Collection:
        """What to collect from the task."""
        cap, after = self.preset.episode_cap, self.preset.post_failure_steps
        return Collection(strategy, num_steps, episode_cap=cap, post_failure_steps=after)

    def play(self, key: jax.Array, act: Any, params: Any, num_episodes: int, dream: Any) -> EvalResult:
        """Test episodes on the real task; in the dream with ``dream`` params if there is no task."""
        if self.task is not None:
            return self.task.play(key, act, params, num_episodes)
        return play_compiled(key, self.env, dream, act, params, num_episodes, self.max_steps)


def termination_of(command: OswmRun) -> Termination | None:
    """The rule by which dreamt episodes end; None leaves it to the world model.

    Raises:
        UserError: the known rule is asked for, and there is none.
    """
    known = KNOWN.get(command.task or "")
    if command.termination == "known" and known is None:
        raise UserError("--termination known needs a task whose rule is known: pass --task, or learned")
    return None if command.termination == "learned" else known


def _actions_of(context: Context | None) -> Actions:
    assert context is not None  # there is a task or a file
    return Actions(context.num_actions, context.action_size, context.action_bound)


class Shown(NamedTuple):
    """A context, and the real steps that its expert took."""

    context: Context
    expert_steps: int


def context_of_seed(dreams: Dreams, key: jax.Array) -> Shown:
    """Collect the context, training an expert first if the strategy needs one; or take the file's."""
    if dreams.logged is not None:
        return Shown(dreams.logged, 0)
    assert dreams.task is not None
    key_expert, key_steps = jax.random.split(key)
    act: Act | None = None
    expert_steps = 0
    if dreams.expert is not None:
        act, expert_steps = train_expert(key_expert, dreams.expert, dreams.task)
    command = dreams.command
    collection = dreams.collection(command.strategy, command.context)
    return Shown(dreams.task.collect(key_steps, collection, act), expert_steps)


def run_seed(dreams: Dreams, seed: int, show: Show) -> tuple[dict[str, Any], Any]:
    """Everything that one seed does.

    Returns:
        its line of ``metrics.jsonl``, and the params of the policy at the end of its training.
    """
    command, trainer = dreams.command, dreams.trainer
    key = jax.random.fold_in(jax.random.key(command.common.seed), seed)
    key_context, key_train, key_tests, key_untrained, key_judge, key_held_out = jax.random.split(key, 6)
    context, expert_steps = context_of_seed(dreams, key_context)
    start = time.perf_counter()
    cache = dreams.model.encode(dreams.model.params, context.transitions, context.num_actions)
    cache = jax.block_until_ready(cache)
    encode_seconds = time.perf_counter() - start
    dream = env_params(cache, context, dreams.max_steps, dreams.pessimism)

    def test(key: jax.Array, params: Any) -> EvalResult:
        return dreams.play(key, trainer.act, params, command.eval_episodes, dream)

    learned = learn(
        trainer, key_train, key_tests, dream, test, command.evaluations, functools.partial(show, seed)
    )
    num_tests = len(learned.steps)
    untrained = pick_untrained(trainer, key_untrained, key_tests, dream, test, num_tests)
    judged = {  # all of them by the same episodes
        name: dreams.play(key_judge, act, params, command.test_episodes, dream)
        for name, act, params in (
            ("final_return", trainer.act, learned.params),
            ("best_return", trainer.act, learned.picked.best),
            ("untrained_control", trainer.act, untrained.best),
            ("random_return", dreams.random, None),
        )
    }
    dreamt = play_compiled(
        key_judge, dreams.env, dream, trainer.act, learned.params, command.test_episodes, dreams.max_steps
    )
    error, error_steps = held_out_error(dreams, key_held_out, cache)
    measured = sum(int(np.sum(result.lengths)) for result in judged.values()) + untrained.num_real_steps
    real = dreams.task is not None
    evaluation = learned.picked.num_real_steps * real
    line = {
        "generation": seed,  # what run directories count their lines by
        **{name: float(np.mean(result.returns)) for name, result in judged.items()},
        "last_evaluations_return": float(np.mean(learned.picked.returns[-10:])),
        "best_evaluation": float(np.max(learned.picked.returns)),
        "dream_return": float(np.mean(dreamt.returns)),
        "one_step_error": error,
        "real_steps": {
            "context": context.real_steps,
            "expert": expert_steps,
            "evaluation": evaluation,
            "total": context.real_steps + expert_steps + evaluation,
            "measurement": measured * real + error_steps,
        },
        "train_steps": int(learned.steps[-1]),
        "encode_seconds": encode_seconds,
        "train_seconds": learned.seconds,
        "curve": {"steps": learned.steps, "returns": learned.picked.returns},
    }
    return line, learned.params


def held_out_error(dreams: Dreams, key: jax.Array, cache: Any) -> tuple[dict[str, float] | None, int]:
    """How well the world model foresees real steps that it was not shown, and how many these are.

    Returns:
        mean squared errors as shares of the variance of what is predicted: ``next_obs`` (of its change, mean over the
        columns) and ``reward``; NaN where nothing varies. None if there is no task to step.
    """
    if dreams.task is None:
        return None, 0
    held_out = dreams.task.collect(key, dreams.collection("held", NUM_HELD_OUT))
    steps = held_out.transitions
    next_obs, reward = _predict_all(cache, steps.obs, steps.action, dreams.model)

    def share(error: np.ndarray, target: np.ndarray) -> float:
        variance = target.var(axis=0)
        told = variance > 1e-12
        return float(np.mean(np.square(error).mean(axis=0)[told] / variance[told])) if told.any() else np.nan

    errors = {
        "next_obs": share(np.asarray(next_obs) - steps.next_obs, steps.next_obs - steps.obs),
        "reward": share((np.asarray(reward) - steps.reward)[:, None], steps.reward[:, None]),
    }
    return errors, held_out.real_steps


@functools.partial(jax.jit, static_argnames="model")
def _predict_all(cache: Any, obs: Any, action: Any, model: WorldModel) -> tuple[jax.Array, jax.Array]:
    said = jax.vmap(model.predict, in_axes=(None, 0, 0))(cache, obs, action)
    return said.next_obs, said.reward


def run(
    command: OswmRun,
    out: Path,
    show: Show = lambda seed, steps, mean: None,
    tell: Callable[[dict[str, Any]], None] = lambda line: None,
    notify: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """All seeds, those that are done already left out; see ``oswm_summary.summarise`` for the result.

    Args:
        command: what to do.
        out: the run directory.
        show: called after every test.
        tell: called with the line of every seed that is done.
        notify: told what differs from the machine that began the run.

    Raises:
        UserError: as ``Dreams`` and ``RunDir.create``, or the disk is full.
    """
    dreams = Dreams(command)
    config = command.asked() | {"learner": dataclasses.asdict(dreams.agent)}
    with RunDir.create(out, config, command.resume) as run:
        for note in run.notes:
            notify(note)
        done = len(run.read_metrics())
        run.truncate_metrics(done)  # of a line that was half written
        for seed in range(done, command.seeds):
            line, policy = run_seed(dreams, seed, show)
            save_policy(run.path, seed, policy, config)
            run.append_metrics(line)
            tell(line)
        lines = run.read_metrics()
        result = summarise(dreams.name, real=dreams.task is not None, lines=lines) | {"out": str(out)}
        oswm_plot.write(lines, run.plots, dreams.name, dreams.task and dreams.task.solved_return)
        run.save_result(result)
    return result


def save_policy(path: Path, seed: int, policy: Any, config: dict[str, Any]) -> None:
    """Keep the weights that a seed ended with, named by their place in the params."""
    leaves = jax.tree_util.tree_leaves_with_path(policy)
    arrays = {jax.tree_util.keystr(place): np.asarray(leaf) for place, leaf in leaves}
    make_directory(path / "policies")
    write_sealed(path / "policies" / f"seed{seed}.safetensors", arrays, {"seed": seed, "run": config})
