"""From an agent's config to traced hyperparameters and compiled shape buckets.

Learning rate, batch and width vary freely inside one compiled program; depth and the array width do not, so agents
are sorted into buckets ``(depth, max_hidden)``. Widths are bounded by the rungs of a ladder: padding to the next one
costs at most 2.2 times the arithmetic of a width above 64, where padding all to the widest would cost up to 80. Below
that a step is mostly overhead, and a finer ladder would cost more to compile than it saves.

References:
    Ferreira et al. (2022), table 2.
"""

from typing import NamedTuple

import jax
import numpy as np

from synthenv.agents.config import AgentConfig
from synthenv.agents.ddqn import DDQNConfig, DDQNHyperparams

WIDTHS = (*range(64, 384 + 1, 32), 512, 768, 1024)
BLOCK = 64  # rows of a gradient block when the batch size varies


class Bucket(NamedTuple):
    """The static shape of a network: agents of one bucket share a program."""

    depth: int
    max_hidden: int


def fixed_hyperparams(config: AgentConfig, solved_return: float) -> DDQNHyperparams:
    """The traced part of a config, as Python scalars."""
    names = DDQNHyperparams.__dataclass_fields__
    values = {name: getattr(config, name) for name in names if hasattr(config, name)}
    return DDQNHyperparams(**values, solved_return=solved_return)


def bucket_config(config: AgentConfig, bucket: Bucket, blocked: bool) -> DDQNConfig:
    """The static part of a config for one bucket.

    Args:
        config: the agent.
        bucket: its network shape.
        blocked: whether a varying batch is worked off in blocks (right on a CPU, where a loop of varying length
            costs what it runs; on an accelerator members run in lockstep and one masked block is better).
    """
    max_batch = config.variation.batch_size[1] if config.vary else config.batch_size
    return DDQNConfig(
        depth=bucket.depth,
        activation=config.activation,
        max_hidden=bucket.max_hidden,
        max_batch=max_batch,
        batch_block=min(BLOCK, max_batch) if config.vary and blocked else max_batch,
        buffer_size=config.buffer_size,
        stop=config.stop,
        stop_window=config.stop_window,
        time_limit=config.time_limit,
    )


def sample(
    key: jax.Array, config: AgentConfig, solved_return: float, num: int
) -> tuple[DDQNHyperparams, list[Bucket]]:
    """Draw ``num`` agents.

    Returns:
        hyperparams with leading axis [num] (numpy), and each agent's bucket.
    """
    base = fixed_hyperparams(config, solved_return)
    hyperparams = jax.tree.map(
        lambda x: np.full(num, x, np.int32 if isinstance(x, int) else np.float32), base
    )
    if not config.vary:
        return hyperparams, [Bucket(config.depth, config.hidden_size)] * num
    ranges = config.variation
    uniform = np.asarray(jax.random.uniform(key, (5, num)))

    def log_uniform(row: int, low: float, high: float) -> np.ndarray:
        return low * (high / low) ** uniform[row]

    def integers(row: int, low: int, high: int) -> np.ndarray:
        return np.clip(log_uniform(row, low, high).astype(np.int32), low, high)

    hidden = integers(2, *ranges.hidden_size)
    hyperparams = hyperparams.replace(
        learning_rate=log_uniform(0, *ranges.learning_rate).astype(np.float32),
        batch_size=integers(1, *ranges.batch_size),
        hidden_size=hidden,
    )
    if ranges.max_steps is not None:
        hyperparams = hyperparams.replace(max_steps=integers(4, *ranges.max_steps))
    low, high = ranges.depth
    depth = np.minimum(low + (uniform[3] * (high - low + 1)).astype(int), high)
    return hyperparams, [Bucket(int(d), rung(int(h))) for d, h in zip(depth, hidden, strict=True)]


def rung(width: int) -> int:
    """The smallest array width of the ladder that holds ``width`` units."""
    return next((w for w in WIDTHS if w >= width), width)


def costs(hyperparams: DDQNHyperparams, buckets: list[Bucket], obs_size: int) -> np.ndarray:
    """Multiplications of one gradient step, padding included: dear trainings should start first. [num]"""
    depth = np.array([b.depth for b in buckets], float)
    width = np.array([b.max_hidden for b in buckets], float)
    return np.asarray(hyperparams.batch_size) * (width * (obs_size + 2) + (depth - 1) * width**2)
