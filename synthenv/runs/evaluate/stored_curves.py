"""One row of learning curves: agents of one kind in one place, trained once and remembered on disk."""

import hashlib
import io
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.agents.config import AgentConfig
from synthenv.core.errors import UserError
from synthenv.core.files import make_directory, to_json, write_atomic
from synthenv.core.types import Curve
from synthenv.runs.training.places import Place
from synthenv.runs.training.trial_runner import TrialRunner


class Learned(NamedTuple):
    """Curves [A, K] of A agents, how many tests each of them holds [A], and where each agent trained [A]."""

    curve: Curve
    num_tests: np.ndarray
    which: np.ndarray
    solved_return: float
    budget: int


def learn(place: Place, agent: AgentConfig, num_agents: int, seed: int, store: Path | None = None) -> Learned:
    """Train ``num_agents`` agents for ``agent.max_steps`` steps, spread evenly over the place's environments.

    Args:
        place: where they train.
        agent: who they are.
        num_agents: how many.
        seed: randomness.
        store: directory of rows that were finished before; one that is there is read instead of trained again.

    Raises:
        UserError: if the disk is full, or a stored row is damaged.
    """
    file = store and store / f"{_digest(place, agent, num_agents, seed)}.npz"
    if file and file.exists():
        return _load(file, place, agent)
    runner = TrialRunner(agent, place.ground, place.spec, 1)
    which = np.arange(num_agents) % len(place.weights)
    key = jax.random.fold_in(jax.random.key(seed), 2**31 - 3)
    trained = runner.run(key, place.weights[which], np.arange(num_agents), num_agents)
    if trained.curve is None:
        raise UserError(
            f"{agent.full_name} plays no tests while it trains, so it has no curve: drop --curves, or give it tests"
            " (docs/add-an-agent.md)"
        )
    num_tests = np.sum(np.asarray(trained.curve.steps) > 0, axis=1)
    learned = Learned(trained.curve, num_tests, which, place.spec.solved_return, agent.max_steps)
    if file:
        _save(file, learned)
    return learned


def _digest(place: Place, agent: AgentConfig, num_agents: int, seed: int) -> str:
    """Hash all that a row depends on, except the versions of JAX and of this code."""
    proxy: Any = getattr(place.ground.env, "config", None) if place.proxies else None
    facts = to_json([place.spec.name, proxy, agent, num_agents, seed])
    return hashlib.sha256(facts.encode() + np.asarray(place.weights, np.float32).tobytes()).hexdigest()[:20]


def _save(file: Path, learned: Learned) -> None:
    """Write a row whole or not at all."""
    data = io.BytesIO()
    returns, steps = (np.asarray(x) for x in learned.curve)
    np.savez_compressed(data, returns=returns, steps=steps, which=learned.which)
    make_directory(file.parent)
    write_atomic(file, data.getvalue())


def _load(file: Path, place: Place, agent: AgentConfig) -> Learned:
    """Read a row back."""
    try:
        with np.load(file, allow_pickle=False) as row:
            returns, steps, which = row["returns"], row["steps"], row["which"]
    except Exception as error:  # zipfile, zlib and NumPy raise whatever they like on damaged files
        raise UserError(f"{file} is damaged ({error}): remove it, and its row is trained again") from None
    num_tests = np.sum(steps > 0, axis=1)
    return Learned(Curve(returns, steps), num_tests, which, place.spec.solved_return, agent.max_steps)
