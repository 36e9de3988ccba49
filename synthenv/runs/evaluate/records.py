"""What ``synthenv train`` and ``synthenv evaluate`` leave in their directory, and how it is read back.

config.json              flags, versions, device, command line; of train also who learnt, and for which task
returns.csv              the return of every test episode of every agent
policies.safetensors     of train: what the agents learnt, unless their networks differ
result.json              what --json has as results; its presence says that the command is finished
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from synthenv.agents import registry as agents
from synthenv.agents.config import AgentConfig
from synthenv.agents.presets import agent_from_stored
from synthenv.agents.training.hyperparams import sample
from synthenv.core.checkpoint import load_tree, save_tree
from synthenv.core.errors import UserError
from synthenv.core.files import make_directory, to_json, write_atomic
from synthenv.envs import registry
from synthenv.runs.evaluate.arguments import Evaluate, Train
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.csv_tables import read_csv, write_csv
from synthenv.runs.storage.environment import environment
from synthenv.runs.storage.locked_directory import RESULT
from synthenv.runs.storage.stored_config import stored_config
from synthenv.runs.storage.stored_config import write as write_config

RETURNS, POLICIES = "returns.csv", "policies.safetensors"
Policy = Callable[[jax.Array, Any], Any]  # (key, obs) -> action


def check_free(out: Path, is_curves: bool = False) -> None:
    """Check that a directory holds nothing else; earlier rows of curves may be there.

    Raises:
        UserError: it holds something.
    """
    grows = is_curves and stored_config(out).get("command", "evaluate") == "evaluate"
    if locked_directory.is_begun(out) and not grows:
        raise UserError(f"{out} holds something else: choose another --out")


def write(
    command: Train | Evaluate,
    results: Mapping[str, Any],
    returns: Mapping[str, np.ndarray],
    learnt: tuple[AgentConfig, Any] | None = None,
) -> None:
    """Write the directory of a command whose work is done.

    Args:
        command: with the directory as ``out``; the first of several processes writes it.
        results: what the command returns.
        returns: of test episodes by row, [A, E] each.
        learnt: who learnt, and their policies with leading axis [A].

    Raises:
        UserError: if the disk is full or the directory cannot be written.
    """
    if jax.process_index() > 0:
        return
    out, name = command.out, type(command).__name__.lower()
    assert out is not None
    make_directory(out)
    fields = {field.name: getattr(command, field.name) for field in dataclasses.fields(command)}
    config = {"command": name, "seed": fields.pop("common").seed, **fields}
    if learnt is not None:
        agent, policies = learnt
        config |= {"learner": agent, "tested_on": results["tested_on"]}
        save_tree(out / POLICIES, policies, {})
    write_config(out, config, environment=environment())
    if returns:
        write_csv(out / RETURNS, return_rows(returns))
    write_atomic(out / RESULT, to_json(results, indent=2).encode())


def return_rows(returns: Mapping[str, np.ndarray]) -> Iterable[dict[str, Any]]:
    """Yield a line of a table for each test episode of returns [A, E] by row."""
    for row, of_agents in returns.items():
        for (agent, episode), value in np.ndenumerate(of_agents):
            yield {"row": row, "agent": agent, "episode": episode, "return": f"{value:.6g}"}


def read_returns(out: Path) -> dict[str, np.ndarray]:
    """Read the returns of test episodes by row, [A, E] each."""
    found: dict[str, dict[str, list[float]]] = {}
    for line in read_csv(out / RETURNS):
        found.setdefault(line["row"], {}).setdefault(line["agent"], []).append(float(line["return"]))
    return {row: np.array(list(of_agents.values())) for row, of_agents in found.items()}


def load_policy(out: Path, number: int) -> Policy:
    """Load what an agent of ``synthenv train`` learnt, as a pure function that may be jitted and vmapped.

    Args:
        out: the directory.
        number: of the agent, counted from 0.

    Returns:
        (key, obs) -> action, as in a test.

    Raises:
        UserError: there is no such directory or agent, or its networks differ and were not kept.
    """
    config = stored_config(out)
    if config.get("command") != "train":
        raise UserError(f"{out} holds no trained agents: pass the directory of a synthenv train")
    if "learner" not in config:
        raise UserError(
            f"{out} kept no policies, because the agents differ: train without --vary-hyperparams"
        )
    spec, num_agents = registry.make(config["tested_on"]), config["num_agents"]
    if not 0 <= number < num_agents:
        raise UserError(f"there is no agent {number} in {out}: pass one from 0 to {num_agents - 1}")
    learner = agent_from_stored(config["learner"])
    many, (bucket,) = sample(jax.random.key(0), learner, spec.solved_return, 1)
    agent = agents.make(learner, bucket, spec.env.action_space(spec.env_params), spec)

    def begin(key: jax.Array) -> Any:
        hyperparams = jax.tree.map(lambda leaf: leaf[0], many)
        return agent.result(agent.init(key, spec.env, spec.env_params, hyperparams)).params

    like = jax.eval_shape(jax.vmap(begin), jax.random.split(jax.random.key(0), num_agents))
    params = jax.tree.map(lambda leaf: leaf[number], load_tree(out / POLICIES, like)[0])
    return lambda key, obs: agent.act(key, params, jax.numpy.asarray(obs))
