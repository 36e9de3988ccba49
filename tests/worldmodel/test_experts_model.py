"""The experts as a world model: toy tasks of the paper, twins, whole numbers, and rewards of where a step leads."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.envs import registry
from synthenv.worldmodel import columns, experts_model
from synthenv.worldmodel.collect import collect
from synthenv.worldmodel.experts_model import EXPERTS
from synthenv.worldmodel.strategies import Collection

LINE, GRID = registry.make("SimpleEnv"), registry.make("GridWorld")
NUM_ROWS = 200
ask_one = jax.jit(experts_model.predict)
ask_all = jax.jit(jax.vmap(experts_model.predict, (None, 0, 0)))


def step(spec, obs, action):
    """What the real task says, from any observation."""

    def one(obs, action):
        _, state = spec.env.reset_env(jax.random.key(0), spec.env_params)
        leaves, tree = jax.tree.flatten(state)
        state = jax.tree.unflatten(tree, leaves)
        return spec, state

    raise NotImplementedError


@pytest.fixture(scope="module")
def line():
    return collect(jax.random.key(0), LINE, Collection("random", num_steps=NUM_ROWS)).transitions


@pytest.fixture(scope="module")
def line_cache(line):
    return EXPERTS.encode(None, line, None)
