"""From an agent's config to traced hyperparameters and the buckets that hold them.

References:
    Ferreira et al. (2022), table 2.
"""

from typing import Any

import jax
import numpy as np

from synthenv.agents.config import AgentConfig
from synthenv.agents.registry import hyperparams_class
from synthenv.agents.training.bucket import BLOCK, Bucket, rung


def fixed_hyperparams(config: AgentConfig, solved_return: float) -> Any:
    """Return the traced part of a config, as Python scalars."""
    kind = hyperparams_class(config)
    names = kind.__dataclass_fields__
    values = {name: getattr(config, name) for name in names if hasattr(config, name)}
    return kind(**values, solved_return=solved_return)


def sample(
    key: jax.Array,
    config: AgentConfig,
    solved_return: float,
    num: int,
    blocked: bool = False,
    shapes: dict[str, np.ndarray] | None = None,
) -> tuple[Any, list[Bucket]]:
    """Draw ``num`` agents.

    Args:
        key: random key.
        config: the agents.
        solved_return: the task's threshold, for the stop rule.
        num: how many.
        blocked: whether a varying batch is worked off in blocks (right on a CPU, where a loop of varying length costs
            what it runs; on an accelerator members run in lockstep and one masked block is better).
        shapes: networks that the agents take by turns, of ``few_shapes``; None draws one for each.

    Returns:
        hyperparams with leading axis [num] (numpy), and each agent's bucket.
    """
    base = fixed_hyperparams(config, solved_return)
    hyperparams = jax.tree.map(
        lambda x: np.full(num, x, np.int32 if isinstance(x, int) else np.float32), base
    )
    drawn = draw(key, config.variation, num) if config.vary else {}
    drawn |= {name: np.resize(values, num) for name, values in (shapes or {}).items()}
    if getattr(config, "network", ""):  # a module is as wide and as deep as it is
        drawn = {name: values for name, values in drawn.items() if name not in ("hidden_size", "depth")}
    depths = drawn.pop("depth", np.full(num, getattr(config, "depth", 1)))
    hyperparams = hyperparams.replace(**{name: x for name, x in drawn.items() if hasattr(base, name)})
    return hyperparams, bucket_of_each(
        config, depths, getattr(hyperparams, "hidden_size", np.ones(num, int)), blocked
    )


def few_shapes(key: jax.Array, config: AgentConfig, num: int) -> dict[str, np.ndarray]:
    """Draw shapes of ``num`` networks that lie evenly in the ranges (a Latin hypercube).

    Each shape alone is distributed as an agent's. Every shape is a program to compile, so many agents that share few
    shapes cost little more than their training. Agents without networks that vary have no shapes: the answer is empty.
    """
    if not _varies_networks(config):
        return {}
    key_order, key_place = jax.random.split(key)
    order = jax.random.permutation(
        key_order, np.tile(np.arange(num), (len(config.variation), 1)), axis=1, independent=True
    )
    uniform = (np.asarray(order) + np.asarray(jax.random.uniform(key_place, order.shape))) / num
    values = _at(uniform, config.variation)
    return {name: values[name] for name in ("hidden_size", "depth") if name in values}


def draw(key: jax.Array, ranges: Any, num: int) -> dict[str, np.ndarray]:
    """Draw one value of every range for each of ``num`` agents, by name; ranges that are None are left out."""
    return _at(np.asarray(jax.random.uniform(key, (len(ranges), num))), ranges)


def _at(uniform: np.ndarray, ranges: Any) -> dict[str, np.ndarray]:
    """Return the values that stand at these shares [ranges, num] of the ranges, by name."""
    values = {}
    for row, (name, ends) in zip(uniform, ranges._asdict().items(), strict=True):
        if ends is None:
            continue
        low, high = ends
        if name == "depth":
            values[name] = np.minimum(low + (row * (high - low + 1)).astype(int), high)
        elif not getattr(ranges, "logarithmic", True):
            values[name] = (low + row * (high - low)).astype(np.float32)
        elif isinstance(low, int):
            values[name] = np.clip((low * (high / low) ** row).astype(np.int32), low, high)
        else:
            values[name] = (low * (high / low) ** row).astype(np.float32)
    return values


def bucket_of_each(
    config: AgentConfig, depths: np.ndarray, hidden: np.ndarray, blocked: bool
) -> list[Bucket]:
    """Return the static shapes of N agents; networks of a fixed size are not padded."""
    varies = _varies_networks(config)
    sizes = getattr(config.variation, "batch_size", None) if config.vary else None
    max_batch = sizes[1] if sizes else getattr(config, "batch_size", 1)
    block = min(BLOCK, max_batch) if config.vary and blocked and config.blocks_of_batch else max_batch
    widths = [rung(int(h)) if varies else int(h) for h in hidden]
    return [Bucket(int(d), w, max_batch, block) for d, w in zip(depths, widths, strict=True)]


def _varies_networks(config: AgentConfig) -> bool:
    """Return whether each agent of this config has a network of its own size."""
    has_widths = hasattr(config, "hidden_size") and not getattr(config, "network", "")
    return config.vary and has_widths and hasattr(config.variation, "hidden_size")


def costs(hyperparams: Any, buckets: list[Bucket], obs_size: int) -> np.ndarray:
    """Count the multiplications [num] of one gradient step, padding included.

    Trainings that cost much should start first.
    """
    depth = np.array([b.depth for b in buckets], float)
    width = np.array([b.max_hidden for b in buckets], float)
    batch = np.asarray(getattr(hyperparams, "batch_size", np.ones(len(buckets))))
    return batch * (width * (obs_size + 2) + (depth - 1) * width**2)
