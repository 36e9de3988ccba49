"""From a few real transitions to a policy: context, world model, dream, agent, tests. One seed is one unit of work.

References:
    Ferreira et al. (2024), One-shot world models. Its table 1 reports the best of many checkpoints by real tests. Here
    that number comes after the return at the end of training, and beside what the choice of a checkpoint alone adds.
"""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from synthenv.core.files import make_directory
from synthenv.core.sealed_file import write_sealed
from synthenv.core.types import EvalResult, WorldModel
from synthenv.runs.oswm.run import foresight, real_tasks
from synthenv.runs.oswm.run import plot as oswm_plot
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.oswm.run.real_tasks import PolicyAct
from synthenv.runs.oswm.run.setup import Dreams, context_of_seed
from synthenv.runs.oswm.run.summary import summarise
from synthenv.runs.oswm.run.training import Learned, Picked, keys_of_seed, learn, pick_untrained
from synthenv.runs.storage import metrics
from synthenv.runs.storage.run_directory import RunDir
from synthenv.runs.storage.stored_config import stored_config
from synthenv.worldmodel.context.context import Context, digest
from synthenv.worldmodel.context.file import save_context

NUM_LAST = 10  # tests at the end of a training; their mean depends less on luck than the last one does

Show = Callable[[int, int, float], None]  # seed, training steps so far, mean return of the test after them
Keep = Callable[[int, Any, Context], None]  # seed, params of its policy, its context


def run_seed(
    dreams: Dreams,
    seed: int,
    show: Show,
    keep: Keep = lambda seed, params, context: None,
) -> tuple[dict[str, Any], Any, Context]:
    """Do everything that one seed does.

    Args:
        dreams: what the seed shares with the others.
        seed: its number.
        show: called after every test.
        keep: called as soon as the training is over, before anything else can go wrong.

    Returns:
        its line of ``metrics.jsonl``, the params of the policy at the end of its training, and its context.
    """
    command, trainer = dreams.command, dreams.trainer
    keys = keys_of_seed(command.common.seed, seed)
    context, expert_steps = context_of_seed(dreams, keys.context)
    cache, encode_seconds = encode(dreams.model, context)
    dream = dreams.dream(cache, context)

    def test(key: jax.Array, params: Any) -> EvalResult:
        return dreams.play(key, trainer.act, params, command.eval_episodes, dream)

    learned = learn(
        trainer, keys.train, keys.tests, dream, test, command.evaluations, functools.partial(show, seed)
    )
    keep(seed, learned.params, context)
    num_tests = len(learned.steps)
    untrained = pick_untrained(trainer, keys.untrained, keys.tests, dream, test, num_tests)

    def play(act: PolicyAct, params: Any) -> EvalResult:
        return dreams.play(keys.judge, act, params, command.test_episodes, dream)

    judged = judge(play, trainer.act, dreams.random, learned, untrained)
    dreamt = dreams.play_dreamt(keys.judge, trainer.act, learned.params, command.test_episodes, dream)
    held_out = dreams.collection("held", foresight.NUM_HELD_OUT)
    error, error_steps, doubts = foresight.held_out_error(
        keys.held_out, dreams.task, held_out, dreams.model.predict, cache, context, dreams.log, seed
    )
    is_real = dreams.task is not None
    evaluation = learned.picked.num_real_steps * is_real
    judging = sum(int(np.sum(result.lengths)) for result in judged.values()) * is_real
    line = {
        "generation": seed,  # run directories count their lines by this
        "context_digest": digest(context),
        "context_ends": int(context.transitions.terminated.sum()),
        **{name: float(np.mean(result.returns)) for name, result in judged.items()},
        "last_evaluations_return": float(np.mean(learned.picked.returns[-NUM_LAST:])),
        "dream_return": float(np.mean(dreamt.returns)),
        "one_step_error": error,
        "notices": doubts,
        "real_steps": {
            "context": context.real_steps,
            "expert": expert_steps,
            "evaluation": evaluation,
            "total": context.real_steps + expert_steps + evaluation,
            "measurement": judging + untrained.num_real_steps * is_real + error_steps,
        },
        "train_steps": int(learned.steps[-1]),
        "encode_seconds": encode_seconds,
        "train_seconds": learned.seconds,
        "curve": {"steps": learned.steps, "returns": learned.picked.returns},
    }
    return line, learned.params, context


def encode(model: WorldModel, context: Context) -> tuple[Any, float]:
    """Encode a context; return the cache, and the seconds that this took."""
    start = time.perf_counter()
    cache = jax.block_until_ready(model.encode(model.params, context.transitions, context.num_actions))
    return cache, time.perf_counter() - start


