"""Evolving a proxy, from a config to a run directory.

One line of metrics and one checkpoint per generation. Whatever happens between two generations, ``--resume`` goes on
from the newest sound checkpoint and arrives at the same numbers as a run that was never stopped. Of several processes
the first one owns the run directory; the others only train.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from synthenv.core.checkpoint import CheckpointStore, save_tree
from synthenv.core.errors import UserError
from synthenv.outer import bilevel
from synthenv.outer.bilevel import GenerationLog, OuterState
from synthenv.outer.objectives import make_objective
from synthenv.outer.strategy import make_strategy
from synthenv.proxies import registry as proxies
from synthenv.runs.config import MetaTrainConfig, check
from synthenv.runs.processes import from_first, on_first
from synthenv.runs.rundir import RunDir
from synthenv.runs.trials import TrialRunner, proxy_ground, task_for


class Verdict(NamedTuple):
    """Whether a generation ends the search, and what finding it out took.

    ``mean`` is the mean score that decided; None if the incumbents' was too low to ask.
    """

    state: OuterState
    solved: bool
    mean: float | None = None
    train_steps: int = 0


class StopSearch(Exception):
    """Raised by ``on_generation``: end the run here, with its best proxy so far on disk; ``--resume`` can go on."""


class Search:
    """A bi-level search: the config bound to its compiled pieces."""

    def __init__(self, config: MetaTrainConfig, seed: int):
        check(config)
        self.config = config
        self.spec = task_for(config.agent, config.task)
        self.root_key = jax.random.key(seed)
        self.proxy = proxies.make(self.spec.env, self.spec.env_params, config.proxy)
        key_proxy, self.key_init = jax.random.split(jax.random.fold_in(self.root_key, 2**31 - 1))
        ground, self.first_proxy, self.unravel = proxy_ground(self.proxy, self.proxy.init_params(key_proxy))
        outer = config.outer
        objective = make_objective(outer.objective, self.spec.solved_return, outer.unsolved_weight)
        self.runner = TrialRunner(config.agent, ground, self.spec, outer.num_test_episodes, objective)
        whole = dataclasses.replace(config.agent, variation=type(config.agent)().variation)  # of table 2
        self.confirmer = TrialRunner(whole, ground, self.spec, outer.num_test_episodes)
        self.solved_score = config.outer.solved_score or self.spec.solved_return
        self.strategy = make_strategy(config.strategy, self.first_proxy.size, self.spec.solved_return)

    def start(self) -> OuterState:
        """The state before the first generation."""
        return bilevel.init_state(self.key_init, self.strategy, jnp.asarray(self.first_proxy))

    def choose_start(self) -> tuple[OuterState, int]:
        """The same at the best of ``num_starts`` random proxies, and the training steps that finding it took."""
        num = self.config.outer.num_starts
        if num <= 1:
            return self.start(), 0
        keys = jax.random.split(self.key_init, num)
        candidates = jax.vmap(lambda key: ravel_pytree(self.proxy.init_params(key))[0])(keys)
        self.first_proxy, outcomes = bilevel.choose_start(
            jax.random.fold_in(self.key_init, 1),
            np.asarray(candidates),
            self.runner,
            self.config.strategy.std,
        )
        return self.start(), int(sum(outcome.num_steps.sum() for outcome in outcomes))

    def advance(self, state: OuterState) -> tuple[OuterState, GenerationLog]:
        """One generation."""
        return bilevel.generation(self.root_key, state, self.strategy, self.runner, self.config.outer)

    def check_solved(
        self, state: OuterState, log: GenerationLog, notify: Callable[[str], None] = lambda line: None
    ) -> Verdict:
        """Whether the incumbent of this generation solves the task; if so, it is the one to keep.

        A mean over few agents is easily lucky, over many generations some will be, and agents other than the
        search's own may fail where those do well. So with ``confirm_agents`` the incumbent is tried once more, on
        fresh agents of table 2, and they decide.
        """
        scores, config = log.incumbent_scores, self.config.outer
        if not config.stop_when_solved or not len(scores) or not np.mean(scores) >= self.solved_score:
            return Verdict(state, False)
        margin, steps = 0.0, 0
        if config.confirm_agents:
            notify(
                f"incumbents reach {np.mean(scores):.1f}: up to {config.confirm_agents} fresh agents of table 2"
                " decide whether that is solved ..."
            )
            scores, steps = self.confirm(log.incumbent, int(state.generation))
            margin = standard_error(scores)
        mean = float(np.mean(scores))
        solved = bool(mean - margin >= self.solved_score)
        if solved:
            state = state._replace(best_proxy=jnp.asarray(log.incumbent), best_score=jnp.float32(mean))
        elif np.array_equal(state.best_proxy, log.incumbent):
            # The best so far was lucky: others may overtake it.
            state = state._replace(best_score=jnp.float32(np.nan_to_num(mean, nan=-np.inf)))
        return Verdict(state, solved, mean, steps)

    def confirm(self, incumbent: np.ndarray, generation: int) -> tuple[np.ndarray, int]:
        """Scores of fresh agents on ``incumbent`` [D], and their training steps; asked in rounds of 16.

        Most incumbents that are asked about fall short, and the first round usually shows it.
        """
        key = jax.random.fold_in(self.root_key, generation)
        scores, steps, wanted = np.zeros(0, np.float32), 0, self.config.outer.confirm_agents
        while len(scores) < wanted:
            agents = np.arange(min(16, wanted - len(scores)))
            proxies = np.tile(incumbent, (len(agents), 1))
            trials = self.confirmer.run(
                jax.random.fold_in(key, 1 + len(scores)), proxies, agents, len(agents)
            )
            scores, steps = np.append(scores, trials.score), steps + int(trials.num_steps.sum())
            if not np.mean(scores) + standard_error(scores) >= self.solved_score:
                break
        return scores, steps


def standard_error(scores: np.ndarray) -> float:
    """Of the mean of ``scores`` [N]."""
    return float(np.std(scores) / np.sqrt(len(scores)))


def metrics_line(state: OuterState, log: GenerationLog, seconds: float, cpu_seconds: float) -> dict[str, Any]:
    """One generation as a JSON-ready line; ``generation`` counts from 0."""
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
) -> dict[str, Any]:
    """Evolve a proxy and leave a run directory.

    Args:
        config: what to do.
        seed: the only source of randomness.
        out: the run directory.
        resume: go on with an unfinished run.
        on_generation: called with every metrics line, for progress; it may raise ``StopSearch``.
        notify: called with a line about anything the user should know (a damaged checkpoint, another machine).

    Returns:
        the result, as in ``result.json``; empty on all processes but the first.

    Raises:
        UserError: if the directory holds another, a finished or a damaged run, the task does not fit, or a number of
            the config makes no sense.
    """
    resolved = {"command": "meta-train", "seed": seed, **dataclasses.asdict(config)}
    tell = notify if jax.process_index() == 0 else lambda line: None
    search = Search(config, seed)
    with on_first(RunDir.create, out, resolved, resume) or contextlib.nullcontext() as run:
        state, finished = from_first(on_first(_begin, search, run, resume, notify) or (search.start(), False))
        while not finished and int(state.generation) < config.outer.num_generations:
            start, cpu_start = time.perf_counter(), time.process_time()
            state, start_steps = search.choose_start() if int(state.generation) == 0 else (state, 0)
            state, log = search.advance(state)
            verdict = search.check_solved(state, log, tell)
            state = verdict.state
            line = metrics_line(state, log, time.perf_counter() - start, time.process_time() - cpu_start)
            line |= {"solved": verdict.solved, "deciding_mean": verdict.mean}
            line["total_train_steps"] += start_steps + verdict.train_steps
            on_first(_record, search, run, state, line, on_generation)
            state, finished = from_first((state, verdict.solved))  # unlike machines must not drift apart
        return on_first(_finish, search, state, bool(finished), run) or {}


def _begin(
    search: Search, run: RunDir, resume: bool, notify: Callable[[str], None]
) -> tuple[OuterState, bool]:
    """Where the search stands, and whether it is over."""
    notify(f"run directory: {run.path}")
    for note in run.notes:
        notify(note)
    if resume and not run.resumed:
        notify(f"nothing to resume in {run.path}: starting at generation 0")
    return _restore(search, run, notify)


def _store(run: RunDir) -> CheckpointStore:
    return CheckpointStore(run.checkpoints, owner=run.digest)


def _record(
    search: Search,
    run: RunDir,
    state: OuterState,
    line: dict[str, Any],
    on_generation: Callable[[dict[str, Any]], None],
) -> None:
    """Put a generation on disk, metrics first, so that a checkpoint never lacks its line; then tell."""
    run.append_metrics(line)
    _store(run).save(int(state.generation), state, {"finished": line["solved"]})
    try:
        on_generation(line)
    except StopSearch:
        _save_best(search, state, run, _result(search, state, False, run))
        raise


def _restore(search: Search, run: RunDir, notify: Callable[[str], None]) -> tuple[OuterState, bool]:
    """The newest sound checkpoint, or the start; metrics of lost generations are dropped, damage is told."""
    state = search.start()
    restored = _store(run).restore(state)
    if restored is None:
        num = search.config.outer.num_starts
        notify("compiling" + (f", and trying {num} random proxies to start from" if num > 1 else "") + " ...")
        if run.read_metrics()[1:]:  # the first line is written before the first checkpoint
            raise UserError(
                f"{run.path} has metrics but no checkpoints: put them back, or pass another --out"
            )
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
        "solved": solved if search.config.outer.objective == "max_reward" else None,
        "generations": int(state.generation),
        "best_incumbent": float(state.best_score),
        "seconds": sum(line["seconds"] for line in metrics),
        "cpu_seconds": sum(line["cpu_seconds"] for line in metrics),
        "total_train_steps": sum(line["total_train_steps"] for line in metrics),
    }


def _save_best(search: Search, state: OuterState, run: RunDir, result: dict[str, Any]) -> None:
    """Write the best proxy so far, or the mean of the search's distribution where none was tested."""
    proxy = state.best_proxy if np.isfinite(float(state.best_score)) else search.strategy.mean(state.strategy)
    metadata = {
        "task": search.config.task,
        "proxy": search.config.proxy._asdict(),
        "agent": dataclasses.asdict(search.config.agent),
        "result": result,
    }
    save_tree(run.best_proxy, search.unravel(proxy), metadata)
