"""Runs and environments by name or path, and steps in them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthenv import cli
from synthenv.core.errors import UserError
from synthenv.face.results import Dream, Evaluation, Result, Search, Study, Training
from synthenv.face.words import Place, place_of, words_of

if TYPE_CHECKING:
    import jax

    from synthenv.core.types import Transition
    from synthenv.face.results import Policy

KINDS = {"meta-train": Search, "oswm run": Dream, "tune": Study, "train": Training, "evaluate": Evaluation}


def load(path: Place) -> Result:
    """The result of a run that is on disk, as the function returned it that began the run.

        run = synthenv.load("runs/first")

    Args:
        path: what ``meta_train``, ``train``, ``evaluate``, ``dream`` or ``tune`` wrote, or the command of that name. A
            search or a dream that is not finished has what there is of it so far.

    Raises:
        UserError: there is no such directory, or it is damaged.
    """
    from synthenv.core.files import read_json
    from synthenv.runs.storage.locked_directory import RESULT
    from synthenv.runs.storage.stored_config import stored_config

    directory = Path(path)
    stored = stored_config(directory)
    name = stored.get("command")
    if name not in KINDS:
        raise UserError(
            f"{directory} holds no run that can be loaded: pass the directory of {', '.join(KINDS)}"
        )
    if name in ("train", "evaluate"):
        words = {
            key: value for key, value in stored.items() if key not in ("command", "learner", "tested_on")
        }
        command = cli.parse([name, *words_of(words | {"out": directory})])
    else:
        command = cli.parse([*name.split(), "--resume", "--out", str(directory)])
    result = directory / RESULT
    found = read_json(result, "put back a copy of it") if result.exists() else {}
    return KINDS[name](directory, found, command)


def make(name: Place) -> tuple[Any, Any]:
    """Build an environment like ``gymnax.make``.

        env, params = synthenv.make("synthetic/CartPole-v0:0")

    Args:
        name: a task id, a shipped proxy (the first one unless ``:i`` says otherwise), or a search.

    Returns:
        (env, params), params holding the evolved weights of a proxy.

    Raises:
        UserError: if the name is unknown or a file is damaged.
    """
    from synthenv.zoo import registry

    return registry.make(place_of(name))


def rollout(key: "jax.Array", env: Any, env_params: Any, policy: "Policy", num_steps: int) -> "Transition":
    """Act for a number of steps, from one episode into the next; pure, jit and vmap it at will.

        steps = synthenv.rollout(jax.random.key(0), env, params, policy, 200)
        steps.reward.sum()

    Args:
        key: randomness.
        env: any gymnax environment, such as those of ``make``.
        env_params: its params.
        policy: (key, obs) -> action.
        num_steps: T.

    Returns:
        obs, action, reward, next_obs, terminated and truncated of every step, with leading axis [T]. Where an episode
        ends, ``next_obs`` is its last observation.
    """
    from synthenv.envs import rollout as scans

    return scans.rollout(key, env, env_params, policy, num_steps)
