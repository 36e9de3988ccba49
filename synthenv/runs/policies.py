"""The policies that an ``oswm run`` leaves behind, to be played again."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from synthenv.core.errors import UserError
from synthenv.core.sealed_file import read_sealed
from synthenv.runs.dream_places import real_task
from synthenv.runs.dream_presets import dreaming_agent
from synthenv.runs.dream_training import Trainer
from synthenv.runs.rundir import stored_config

Policy = Callable[[jax.Array, jax.Array], jax.Array]  # (key, obs [d]) -> action


def load_policy(run: str | Path, seed: int) -> Policy:
    """What a seed of a run learnt, as it was at the end of training; pure, jit and vmap it at will.

    Args:
        run: directory of an ``oswm run`` on a task of ours.
        seed: counted from 0, as the files in ``policies/`` are.

    Raises:
        UserError: there is no such run, or it is of a task that cannot be compiled.
    """
    run = Path(run)
    config = stored_config(run)
    if config.get("command") != "oswm run":
        raise UserError(f"{run} holds no oswm run: pass the directory of one")
    name, agent, max_steps = config["task"], config["agent"], config["max_steps"]
    spec = real_task(name).spec if name is not None else None
    if spec is None:
        raise UserError(f"policies of {name or 'a file'} cannot be loaded: its task is none of synthenv list")
    trainer = Trainer(dreaming_agent(agent, name, max_steps), spec.env, spec.env_params)
    shapes = jax.eval_shape(
        lambda key: trainer.policy(trainer.begin(key, spec.env_params)), jax.random.key(0)
    )
    arrays = read_sealed(run / "policies" / f"seed{seed}.safetensors")[0]
    places, structure = jax.tree_util.tree_flatten_with_path(shapes)
    wanted = {jax.tree_util.keystr(place): leaf.shape for place, leaf in places}
    if {key: array.shape for key, array in arrays.items()} != wanted:
        raise UserError(f"the policy of seed {seed} in {run} is of another version's agent: run it again")
    params = jax.tree.unflatten(structure, [jnp.asarray(arrays[key]) for key in wanted])
    return lambda key, obs: trainer.act(key, params, obs)