def judge(
    play: Callable[[PolicyAct, Any], EvalResult],
    act: PolicyAct,
    random: PolicyAct,
    learned: Learned,
    untrained: Picked,
) -> dict[str, EvalResult]:
    """Play the policies that are reported, and return their test episodes by the names of the results.

    Args:
        play: (act, params) -> test episodes, which begin alike for all policies.
        act: acts by the params of a learner's policy.
        random: acts uniformly, without params.
        learned: the training.
        untrained: untrained policies, and the best of them.
    """
    policies: dict[str, tuple[PolicyAct, Any]] = {
        "final_return": (act, learned.params),
        "best_return": (act, learned.picked.best),
        "untrained_control": (act, untrained.best),
        "random_return": (random, None),
    }
    return {name: play(*pair) for name, pair in policies.items()}


def run(
    command: OswmRun,
    out: Path,
    show: Show = lambda seed, steps, mean: None,
    tell: Callable[[dict[str, Any]], None] = lambda line: None,
    notify: Callable[[str], None] = lambda line: None,
    begin: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Do all seeds that have no line yet; see ``summary.summarise`` for the result.

    Args:
        command: what to do.
        out: the run directory.
        show: called after every test.
        tell: called with the line of every seed that is done.
        notify: called with a line about what differs from the machine that began the run, about the rows of a file,
            measurements that failed, and world models that foresee nothing.
        begin: called when everything is set up and the first seed can begin.

    Raises:
        UserError: as ``Dreams`` and ``RunDir.create``, or the disk is full.
    """
    dreams = Dreams(command)
    config = asked_for(command, out) | {
        "learner": dreams.agent.stored(),
        "resolved": dreams.resolved(),
    }
    with RunDir.create(out, config, command.resume, leaves_proxy=False) as run:

        def keep(seed: int, policy: Any, context: Context) -> None:
            save_policy(run.path, seed, policy, config)
            make_directory(run.path / "contexts")
            save_context(run.path / "contexts" / f"seed{seed}.safetensors", context)

        for note in (*run.notes, *dreams.notes):
            notify(note)
        begin()
        told = [notice for line in run.read_metrics() for notice in line.get("notices", [])]
        notices = list(dict.fromkeys([*dreams.notes, *told]))

        def tell_all(line: dict[str, Any]) -> None:
            for notice in line["notices"]:
                if notice not in notices:
                    notify(notice)
                    notices.append(notice)
            tell(line)

        lines = work_off(run, command.seeds, lambda seed: run_seed(dreams, seed, show, keep)[0], tell_all)
        result = summarise(dreams.name, real=dreams.task is not None, lines=lines)
        result |= {"out": str(out), "notices": notices, "dream_steps": dreams.max_steps}
        oswm_plot.write(lines, run.plots, dreams.name, dreams.task and dreams.task.solved_return)
        run.save_result(result)
    return result


def work_off(
    run: RunDir,
    num_seeds: int,
    line_of: Callable[[int], dict[str, Any]],
    tell: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """Do the seeds that have no line of metrics yet, one after the other; return the lines of all."""
    todo = metrics.missing(run.path, num_seeds)
    run.truncate_metrics(num_seeds)  # drops lines that cannot be read
    for seed in todo:
        line = line_of(seed)
        run.append_metrics(line)
        tell(line)
    return run.read_metrics()


def asked_for(command: OswmRun, out: Path) -> dict[str, Any]:
    """Return everything that decides the outcome: the flags, and digests of the files that they name.

    Args:
        command: the flags.
        out: the run directory. A file goes by the name that is on record there if the contents are the same, else by
            its absolute path: runs are resumed from anywhere.
    """
    asked, begun, contents = command.asked(), stored_config(out), {}
    names = {flag: str(asked[flag]) for flag in ("model", "context_file") if asked[flag] is not None}
    for flag, name in names.items():
        for content in real_tasks.contents_of(name).values():
            before = begun.get(flag)
            is_the_same = begun.get("contents", {}).get(before) == content
            spelled = name if real_tasks.is_shipped(name) else os.path.abspath(name)
            asked[flag] = before if is_the_same else spelled
            contents[asked[flag]] = content
    return asked | ({"contents": contents} if contents else {})


def save_policy(path: Path, seed: int, policy: Any, config: dict[str, Any]) -> None:
    """Keep the weights that a seed ended with, named by their place in the params."""
    leaves = jax.tree_util.tree_leaves_with_path(policy)
    arrays = {jax.tree_util.keystr(place): np.asarray(leaf) for place, leaf in leaves}
    make_directory(path / "policies")
    write_sealed(path / "policies" / f"seed{seed}.safetensors", arrays, {"seed": seed, "run": config})
