"""Deterministic gridworlds drawn as text: Cliff Walking and the empty rooms of the SE/RN papers.

A map is one string per row, made of ``S`` start, ``G`` goal, ``H`` hole (a cliff cell), ``#`` wall and ``.``
free. Cells are counted row by row, ``cell = row * num_cols + col``, walls included. Moving off the map or
into a wall leaves the cell unchanged. The reward depends only on the cell that is entered (for a blocked
move: the one that is kept); a goal or a hole terminates.

References:
    Ferreira et al., Learning Synthetic Environments and Reward Networks for Reinforcement Learning, ICLR
    2022.
    Cliff Walking: Sutton and Barto, Reinforcement Learning, example 6.6. There, as in gymnasium, the cliff
    sends the agent back to the start and the goal costs a step; here, as in the paper's code, the cliff
    terminates and the goal is free.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from synthenv.envs.action_units import Actions
from synthenv.envs.vector_task import VectorTask

# (row, column) displacement of action 0 right, 1 left, 2 down, 3 up.
MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))


@struct.dataclass
class EnvState(environment.EnvState):
    """Where the agent is: int32 [] each."""

    cell: jax.Array
    time: jax.Array


@struct.dataclass
class EnvParams(environment.EnvParams):
    """Rewards by kind of the entered cell, and the time limit in steps. The defaults are EmptyRoom22."""

    step_reward: float = -0.01
    goal_reward: float = 1.0
    hole_reward: float = -1.0
    max_steps_in_episode: int = 10


class GridWorld(VectorTask):
    """A deterministic gridworld with one-hot observations, float32 [num_cells].

    Args:
        name: what ``env.name`` answers.
        layout: the rows of the map, top to bottom.
        default_params: the numbers of this task.

    Attributes:
        cells: the map, one character a cell. [num_rows, num_cols]

    Raises:
        ValueError: the map is not rectangular, has unknown characters, or lacks its one start or a goal.
    """

    is_table = True  # each observation is the one-hot cell of a table

    def __init__(self, name: str, layout: tuple[str, ...], default_params: EnvParams):
        self.cells = cells = parse_layout(layout)
        super().__init__(name, Actions(len(MOVES), 1.0, True), default_params, cells.size)
        self.num_rows, self.num_cols = cells.shape
        # NumPy, not jax: the first construction may happen while something is being traced.
        self._start = np.int32(np.flatnonzero(cells == "S")[0])
        self._goal = (cells == "G").ravel()  # [num_cells]
        self._hole = (cells == "H").ravel()  # [num_cells]
        self._successor = successor_table(cells)  # [num_cells, num_actions]

    @property
    def num_cells(self) -> int:
        """Number of cells of the map, walls included."""
        return self.num_rows * self.num_cols

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Move one cell; see the module docstring for the rules."""
        cell = jnp.asarray(self._successor)[state.cell, action]
        reward = jnp.where(jnp.asarray(self._hole)[cell], params.hole_reward, params.step_reward)
        reward = jnp.where(jnp.asarray(self._goal)[cell], params.goal_reward, reward)
        state = EnvState(cell=cell, time=state.time + 1)
        info = {"discount": self.discount(state, params)}
        return self.get_obs(state), state, reward, self.is_terminated(state, params), info

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Start on ``S``; the key is not needed."""
        state = EnvState(cell=jnp.asarray(self._start), time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(
        self, state: EnvState, params: EnvParams | None = None, key: jax.Array | None = None
    ) -> jax.Array:
        """Return the cell as a one-hot vector, float32 [num_cells]."""
        return jax.nn.one_hot(state.cell, self.num_cells, dtype=jnp.float32)

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Say whether the agent stands on a goal or in a hole, bool []."""
        return jnp.asarray(self._goal | self._hole)[state.cell]

    def observation_space(self, params: EnvParams | None = None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (self.num_cells,), dtype=jnp.float32)

    def state_space(self, params: EnvParams) -> spaces.Dict:
        # The state that reaches the limit is a state too, hence + 1.
        time = spaces.Discrete(params.max_steps_in_episode + 1)
        return spaces.Dict({"cell": spaces.Discrete(self.num_cells), "time": time})


def parse_layout(layout: tuple[str, ...]) -> np.ndarray:
    """Turn a text map into characters [num_rows, num_cols]; a bad map is a ValueError that says why."""
    if not layout or not layout[0] or len({len(row) for row in layout}) != 1:
        raise ValueError(f"a gridworld map needs rows of one non-zero length, got {layout!r}")
    cells = np.array([list(row) for row in layout])
    unknown = sorted(set(cells.ravel().tolist()) - set("SGH#."))
    if unknown:
        raise ValueError(f"a gridworld map is made of 'S', 'G', 'H', '#' and '.', got {unknown}")
    if (cells == "S").sum() != 1 or not (cells == "G").any():
        raise ValueError(f"a gridworld map needs exactly one 'S' and at least one 'G', got {layout!r}")
    return cells


def successor_table(cells: np.ndarray) -> np.ndarray:
    """Tabulate the cell reached from each cell by each action, int32 [num_cells, num_actions]."""
    num_rows, num_cols = cells.shape
    row, col = np.divmod(np.arange(cells.size), num_cols)
    columns = []
    for row_step, col_step in MOVES:
        new_row = np.clip(row + row_step, 0, num_rows - 1)
        new_col = np.clip(col + col_step, 0, num_cols - 1)
        blocked = cells[new_row, new_col] == "#"
        columns.append(np.where(blocked, row * num_cols + col, new_row * num_cols + new_col))
    return np.stack(columns, axis=1).astype(np.int32)


def cliff_walking() -> GridWorld:
    """Build the 4 x 12 Cliff; the best return is -12: twelve steps of -1, then a free one into the goal."""
    layout = ("." * 12, "." * 12, "." * 12, "S" + "H" * 10 + "G")
    params = EnvParams(step_reward=-1.0, goal_reward=0.0, hole_reward=-100.0, max_steps_in_episode=50)
    return GridWorld("CliffWalking", layout, params)


def empty_room(num_rows: int, num_cols: int, max_steps: int) -> GridWorld:
    """Build a room without obstacles, start top left and goal bottom right; 2 x 2 is best solved with .99."""
    cells = np.full((num_rows, num_cols), ".")
    cells[0, 0], cells[-1, -1] = "S", "G"
    layout = tuple("".join(row) for row in cells)
    return GridWorld(f"EmptyRoom{num_rows}{num_cols}", layout, EnvParams(max_steps_in_episode=max_steps))


empty_room_22 = functools.partial(empty_room, 2, 2, 10)
empty_room_23 = functools.partial(empty_room, 2, 3, 15)
empty_room_33 = functools.partial(empty_room, 3, 3, 20)
