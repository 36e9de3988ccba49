"""Agents by name, and the tables of the papers that they are taken from. Imports nothing heavy.

References:
    Ferreira et al. (2022), tables 3, 5 and 9 to 19.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from synthenv.agents.config import AgentConfig, ICMConfig, Variation
from synthenv.agents.off_policy_config import DDQNConfig, TabularConfig, TD3Config
from synthenv.agents.ppo_config import PPOConfig, PPOMonteCarloConfig
from synthenv.core.registry import Registry
from synthenv.envs import tasks

# Table 5: the default agent of every evaluation after an SE was found (figures 3, 4, 7).
TABLE5 = DDQNConfig()

# Table 3, CartPole-v0 column: optimised for evolving SEs, used for figures 2 and 6. ``envs.paper_settings`` says where
# the column of Acrobot-v1 differs.
TABLE3_CARTPOLE = DDQNConfig(
    learning_rate=0.000304,
    discount=0.988,
    tau=0.00848,
    epsilon_init=0.809,
    epsilon_min=0.0371,
    epsilon_decay=0.961,
    batch_size=199,
    hidden_size=57,
    depth=1,
    activation="tanh",
    init_episodes=1,
)

# Table 5: discrete TD3, for transfer from SEs found with DDQN.
TABLE5_TD3 = TD3Config(
    name="td3_discrete",
    learning_rate=5e-4,
    tau=0.01,
    batch_size=128,
    activation="tanh",
    init_episodes=10,
    variation=Variation(learning_rate=(5e-4 / 3, 1.5e-3)),
)

# Every agent by name, as commands train it unless told otherwise. Curiosity has the defaults of table 15: the paper
# found its own optimised values (tables 15 and 19) no better.
_PLAIN = (
    TABLE5,
    replace(TABLE5, name="dueling_ddqn"),
    TD3Config(),
    TABLE5_TD3,
    PPOConfig(),
    PPOMonteCarloConfig(),
)
AGENTS: Registry[AgentConfig] = Registry(
    "agent",
    AgentConfig,
    ours=(
        *_PLAIN,
        TabularConfig(),
        TabularConfig(name="sarsa"),
        *(replace(agent, curiosity=ICMConfig()) for agent in _PLAIN),
    ),
    name_of=lambda agent: agent.full_name,
)


# Tables 10 and 11: Q-learning for evolving reward networks of Cliff Walking, and afterwards. Table 11 has SARSA explore
# at 0.1 too, where its policy never settles (learning rate 1); the released script has 0.01.
TABLE10 = TabularConfig(epsilon_init=0.01, epsilon_min=0.01)
TABLE11 = TabularConfig()
TABLE11_SARSA = replace(TABLE10, name="sarsa")
TABLE12 = replace(TABLE11, count_bonus=0.1)

# Table 13: DDQN for evolving reward networks of CartPole. A search trains for 20,000 steps at most, so its buffer of a
# million would never be full.
TABLE13 = DDQNConfig(
    learning_rate=0.003,
    epsilon_init=0.8,
    epsilon_min=0.03,
    epsilon_decay=0.95,
    batch_size=192,
    hidden_size=64,
    depth=1,
    activation="leaky_relu",
    init_episodes=1,
    buffer_size=20_000,
)

# Table 14: DDQN and Dueling DDQN in reward networks of CartPole, ranges of table 9. The buffer is that of table 13.
TABLE14 = DDQNConfig(
    learning_rate=0.00025,
    epsilon_min=0.1,
    batch_size=32,
    hidden_size=64,
    depth=1,
    init_episodes=1,
    buffer_size=20_000,
    variation=Variation((8.3e-5, 7.5e-4), (11, 96), (21, 192), (1, 2)),
)

# Table 16: TD3 for evolving reward networks, the HalfCheetah column. ``envs.tasks`` says where MountainCarContinuous
# differs in tables 16, 17 and 18.
TABLE16 = TD3Config(
    learning_rate=0.003,
    discount=0.98,
    tau=0.01,
    batch_size=192,
    policy_delay=1,
    action_std=0.05,
    init_episodes=20,
)

# Table 17: TD3 in reward networks, ranges of table 9.
TABLE17 = TD3Config(init_episodes=20, variation=Variation((1e-4, 9e-4), (85, 768), (42, 384), (1, 3)))

# The agents trained in reward networks, by the kind of a task's actions and by name; those not named here are as in
# AGENTS. Table 18, PPO as the papers' code has it, has nothing in common between its two tasks.
REWARD_AGENTS: dict[str, dict[str, AgentConfig]] = {
    "table": {"q_learning": TABLE11, "sarsa": TABLE11_SARSA},
    "discrete": {"ddqn": TABLE14, "dueling_ddqn": replace(TABLE14, name="dueling_ddqn")},
    "continuous": {"td3": TABLE17},
}


def reward_agent(name: str, task: str) -> AgentConfig:
    """Return the agent of this name as it is trained in the reward networks of a task.

    Raises:
        UserError: the agent or the task is unknown.
    """
    agent = REWARD_AGENTS[tasks.kind_of(task)].get(name) or AGENTS.find(name)
    return replace(agent, **tasks.differs(task, f"rn/agents/{name}"))


def agent_from_stored(stored: Mapping[str, Any]) -> AgentConfig:
    """Rebuild the agent that a run directory or a proxy file tells of.

    Files from before agents had names hold a DDQN.
    """
    name = stored.get("name", "ddqn")
    like = AGENTS.get(f"{name}_icm") or AGENTS.find(name)  # an agent of a user's may be curious by default
    ranges = {name: ends and tuple(ends) for name, ends in stored["variation"].items()}
    values = {**stored, "variation": type(like.variation)(**ranges)}
    if values.get("curiosity"):
        values["curiosity"] = ICMConfig(**values["curiosity"])
    return type(like)(**values)
