"""Any task of gymnasium as a gymnax environment: a compiled loop calls the host, for all its copies at once.

gymnasium's environments change as they are stepped, and few can be set back, so ``EnvState`` holds the number of a
seat: an instance on the host in which this one episode is played. Stepping is pure all the same, as far as the task is
the same for the same seed: whoever steps from an earlier state, as members do that stand still under ``vmap``, gets an
episode of its own, which is played anew up to there. A seat is free for another episode once its own has ended, or has
long been left alone.

``host_task`` does better where it can: its states hold all that there is, and nothing has to be played anew.

XLA's cache cannot keep programs that call the host, so every process compiles its own.
"""

import threading
from collections import OrderedDict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment

from synthenv.core.errors import UserError
from synthenv.envs.on_host import gymnasium_task
from synthenv.envs.vector_task import VectorTask

EnvParams = environment.EnvParams
_MOST_SEATS = 512  # instances of a task; more only where more are stepped side by side
_FRESH = 64  # instances that are kept as a reset left them, so that a first step need not reset them again
_REMEMBERED = 4096  # ended episodes that may still be stepped on, or anew from an earlier state


@struct.dataclass
class EnvState(environment.EnvState):
    """The observation [d], the seed of this episode, uint32 [], its seat (-1 before the first step) and its steps."""

    obs: Any
    seed: Any
    seat: Any
    time: Any


class GymnasiumEnv(VectorTask):
    """A task of gymnasium with vector observations and discrete or bounded actions.

    Args:
        env_id: gymnasium's id.

    Raises:
        UserError: there is none of that id, it observes or acts in another way, or it has no time limit.
    """

    def __init__(self, env_id: str):
        task = gymnasium_task.spec(env_id)
        if task.max_steps is None:
            raise UserError(
                f"{env_id} has no time limit: register it with gymnasium by another name and max_episode_steps"
            )
        params = EnvParams(max_steps_in_episode=task.max_steps)
        super().__init__(env_id, task.units.actions, params, task.obs_size)
        self._seats = _Seats(env_id, task.max_steps)

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Step on the host; nothing is drawn."""
        numbers = (jax.ShapeDtypeStruct((), dtype) for dtype in (jnp.float32, jnp.bool_, jnp.int32))
        obs, reward, terminated, seat = jax.pure_callback(
            self._seats.step,
            (self._obs_shape, *numbers),
            state.seat,
            state.seed,
            state.time,
            action,
            vmap_method="broadcast_all",
        )
        state = EnvState(obs=obs, seed=state.seed, seat=seat, time=state.time + 1)
        discount = jnp.where(terminated, 0.0, 1.0)
        return obs, state, reward, terminated, {"discount": discount}

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Begin as gymnasium does with a seed drawn from the key."""
        seed = jax.random.bits(key, dtype=jnp.uint32)
        obs = jax.pure_callback(self._seats.reset, self._obs_shape, seed, vmap_method="broadcast_all")
        return obs, EnvState(obs=obs, seed=seed, seat=jnp.int32(-1), time=jnp.int32(0))

    @property
    def _obs_shape(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.obs_size,), jnp.float32)


class _Seat:
    """An instance of a task, how its episode came to where it stands, and what its last step gave."""

    def __init__(self, env: Any):
        self.env = env
        self.actions: list[np.ndarray] = []
        self.last: tuple[Any, float, bool] = (None, 0.0, False)

    @property
    def time(self) -> int:
        """Steps of its episode so far."""
        return len(self.actions)


