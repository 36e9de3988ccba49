"""Any task of gymnasium as a gymnax environment: a compiled loop calls the host, for all its copies at once.

gymnasium's environments change as they are stepped, and few can be set back, so ``EnvState`` holds the number of a
seat: an instance on the host in which this one episode is played. A state can be stepped once, forwards, which is all
that trainings and tests do. A seat is free for another episode once its own has ended, or has long been left alone.

``host_task`` does better where it can: its states can be stepped from as often as one likes.

XLA's cache cannot keep programs that call the host, so every process compiles its own.
"""

import threading
from collections import OrderedDict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from synthenv.core.errors import UserError
from synthenv.envs.on_host import gymnasium_task

EnvParams = environment.EnvParams
_MOST_SEATS = 512  # instances of a task; more only where more are stepped side by side
_FRESH = 64  # resets that may still be stepped although others came after them
_REMEMBERED = 1 << 16  # episodes whose last observation is kept for those who step on


@struct.dataclass
class EnvState(environment.EnvState):
    """The observation [d], the seat of this episode and its steps so far, int32 [] each."""

    obs: Any
    seat: Any
    time: Any


class GymnasiumEnv(environment.Environment[EnvState, EnvParams]):
    """A task of gymnasium with vector observations and discrete or bounded actions.

    Args:
        env_id: gymnasium's id.

    Raises:
        UserError: there is none of that id, it observes or acts in another way, or it has no time limit.
    """

    def __init__(self, env_id: str):
        super().__init__()
        task = gymnasium_task.spec(env_id)
        if task.max_steps is None:
            raise UserError(
                f"{env_id} has no time limit in gymnasium: register it as a Task with max_steps, or with gymnasium"
            )
        self._task, self._max_steps, self._seats = task, task.max_steps, _Seats(env_id, task.max_steps)

    @property
    def default_params(self) -> EnvParams:
        return EnvParams(max_steps_in_episode=self._max_steps)

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Step on the host; nothing is drawn."""
        shapes = (self._obs_shape, jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((), jnp.bool_))
        obs, reward, terminated = jax.pure_callback(
            self._seats.step, shapes, state.seat, state.time, action, vmap_method="broadcast_all"
        )
        state = EnvState(obs=obs, seat=state.seat, time=state.time + 1)
        discount = jnp.where(terminated, 0.0, 1.0)
        return obs, state, reward, terminated, {"discount": discount}

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Begin as gymnasium does with a seed drawn from the key."""
        shapes = (self._obs_shape, jax.ShapeDtypeStruct((), jnp.int32))
        seed = jax.random.bits(key, dtype=jnp.uint32)
        obs, seat = jax.pure_callback(self._seats.reset, shapes, seed, vmap_method="broadcast_all")
        return obs, EnvState(obs=obs, seat=seat, time=jnp.int32(0))

    def get_obs(
        self, state: EnvState, params: EnvParams | None = None, key: jax.Array | None = None
    ) -> jax.Array:
        return state.obs

    @property
    def name(self) -> str:
        return self._task.env_id

    @property
    def num_actions(self) -> int:
        return self._task.units.num_actions or len(self._task.units.low)

    def action_space(self, params: EnvParams | None = None) -> spaces.Discrete | spaces.Box:
        units = self._task.units
        if units.num_actions is not None:
            return spaces.Discrete(units.num_actions)
        bound = float(units.bound or 0)
        return spaces.Box(-bound, bound, (len(units.low),), dtype=jnp.float32)

    def observation_space(self, params: EnvParams | None = None) -> spaces.Box:
        return spaces.Box(-jnp.inf, jnp.inf, (self._task.obs_size,), dtype=jnp.float32)

    @property
    def _obs_shape(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self._task.obs_size,), jnp.float32)


class _Seat:
    """An instance of a task, the steps of its episode, and what the last of them gave."""

    def __init__(self, env: Any):
        self.env, self.time = env, 0
        self.last: tuple[Any, float, bool] = (None, 0.0, False)


