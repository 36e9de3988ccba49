"""Small logs of known tasks, as careful people write them, and what careless ones do to them."""

import numpy as np


def spring(num_rows: int = 200, seed: int = 0, limit: int = 25, ends: bool = True) -> dict[str, np.ndarray]:
    """A pushed spring whose position beyond 1.2 ends an episode, as 25 steps do; three actions, float64.

    Places, speeds and rewards are smooth functions of each other, so that a closed-form law foresees them.
    """
    source = np.random.default_rng(seed)
    rows, state, age = [], source.uniform(-0.1, 0.1, 2), 0
    for _ in range(num_rows):
        action = int(source.integers(3))
        place, speed = state
        speed = speed - 0.15 * place + 0.2 * (action - 1)
        after = np.array([place + 0.5 * speed, speed])
        age += 1
        terminated = ends and abs(after[0]) > 1.2
        truncated = age == limit and not terminated
        rows.append((state, action, -(after[0] ** 2) - 0.1 * speed**2, after, terminated, truncated))
        state = after
        if terminated or truncated:
            state, age = source.uniform(-0.1, 0.1, 2), 0
    return named(rows)


def pushed(num_rows: int = 200, seed: int = 1) -> dict[str, np.ndarray]:
    """The same without ends but time limits, pushed by any force within 1, floats [N, 1]."""
    log = spring(num_rows, seed, ends=False)
    source = np.random.default_rng(seed)
    force = source.uniform(-1, 1, num_rows)
    state = source.uniform(-0.1, 0.1, 2)
    for row in range(num_rows):
        speed = state[1] - 0.15 * state[0] + 0.2 * force[row]
        after = np.array([state[0] + 0.5 * speed, speed])
        log["observations"][row], log["next_observations"][row] = state, after
        log["rewards"][row] = -(after[0] ** 2) - 0.1 * force[row] ** 2
        state = source.uniform(-0.1, 0.1, 2) if log["truncations"][row] else after
    return log | {"actions": force[:, None]}


def named(rows: list[tuple]) -> dict[str, np.ndarray]:
    """Rows of steps as the arrays of an ``.npz``."""
    names = ("observations", "actions", "rewards", "next_observations", "terminations", "truncations")
    return dict(zip(names, (np.array(column) for column in zip(*rows, strict=True)), strict=True))


def picked(log: dict[str, np.ndarray], rows) -> dict[str, np.ndarray]:
    """Those rows of a log."""
    return {name: array[rows] for name, array in log.items()}


def ended(log: dict[str, np.ndarray]) -> np.ndarray:
    """Which rows ended an episode. bool [N]"""
    return log["terminations"] | log["truncations"]


def next_step_reset(log: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """After every end the row of the reset, as gymnasium's vector environments have by default."""
    rows = []
    for row in range(len(log["rewards"])):
        rows.append(tuple(array[row] for array in log.values()))
        if ended(log)[row] and row + 1 < len(log["rewards"]):
            action = log["actions"][(row * 7) % len(log["rewards"])]
            begins = log["observations"][row + 1]
            rows.append((log["next_observations"][row], action, 0.0, begins, False, False))
    return named(rows)


def same_step_reset(log: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Where an end led is overwritten by the next beginning."""
    after = log["next_observations"].copy()
    last = np.flatnonzero(ended(log)[:-1])
    after[last] = log["observations"][last + 1]
    return log | {"next_observations": after}


def by_turns(logs: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Steps of several environments by turns, as [T, N] flattened."""
    return {
        name: np.stack([log[name] for log in logs], axis=1).reshape(-1, *logs[0][name].shape[1:])
        for name in logs[0]
    }
