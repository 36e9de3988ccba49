"""From an agent's config to its learner."""

from typing import Any

from synthenv.agents.config import AgentConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.core.traced import traced_struct
from synthenv.core.types import Agent
from synthenv.envs.registry import EnvSpec


def hyperparams_class(config: AgentConfig) -> Any:
    """The struct of the values that may differ between agents of one program: traced fields, and the threshold."""
    return traced_struct(type(config), "solved_return")


def make(config: AgentConfig, bucket: Bucket, action_space: Any, task: EnvSpec | None = None) -> Agent:
    """Build an agent.

    Args:
        config: what it is.
        bucket: the static shape of its networks and batches.
        action_space: of the environments it trains in.
        task: the real task, where it is tested while it trains; only if ``config.test_episodes`` is above 0.
    """
    return config.make(bucket, action_space, task if config.test_episodes else None)
