"""Agents by name.

To add one: its config in ``agents.config``, its defaults in ``agents.presets``, its module with ``Hyperparams`` and
``make``, and a line here.
"""

from types import ModuleType
from typing import Any

from synthenv.agents import ddqn, ppo, ppo_monte_carlo, tabular, td3
from synthenv.agents.config import AgentConfig, DDQNConfig, TabularConfig, TD3Config
from synthenv.agents.ppo_config import PPOConfig, PPOMonteCarloConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.core.types import Agent
from synthenv.envs.registry import EnvSpec

MODULES: dict[type[AgentConfig], ModuleType] = {
    DDQNConfig: ddqn,
    TD3Config: td3,
    PPOConfig: ppo,
    PPOMonteCarloConfig: ppo_monte_carlo,
    TabularConfig: tabular,
}


def hyperparams_class(config: AgentConfig) -> Any:
    """The struct of the values that may differ between agents of one program."""
    return MODULES[type(config)].Hyperparams


def make(config: AgentConfig, bucket: Bucket, action_space: Any, task: EnvSpec | None = None) -> Agent:
    """Build an agent.

    Args:
        config: what it is.
        bucket: the static shape of its networks and batches.
        action_space: of the environments it trains in.
        task: the real task, where it is tested while it trains; only if ``config.test_episodes`` is above 0.
    """
    return MODULES[type(config)].make(config, bucket, action_space, task if config.test_episodes else None)