class _Seats:
    """Instances of one task by the number of the episode that is played in them, the least recently used first."""

    def __init__(self, env_id: str, max_steps: int):
        self._env_id, self._max_steps = env_id, max_steps
        self._lock = threading.Lock()  # programs of several threads call at once
        self._playing: OrderedDict[int, _Seat] = OrderedDict()
        self._fresh: OrderedDict[int, None] = OrderedDict()  # reset and not stepped yet
        self._ended: OrderedDict[int, _Seat] = OrderedDict()
        self._free: list[Any] = []
        self._next, self._side_by_side = 0, 1

    def reset(self, seed: Any) -> tuple[np.ndarray, np.ndarray]:
        """Begin an episode for every seed [...]; returns observations [..., d] and seats [...]."""
        seed = np.asarray(seed)
        with self._lock:
            self._side_by_side = max(self._side_by_side, seed.size)
            begun = [self._begin(int(one)) for one in seed.ravel()]
        obs = np.stack([obs for obs, _ in begun]).astype(np.float32)
        seats = np.array([number for _, number in begun], np.int32)
        return obs.reshape(*seed.shape, -1), seats.reshape(seed.shape)

    def step(self, seat: Any, time: Any, action: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step every seat [...] once; returns observations [..., d], rewards and terminations [...]."""
        seat, time, action = np.asarray(seat), np.asarray(time).ravel(), np.asarray(action)
        actions = action.reshape(seat.size, *action.shape[seat.ndim :])
        with self._lock:
            each = [self._advance(int(n), int(time[i]), actions[i]) for i, n in enumerate(seat.ravel())]
        obs = np.stack([obs for obs, _, _ in each]).astype(np.float32).reshape(*seat.shape, -1)
        reward, terminated = (
            np.array(part).reshape(seat.shape) for part in list(zip(*each, strict=True))[1:]
        )
        return obs, reward.astype(np.float32), terminated.astype(bool)

    def _begin(self, seed: int) -> tuple[Any, int]:
        env, number = self._instance(), self._next
        self._next = (self._next + 1) % (2**31 - 1)
        obs, _ = env.reset(seed=seed)
        self._playing[number], self._fresh[number] = _Seat(env), None
        return obs, number

    def _instance(self) -> Any:
        """One whose episode has ended; else one that was reset in vain, or a new one, or the longest left alone."""
        room = 4 * self._side_by_side
        if not self._free and len(self._fresh) > max(_FRESH, room):
            number, _ = self._fresh.popitem(last=False)
            self._free.append(self._playing.pop(number).env)
        if not self._free and len(self._playing) >= max(_MOST_SEATS, room):
            number, seat = self._playing.popitem(last=False)
            self._fresh.pop(number, None)
            self._free.append(seat.env)
        return self._free.pop() if self._free else gymnasium_task.make(self._env_id)

    def _advance(self, number: int, time: int, action: Any) -> tuple[Any, float, bool]:
        if number in self._ended:  # somebody steps on behind the end, as tests do that wait for others
            last = self._ended[number].last
            return last if time == self._ended[number].time - 1 else (last[0], 0.0, True)
        seat = self._playing.get(number)
        if seat is None or time not in (seat.time, seat.time - 1):
            raise RuntimeError(
                f"a state of {self._env_id} was stepped twice: only its newest one can be stepped"
            )
        self._fresh.pop(number, None)
        self._playing.move_to_end(number)
        if time == seat.time:  # else the program asks once more for the same step
            obs, reward, terminated, truncated, _ = seat.env.step(gymnasium_task.env_action(seat.env, action))
            seat.time += 1
            # What gymnasium cuts before the time limit ends the episode, too.
            over = bool(terminated) or (bool(truncated) and seat.time < self._max_steps)
            seat.last = obs, float(reward), over
            if over or seat.time >= self._max_steps:
                self._end(number, seat)
        return seat.last

    def _end(self, number: int, seat: _Seat) -> None:
        del self._playing[number]
        self._free.append(seat.env)
        seat.env = None
        self._ended[number] = seat
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
