"""Environments of brax through the interface of gymnax: HalfCheetah and Reacher.

brax 0.14's HalfCheetah is MuJoCo's (v3 to v5) in what it observes (positions without x, then velocities, [17]), in its
reward (x velocity minus 0.1 times the squared action), its start (noise uniform in +-0.1, normal with std 0.1), its
0.05 s per step, its limit of 1000 steps without termination, and in every mass, joint and friction. It differs in:

* What touches the floor. In MuJoCo every part does; in brax torso, back shin and front shin pass through it.
* Physics. ``mjx`` is MuJoCo's, with 5 substeps, in float32 and with 4 solver iterations instead of up to 100. brax's
  other kinds (``generalized``, ``positional``, ``spring``) make other animals of it.
* The x position. With ``mjx`` position, velocity and run reward lag by one substep of 0.01 s.

``benchmarks/README.md`` has steps, returns and speeds of all four beside MuJoCo's: only ``mjx`` is near enough to
HalfCheetah-v3 for the SE/RN papers' threshold of 3000 to carry over, which no trained policy has tested.
"""

import contextlib
import functools
import importlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment

from synthenv.core.errors import UserError
from synthenv.envs.action_units import Actions
from synthenv.envs.vector_task import VectorTask

EnvParams = environment.EnvParams


@struct.dataclass
class EnvState(environment.EnvState):
    """brax's own state, and the steps of this episode, int32 []."""

    brax: Any
    time: Any


class BraxEnvironment(VectorTask):
    """A brax environment, unwrapped, as a gymnax one; the observation is a vector.

    ``info["vector"]`` of a step, float32 [info_size], holds what brax keeps in ``state.metrics``.

    Args:
        name: what ``env.name`` answers.
        env: the brax environment, without brax's wrappers: they would reset and count steps too.
        info_metrics: the entries of ``state.metrics`` that make up the info vector, in order.
        max_steps: default time limit.
    """

    def __init__(self, name: str, env: Any, info_metrics: tuple[str, ...], max_steps: int):
        params = EnvParams(max_steps_in_episode=max_steps)
        super().__init__(name, Actions(env.action_size, 1.0, False), params)
        self.brax_env = env
        self._info_metrics = info_metrics

    @property
    def info_size(self) -> int:
        """Length of ``info["vector"]``."""
        return len(self._info_metrics)

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Apply torques, float32 [num_actions] in [-1, 1], for one step; brax's physics draws nothing."""
        # brax writes into the dict of metrics that it is given. The caller's, which may outlive the trace of this step
        # (a branch of a cond), is not for it: tree.map builds new ones.
        before = jax.tree.map(lambda leaf: leaf, state.brax)
        with jax.numpy_rank_promotion("allow"):
            after = self.brax_env.step(before, action)
        vector = jnp.stack([after.metrics[name] for name in self._info_metrics])
        state = EnvState(brax=after, time=state.time + 1)
        obs, state = self._apply_transition_gradient_policy(after.obs, state)
        info = {"discount": self.discount(state, params), "vector": vector.astype(jnp.float32)}
        return obs, state, after.reward, self.is_terminated(state, params), info

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Draw a start as brax does."""
        with jax.numpy_rank_promotion("allow"):
            first = self.brax_env.reset(key)
        return first.obs, EnvState(brax=first, time=jnp.int32(0))

    def get_obs(
        self, state: EnvState, params: EnvParams | None = None, key: jax.Array | None = None
    ) -> jax.Array:
        """Return what the last step or reset observed, float32 [obs]."""
        return state.brax.obs

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Say whether brax calls the state done, bool []; a HalfCheetah never is."""
        return state.brax.done > 0.5

    @functools.cached_property
    def obs_size(self) -> int:  # type: ignore[override]
        # Traced, not run as brax's observation_size is, and on demand: even that takes seconds.
        with jax.numpy_rank_promotion("allow"):
            return jax.eval_shape(self.brax_env.reset, jax.random.key(0)).obs.shape[0]


def half_cheetah(name: str = "HalfCheetah", backend: str = "mjx") -> BraxEnvironment:
    """Build brax's HalfCheetah.

    ``info["vector"]`` is x position, x velocity, run reward and control reward, as the info of gym's HalfCheetah-v3.

    Args:
        name: what ``env.name`` answers.
        backend: brax's physics: mjx, or another one for what any physics will do for, see above.

    Raises:
        UserError: brax, or something it needs, is not installed.
    """
    env = _build(name, "half_cheetah", "Halfcheetah", backend)
    metrics = ("x_position", "x_velocity", "reward_run", "reward_ctrl")
    return BraxEnvironment(name, env, metrics, max_steps=1000)


def reacher(name: str = "brax/reacher") -> BraxEnvironment:
    """Build brax's Reacher: an arm of two joints in a plane, whose tip shall be where the target is.

    It is gymnasium's Reacher with the following differences. Its physics is ``generalized``, what brax itself takes if
    not told otherwise. It observes [11] instead of v5's [10] (a z difference, always 0, as v4 did), the speed of the
    tip in m/s instead of those of the joints, and the target is more often near the middle (uniform in distance, not
    in area). The reward is the same, minus the distance in metres minus the sum of squared actions, but of the state
    after the step (v4: before it). And an episode has 1000 steps of 0.02 s instead of 50: that is the length that
    ``brax.envs.create`` and brax's trainings give it. Nothing terminates.

    brax names no threshold. Ours is the rule of the One-Shot World Model paper, best - 0.03 * (best - random), which is
    -31 for the returns in ``benchmarks/README.md``.

    ``info["vector"]`` is the two parts of the reward: distance, then control.

    Args:
        name: what ``env.name`` answers.

    Raises:
        UserError: brax, or something it needs, is not installed.
    """
    env = _build(name, "reacher", "Reacher", "generalized")
    return BraxEnvironment(name, env, ("reward_dist", "reward_ctrl"), max_steps=1000)


def _build(name: str, module: str, class_name: str, backend: str) -> Any:
    """Build ``brax.envs.<module>.<class_name>`` in silence."""
    with _quiet():
        try:
            mujoco: Any = importlib.import_module("mujoco")  # type checkers do not see all of it
            build = getattr(importlib.import_module(f"brax.envs.{module}"), class_name)
        except ImportError as error:
            raise UserError(f"{name} needs brax ({error}): pip install 'synthenv[brax]'") from error
        # MuJoCo's C code complains about brax's model on stderr and in a file MUJOCO_LOG.TXT where it stands.
        callback = mujoco.get_mju_user_warning()
        mujoco.set_mju_user_warning(lambda message: None)
        try:
            return build(backend=backend)
        finally:
            mujoco.set_mju_user_warning(callback)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what MJX prints about an absent warp, and brax's advice to use something newer."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