class _Seats:
    """Instances of one task by the number of the episode that is played in them, the least recently used first."""

    def __init__(self, env_id: str, max_steps: int):
        self._env_id, self._max_steps = env_id, max_steps
        self._lock = threading.Lock()  # programs of several threads call at once
        self._playing: OrderedDict[int, _Seat] = OrderedDict()
        self._fresh: OrderedDict[int, Any] = OrderedDict()  # instances by the seed that they were reset with
        self._ended: OrderedDict[int, _Seat] = OrderedDict()
        self._free: list[Any] = []
        self._next, self._side_by_side = 0, 1

    def reset(self, seed: Any) -> np.ndarray:
        """First observations [..., d] for every seed [...]; an episode takes a seat when it is stepped."""
        seed = np.asarray(seed)
        with self._lock:
            self._side_by_side = max(self._side_by_side, seed.size)
            obs = np.stack([self._reset(int(one)) for one in seed.ravel()]).astype(np.float32)
        return obs.reshape(*seed.shape, -1)

    def step(self, seat: Any, seed: Any, time: Any, action: Any) -> tuple[np.ndarray, ...]:
        """Step every seat [...]; returns observations [..., d], rewards, terminations and seats [...]."""
        seat, action = np.asarray(seat), np.asarray(action)
        actions = action.reshape(seat.size, *action.shape[seat.ndim :])
        rows = zip(*(np.asarray(part).ravel().tolist() for part in (seat, seed, time)), actions, strict=True)
        with self._lock:
            self._side_by_side = max(self._side_by_side, seat.size)
            each = [self._advance(*row) for row in rows]
        obs = np.stack([one[0] for one in each]).astype(np.float32).reshape(*seat.shape, -1)
        others = (np.array(part).reshape(seat.shape) for part in list(zip(*each, strict=True))[1:])
        return obs, *(
            part.astype(dtype) for part, dtype in zip(others, (np.float32, bool, np.int32), strict=True)
        )

    def _reset(self, seed: int) -> Any:
        env = self._fresh.pop(seed, None) or self._instance()
        self._fresh[seed] = env
        return env.reset(seed=seed)[0]

    def _begin(self, seed: int) -> int:
        """Give an episode a seat."""
        if seed not in self._fresh:
            self._reset(seed)
        number, self._next = self._next, (self._next + 1) % (2**31 - 1)
        self._playing[number] = _Seat(self._fresh.pop(seed))
        return number

    def _instance(self) -> Any:
        """One whose episode has ended; else one that was reset in vain, or a new one, or the longest left alone."""
        room = 4 * self._side_by_side
        if not self._free and len(self._fresh) > max(_FRESH, room):
            self._free.append(self._fresh.popitem(last=False)[1])
        if not self._free and len(self._playing) >= max(_MOST_SEATS, room):
            self._free.append(self._playing.popitem(last=False)[1].env)
        return self._free.pop() if self._free else gymnasium_task.make(self._env_id)

    def _advance(self, number: int, seed: int, time: int, action: Any) -> tuple[Any, float, bool, int]:
        if number < 0:
            number = self._begin(seed)
            return *self._step(number, action), number
        seat = self._playing.get(number) or self._ended.get(number)
        if seat is None:
            raise RuntimeError(
                f"a state of {self._env_id} was left alone for so long that its episode is gone: step fewer at a time"
            )
        if (
            number in self._ended and time >= seat.time
        ):  # somebody steps on behind the end, as tests do that wait
            return seat.last[0], 0.0, True, number
        if time == seat.time - 1 and np.array_equal(action, seat.actions[-1]):
            return *seat.last, number  # the program asks once more for the same step
        if time < seat.time:  # another step from an earlier state: an episode of its own from here on
            past, number = seat.actions[:time], self._begin(seed)
            for before in past:
                self._step(number, before)
        return *self._step(number, action), number

    def _step(self, number: int, action: Any) -> tuple[Any, float, bool]:
        seat = self._playing[number]
        self._playing.move_to_end(number)
        obs, reward, terminated, truncated, _ = seat.env.step(gymnasium_task.env_action(seat.env, action))
        seat.actions.append(np.array(action))
        # What gymnasium cuts before the time limit ends the episode, too.
        over = bool(terminated) or (bool(truncated) and seat.time < self._max_steps)
        seat.last = np.array(obs, np.float32), float(reward), over
        if over or seat.time >= self._max_steps:
            self._end(number)
        return seat.last

    def _end(self, number: int) -> None:
        seat = self._playing.pop(number)
        self._free.append(seat.env)
        seat.env = None
        self._ended[number] = seat
        if len(self._ended) > max(_REMEMBERED, 4 * self._side_by_side):
            self._ended.popitem(last=False)
