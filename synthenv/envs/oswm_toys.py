"""The two tasks that the One-Shot World Model paper made for itself: GridWorld and SimpleEnv.

Both are deterministic but for where an episode begins. In the paper's code both report their time limit as a
termination; here it is a truncation, as everywhere in this package, so that an agent may bootstrap through it.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, appendix D; where its text and its public
    code differ (the 27th step of GridWorld, which the text calls "exceeding 25"), the code is followed.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from synthenv.envs.action_units import Actions
from synthenv.envs.vector_task import VectorTask

# (x, y) displacement of action 0 to 3.
MOVES = np.array(((1, 0), (-1, 0), (0, 1), (0, -1)), np.int32)
SIZE = 8  # cells a side, the deadly ring among them
GOAL_X = SIZE - 2  # the last column within the ring is all goals


@struct.dataclass
class GridWorldState(environment.EnvState):
    """Column and row, 0 to 7, and the steps of this episode: int32 [] each."""

    x: jax.Array
    y: jax.Array
    time: jax.Array


@struct.dataclass
class GridWorldParams(environment.EnvParams):
    """Rewards of the entered cell, what every step costs, what a column further right is worth, and the time limit."""

    goal_reward: float = 10.0
    ring_reward: float = -10.0
    step_reward: float = -1.0
    column_reward: float = 0.01
    max_steps_in_episode: int = 27


class GridWorld(VectorTask):
    """An 8 x 8 grid within a ring of death, its goals in a column at the right.

    Observations are x and y as numbers, float32 [2]. Actions 0 to 3 are x + 1, x - 1, y + 1, y - 1. A step pays -1, a
    hundredth of the column that it enters, and that cell: +10 on a goal (x = 6, y = 1 to 6), -10 on the ring, either
    of which terminates. Episodes begin at x = 1 with y uniform in 1 to 6, so the best return is that of going right
    five times: 10 - 5 + 0.01 * (2 + 3 + 4 + 5 + 6) = 5.20.
    """

    def __init__(self):
        super().__init__("GridWorld", Actions(len(MOVES), 1.0, True), GridWorldParams(), obs_size=2)

    def step_env(
        self, key: jax.Array, state: GridWorldState, action: jax.Array, params: GridWorldParams
    ) -> tuple[jax.Array, GridWorldState, jax.Array, jax.Array, dict[Any, Any]]:
        """Move one cell."""
        move = jnp.asarray(MOVES)[action]
        # No episode leaves the grid; one that is stepped on after its end stays on the ring.
        x = jnp.clip(state.x + move[0], 0, SIZE - 1)
        y = jnp.clip(state.y + move[1], 0, SIZE - 1)
        state = GridWorldState(x=x, y=y, time=state.time + 1)
        on_ring, on_goal = self._ends(state)
        cell_reward = jnp.where(on_ring, params.ring_reward, jnp.where(on_goal, params.goal_reward, 0.0))
        reward = cell_reward + params.step_reward + params.column_reward * x
        info = {"discount": self.discount(state, params)}
        return self.get_obs(state), state, reward, on_ring | on_goal, info

    def reset_env(self, key: jax.Array, params: GridWorldParams) -> tuple[jax.Array, GridWorldState]:
        """Start in the first column within the ring, in a random row."""
        y = jax.random.randint(key, (), 1, SIZE - 1)
        state = GridWorldState(x=jnp.int32(1), y=y, time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(
        self, state: GridWorldState, params: GridWorldParams | None = None, key: jax.Array | None = None
    ) -> jax.Array:
        """Return (x, y) in cells, float32 [2]."""
        return jnp.stack([state.x, state.y]).astype(jnp.float32)

    def _ends(self, state: GridWorldState) -> tuple[jax.Array, jax.Array]:
        """Whether the agent stands on the ring, bool [], and on a goal, bool []."""
        last = SIZE - 1
        on_ring = (state.x == 0) | (state.x == last) | (state.y == 0) | (state.y == last)
        return on_ring, (state.x == GOAL_X) & ~on_ring

    def is_terminated(self, state: GridWorldState, params: GridWorldParams) -> jax.Array:
        """Say whether the agent stands on the ring or on a goal, bool []."""
        on_ring, on_goal = self._ends(state)
        return on_ring | on_goal

    def observation_space(self, params: GridWorldParams | None = None) -> spaces.Box:
        return spaces.Box(0.0, SIZE - 1.0, (2,), dtype=jnp.float32)

    def state_space(self, params: GridWorldParams) -> spaces.Dict:
        cell, time = spaces.Discrete(SIZE), spaces.Discrete(params.max_steps_in_episode + 1)
        return spaces.Dict({"x": cell, "y": cell, "time": time})


@struct.dataclass
class SimpleEnvState(environment.EnvState):
    """Where the point is, float32 [], and the steps of this episode, int32 []."""

    position: jax.Array
    time: jax.Array


@struct.dataclass
class SimpleEnvParams(environment.EnvParams):
    """Bounds of position, action and start, each symmetric, and the length of every episode."""

    max_position: float = 30.0
    max_action: float = 10.0
    max_start: float = 5.0
    max_steps_in_episode: int = 20


class SimpleEnv(VectorTask):
    """A point on a line that is moved by the action and pays its distance from 0 after the move.

    Observation and action are float32 [1]. Nothing terminates: every episode has exactly 20 steps. It begins uniformly
    within 5 of the middle, which one action reaches, so the best return is 0.
    """

    def __init__(self):
        params = SimpleEnvParams()
        super().__init__("SimpleEnv", Actions(1, params.max_action, False), params, obs_size=1)

    def step_env(
        self, key: jax.Array, state: SimpleEnvState, action: jax.Array, params: SimpleEnvParams
    ) -> tuple[jax.Array, SimpleEnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Move by the clipped action, float32 [1] or []."""
        move = jnp.clip(jnp.asarray(action).squeeze(), -params.max_action, params.max_action)
        position = jnp.clip(state.position + move, -params.max_position, params.max_position)
        state = SimpleEnvState(position=position, time=state.time + 1)
        obs, state = self._apply_transition_gradient_policy(self.get_obs(state), state)
        info = {"discount": self.discount(state, params)}
        return obs, state, -jnp.abs(position), self.is_terminated(state, params), info

    def reset_env(self, key: jax.Array, params: SimpleEnvParams) -> tuple[jax.Array, SimpleEnvState]:
        """Start near the middle."""
        position = jax.random.uniform(key, minval=-params.max_start, maxval=params.max_start)
        state = SimpleEnvState(position=position, time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(
        self, state: SimpleEnvState, params: SimpleEnvParams | None = None, key: jax.Array | None = None
    ) -> jax.Array:
        """Return the position, float32 [1]."""
        return state.position[None]

    def is_terminated(self, state: SimpleEnvState, params: SimpleEnvParams) -> jax.Array:
        """Return false: only the time limit ends an episode, bool []."""
        return jnp.array(False)

    def action_space(self, params: SimpleEnvParams | None = None) -> spaces.Box:
        bound = (params or self.default_params).max_action
        return spaces.Box(-bound, bound, (1,), dtype=jnp.float32)

    def observation_space(self, params: SimpleEnvParams | None = None) -> spaces.Box:
        bound = (params or self.default_params).max_position
        return spaces.Box(-bound, bound, (1,), dtype=jnp.float32)

    def state_space(self, params: SimpleEnvParams) -> spaces.Dict:
        time = spaces.Discrete(params.max_steps_in_episode + 1)
        return spaces.Dict({"position": self.observation_space(params), "time": time})
