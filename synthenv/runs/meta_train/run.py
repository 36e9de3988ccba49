"""Evolving a proxy, from a config to a run directory.

One line of metrics and one checkpoint per generation. Whatever happens between two generations, ``--resume`` goes on
from the newest sound checkpoint and arrives at the same numbers as a run that was never stopped. Of several processes
the first one owns the run directory; the others only train.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from synthenv.core.checkpoint import CheckpointStore, save_tree
from synthenv.core.errors import UserError
from synthenv.outer.bilevel import GenerationLog, OuterState
from synthenv.runs.meta_train.config import MetaTrainConfig, to_stored
from synthenv.runs.meta_train.search import Search, ShowStart
from synthenv.runs.storage import run_directory
from synthenv.runs.storage.first_process import from_first, on_first
from synthenv.runs.storage.run_directory import RunDir

# Noise and agents of a generation depend on its number and on no later one, so a search may be asked for more of them.
_GROWS = "outer.num_generations"


class StopSearch(Exception):
    """``on_generation`` raises it to end a run here: its best proxy so far is on disk, and ``--resume`` can go on."""


def metrics_line(state: OuterState, log: GenerationLog, seconds: float, cpu_seconds: float) -> dict[str, Any]:
    """Return a generation as a JSON-ready line; its ``generation`` counts from 0, what people read counts from 1."""
    outcome, num_incumbents = log.outcome, len(log.incumbent_scores)
    return {
        "generation": int(state.generation) - 1,
        "incumbent_mean": float(np.mean(log.incumbent_scores)) if num_incumbents else None,
        "incumbent_return": float(np.mean(outcome.returns[-num_incumbents:])) if num_incumbents else None,
        "incumbent_scores": log.incumbent_scores.tolist(),
        "member_mean": float(np.mean(log.member_scores)),
        "member_scores": log.member_scores.tolist(),
        "best_incumbent": float(state.best_score),
        "train_steps_mean": float(np.mean(outcome.num_steps)),
        "train_steps": outcome.num_steps.tolist(),
        "episodes_mean": float(np.mean(outcome.num_episodes)),
        "total_train_steps": int(np.sum(outcome.num_steps)),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "busy_share": outcome.busy_share,
    }


def meta_train(
    config: MetaTrainConfig,
    seed: int,
    out: str | Path,
    resume: bool = False,
    on_generation: Callable[[dict[str, Any]], None] = lambda line: None,
    notify: Callable[[str], None] = print,
    on_start: ShowStart = lambda done, total: None,
) -> dict[str, Any]:
    """Evolve a proxy and leave a run directory.

    Args:
        config: what to do.
        seed: the only source of randomness.
        out: the run directory.
        resume: go on with an unfinished run, or with a finished one that is asked for more generations.
        on_generation: called with every metrics line, for progress; it may raise ``StopSearch``.
        notify: called with a line about anything the user should know (a damaged checkpoint, another machine).
        on_start: called with the rounds of trials that are done and all there are, while a start is chosen.

    Returns:
        the result, as in ``result.json``; empty on all processes but the first.

    Raises:
        UserError: if the directory holds another, a finished or a damaged run, the task does not fit, or a number of
            the config makes no sense.
    """
    tell = notify if jax.process_index() == 0 else lambda line: None
    search = Search(config, seed)
    with (
        on_first(RunDir.create, out, _asked(config, seed), resume, _GROWS) or contextlib.nullcontext() as run
    ):
        state, finished = from_first(on_first(_begin, search, run, resume, notify) or (search.start(), False))
        while not finished and int(state.generation) < config.outer.num_generations:
            start, cpu_start = time.perf_counter(), time.process_time()
            state, start_steps = search.choose_start(on_start) if int(state.generation) == 0 else (state, 0)
            state, log = search.advance(state)
            verdict = search.check_solved(state, log, tell)
            state = verdict.state
            line = metrics_line(state, log, time.perf_counter() - start, time.process_time() - cpu_start)
            line |= {"solved": verdict.solved, "deciding_mean": verdict.mean}
            line["total_train_steps"] += start_steps + verdict.train_steps
            on_first(_record, search, run, state, line, on_generation)
            state, finished = from_first((state, verdict.solved))  # unlike machines must not drift apart
        return on_first(_finish, search, state, bool(finished), run) or {}


def finished_result(config: MetaTrainConfig, seed: int, out: Path) -> dict[str, Any] | None:
    """Return the result of this search if the directory ``out`` holds it finished, else None.

    Raises:
        UserError: if it holds another finished search.
    """
    return run_directory.finished_result(out, _asked(config, seed), _GROWS)


def _asked(config: MetaTrainConfig, seed: int) -> dict[str, Any]:
    """Return everything that decides the outcome, as ``config.json`` keeps it."""
    return {"command": "meta-train", "seed": seed, **to_stored(config)}


def _begin(
    search: Search, run: RunDir, resume: bool, notify: Callable[[str], None]
) -> tuple[OuterState, bool]:
    """Return where the search stands, and whether it is over."""
    notify(f"run directory: {run.path}")
    for note in run.notes:
        notify(note)
    if resume and not run.resumed:
        notify(f"nothing to resume in {run.path}: starting with generation 1")
    return _restore(search, run, notify)


def _store(run: RunDir) -> CheckpointStore:
    return CheckpointStore(run.checkpoints, owner=run.digest, former_owner=run.former_digest)


def _record(
    search: Search,
    run: RunDir,
    state: OuterState,
    line: dict[str, Any],
    on_generation: Callable[[dict[str, Any]], None],
) -> None:
    """Put a generation on disk and tell of it; metrics come first, so that a checkpoint never lacks its line."""
    run.append_metrics(line)
    _store(run).save(int(state.generation), state, {"finished": line["solved"]})
    try:
        on_generation(line)
    except StopSearch:
        _save_best(search, state, run, _result(search, state, False, run))
        raise


def _restore(search: Search, run: RunDir, notify: Callable[[str], None]) -> tuple[OuterState, bool]:
    """Return the newest sound checkpoint, or the start; drop metrics of lost generations, and tell of damage."""
    state = search.start()
    restored = _store(run).restore(state)
    if restored is None:
        outer = search.config.outer
        tries = (
            f", and trying {outer.num_starts} random proxies to start from" if outer.num_starts > 1 else ""
        )
        climbs = f", the best {outer.num_climbs} by short searches" if tries and outer.num_climbs > 1 else ""
        notify(f"compiling{tries}{climbs} ...")
        run.check_nothing_is_lost()
        run.truncate_metrics(0)
        return state, False
    for line in restored.skipped:
        notify(line)
    run.truncate_metrics(restored.step)
    return restored.tree, bool(restored.metadata["finished"])


def _finish(search: Search, state: OuterState, solved: bool, run: RunDir) -> dict[str, Any]:
    """Write the best proxy, the result and the report."""
    if not np.isfinite(float(state.best_score)) and search.config.outer.num_incumbents:
        raise UserError("no incumbent ever had a finite score: lower agent.learning-rate or strategy.std")
    result = _result(search, state, solved, run)
    _save_best(search, state, run, result)
    run.save_result(result)
    return result


def _result(search: Search, state: OuterState, solved: bool, run: RunDir) -> dict[str, Any]:
    metrics = run.read_metrics()
    return {
        "solved": _is_solved(search, state, solved),
        "generations": int(state.generation),
        "best_incumbent": float(state.best_score),
        "seconds": sum(line["seconds"] for line in metrics),
        "cpu_seconds": sum(line["cpu_seconds"] for line in metrics),
        "total_train_steps": sum(line["total_train_steps"] for line in metrics),
    }


def _is_solved(search: Search, state: OuterState, decided: bool) -> bool | None:
    """Return whether the search has solved its task; None if there are no incumbents, or scores are no returns.

    Where deciding agents end a search, it is their decision; else the best incumbent has to reach the threshold.
    """
    outer = search.config.outer
    if outer.objective != "max_reward" or not outer.num_incumbents:
        return None
    return decided if outer.stop_when_solved else bool(float(state.best_score) >= search.solved_score)


def _save_best(search: Search, state: OuterState, run: RunDir, result: dict[str, Any]) -> None:
    """Write the best proxy so far, or the mean of the search's distribution where none was tested."""
    proxy = state.best_proxy if np.isfinite(float(state.best_score)) else search.strategy.mean(state.strategy)
    metadata = {
        "task": search.config.task,
        "proxy": search.proxy_config.stored(),
        "agent": search.config.agent.stored(),
        "result": result,
    }
    save_tree(run.best_proxy, search.unravel(proxy), metadata)
