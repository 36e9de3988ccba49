"""Load what an ``oswm run`` leaves: policies, which also play in the real task, and the dreams of their training."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.core.sealed_file import read_sealed
from synthenv.core.types import Prediction
from synthenv.envs.action_units import ActionUnits
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.oswm.run.presets import dreaming_agent
from synthenv.runs.oswm.run.real_tasks import real_task
from synthenv.runs.oswm.run.setup import Dreams
from synthenv.runs.oswm.run.training import Trainer
from synthenv.runs.storage.stored_config import stored_config
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.context.file import load_context
from synthenv.worldmodel.dream.env import EnvParams, WorldModelEnv, env_params

Policy = Callable[[jax.Array, Any], Any]  # (key, obs [d]) -> action


def load_policy(run: str | Path, seed: int) -> Policy:
    """Load what a seed of a run had learnt at the end of training, as a pure function that may be jitted and vmapped.

    Args:
        run: directory of an ``oswm run``.
        seed: counted from 0, as the files in ``policies/`` are.

    Returns:
        (key, obs [d]) -> an action that ``env.step`` of the task takes, in the task's own units: a NumPy array of the
        task's type and shape. Under ``jit`` and ``vmap`` it is a JAX array of at most 32 bits.

    Raises:
        UserError: there is no such run or seed, or this version has another agent of that name.
    """
    run = Path(run)
    config = stored_config(run)
    if config.get("command") != "oswm run":
        raise UserError(f"{run} holds no oswm run: pass the directory of one")
    arrays = read_sealed(run / "policies" / f"seed{seed}.safetensors")[0]
    agent = dreaming_agent(config["agent"], config["task"], config["max_steps"])
    context = load_context(run / "contexts" / f"seed{seed}.safetensors")
    env, params = _still_dream(context)
    trainer = Trainer(agent, env, params)
    shapes = jax.eval_shape(lambda key: trainer.policy(trainer.begin(key, params)), jax.random.key(0))
    places, structure = jax.tree_util.tree_flatten_with_path(shapes)
    wanted = {jax.tree_util.keystr(place): leaf.shape for place, leaf in places}
    has = {key: array.shape for key, array in arrays.items()}
    if plain(agent.stored()) != config["learner"] or has != wanted:
        raise UserError(f"the policy of seed {seed} in {run} is of another version's agent: run it again")
    params = jax.tree.unflatten(structure, [jnp.asarray(arrays[key]) for key in wanted])
    units = _units_of(context, config)

    def policy(key: jax.Array, obs: Any) -> Any:
        action = trainer.act(key, params, jnp.asarray(obs, jnp.float32))
        return units.to_task(action if isinstance(action, Tracer) else np.asarray(action))

    return policy


def load_dream(command: OswmRun, run: Path, seed: int) -> tuple[WorldModelEnv, EnvParams]:
    """Build the dream that a seed of a run learnt in; its context is encoded anew.

    Args:
        command: the run's flags.
        run: its directory.
        seed: counted from 0.

    Raises:
        UserError: there is no such seed, or the world model or the file of the context is gone.
    """
    dreams, context = Dreams(command), load_context(run / "contexts" / f"seed{seed}.safetensors")
    cache = dreams.model.encode(dreams.model.params, context.transitions, context.num_actions)
    return dreams.env, dreams.dream(cache, context)


def _units_of(context: Context, config: Mapping[str, Any]) -> ActionUnits:
    """Return the actions that the task takes; older runs, which do not record them, are asked for their task."""
    if context.units is not None:
        return context.units
    if config["task"] is not None:
        return real_task(config["task"]).units
    return context.actions.units


def _still_dream(context: Context) -> tuple[WorldModelEnv, EnvParams]:
    """Make an environment with the observations and actions of the context, which is all that agents read of it."""

    def predict(cache: None, obs: jax.Array, action: jax.Array) -> Prediction:
        return Prediction(obs, jnp.float32(0), jnp.zeros_like(obs), jnp.float32(0), jnp.float32(0))

    env = WorldModelEnv("still", predict, None, context.actions, context.obs_size)
    return env, env_params(None, context, max_steps=1)
