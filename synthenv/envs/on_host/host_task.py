"""Tasks that only gymnasium has as gymnax environments: a compiled loop calls MuJoCo on the host, for all its copies at
once.

gymnasium's own ``step`` does the work, on one instance that is given the state of each copy in turn. That state, which
MuJoCo needs in double precision to take the same step again, travels in ``EnvState`` as pairs of 32-bit words, so
stepping is pure and equals gymnasium's to the bit (``tests/envs/test_host_task.py``).

XLA's cache cannot keep programs that call the host, so every process compiles its own.
"""

import functools
import importlib
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment

from synthenv.envs.on_host import gymnasium_task
from synthenv.envs.on_host.gymnasium_env import GymnasiumEnv
from synthenv.envs.registry import EnvSpec
from synthenv.envs.vector_task import VectorTask

EnvParams = environment.EnvParams
# Those whose step depends on nothing but what ``_PARTS`` names, and whose episodes end by their time limit alone. Ant
# and Humanoid, for instance, also remember where bodies were a step ago.
TASKS = ("Reacher-v5",)
# qpos, qvel, activations and the solver's starting point; controls are set by every step.
_PARTS = ("mjSTATE_PHYSICS", "mjSTATE_WARMSTART")


@struct.dataclass
class EnvState(environment.EnvState):
    """The observation [d], MuJoCo's state as words, uint32 [2 n], and the steps of this episode, int32 []."""

    obs: Any
    words: Any
    time: Any


class HostTask(VectorTask):
    """A MuJoCo task of gymnasium.

    Args:
        env_id: one of ``TASKS``.

    Raises:
        UserError: gymnasium or MuJoCo is not installed.
    """

    def __init__(self, env_id: str):
        wrapped = gymnasium_task.make(env_id)
        task: Any = gymnasium_task.describe(wrapped)
        params = EnvParams(max_steps_in_episode=task.max_steps)
        super().__init__(env_id, task.units.actions, params, task.obs_size)
        self._env: Any = wrapped.unwrapped
        self._mujoco: Any = importlib.import_module("mujoco")
        self._parts = sum(getattr(self._mujoco.mjtState, part).value for part in _PARTS)
        self._size = self._mujoco.mj_stateSize(self._env.model, self._parts)
        self._one_at_a_time = threading.Lock()  # several devices may call at once, there is one instance

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Step on the host, an action being clipped to its bounds; nothing is drawn."""
        shapes = (self._obs_shape, self._words_shape, jax.ShapeDtypeStruct((), jnp.float32))
        bound = self.actions.bound
        obs, words, reward = jax.pure_callback(
            self._steps, shapes, state.words, jnp.clip(action, -bound, bound), vmap_method="broadcast_all"
        )
        state = EnvState(obs=obs, words=words, time=state.time + 1)
        return obs, state, reward, jnp.bool_(False), {"discount": jnp.float32(1.0)}

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Begin as gymnasium does with a seed drawn from the key."""
        seed = jax.random.bits(key, dtype=jnp.uint32)
        shapes = (self._obs_shape, self._words_shape)
        obs, words = jax.pure_callback(self._resets, shapes, seed, vmap_method="broadcast_all")
        return obs, EnvState(obs=obs, words=words, time=jnp.int32(0))

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Never."""
        return jnp.bool_(False)

    @property
    def _obs_shape(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.obs_size,), jnp.float32)

    @property
    def _words_shape(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((2 * self._size,), jnp.uint32)

    def _steps(self, words: Any, action: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One step of every copy: words [..., 2 n] and action [..., a], any leading axes."""
        words, action = np.asarray(words), np.asarray(action)
        leading = words.shape[:-1]
        states = words.reshape(-1, words.shape[-1]).view(np.float64)
        actions = action.reshape(-1, action.shape[-1])
        obs, after, reward = self._room(len(states))
        with self._one_at_a_time:
            for i, state in enumerate(states):
                self._mujoco.mj_setState(self._env.model, self._env.data, state, self._parts)
                obs[i], reward[i], *_ = self._env.step(actions[i])
                self._mujoco.mj_getState(self._env.model, self._env.data, after[i], self._parts)
        return _shaped(leading, obs, after.view(np.uint32), reward)

    def _resets(self, seed: Any) -> tuple[np.ndarray, np.ndarray]:
        """A start for every seed [...]."""
        seed = np.asarray(seed)
        obs, after, _ = self._room(seed.size)
        with self._one_at_a_time:
            for i, one in enumerate(seed.ravel()):
                obs[i] = self._env.reset(seed=int(one))[0]
                self._mujoco.mj_getState(self._env.model, self._env.data, after[i], self._parts)
        return _shaped(seed.shape, obs, after.view(np.uint32))

    def _room(self, num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For observations, states and rewards of so many copies."""
        obs = np.empty((num, self.obs_size), np.float32)
        return obs, np.empty((num, self._size)), np.empty(num, np.float32)


def _shaped(leading: tuple[int, ...], *arrays: np.ndarray) -> Any:
    """Give arrays [N, ...] the leading axes that were asked for."""
    return tuple(array.reshape((*leading, *array.shape[1:])) for array in arrays)


@functools.cache
def make(env_id: str) -> EnvSpec:
    """Look up a task; the same id always returns the same objects.

    A task counts as solved from the return on that gymnasium names, or never.

    Raises:
        UserError: it cannot be stepped here, or gymnasium or MuJoCo is not installed.
    """
    env = HostTask(env_id) if env_id in TASKS else GymnasiumEnv(env_id)
    threshold = gymnasium_task.spec_on_record(env_id).reward_threshold
    params: Any = env.default_params
    solved_return = float("inf") if threshold is None else float(threshold)
    return EnvSpec(env_id, env, params, solved_return, int(params.max_steps_in_episode))
