"""Agents by name, and the tables of the papers that they are taken from. Imports nothing heavy.

References:
    Ferreira et al. (2022), tables 3, 5 and 9 to 19.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from synthenv.agents.config import AgentConfig, DDQNConfig, ICMConfig, TabularConfig, TD3Config, Variation
from synthenv.agents.ppo_config import PPOConfig, PPOMonteCarloConfig

# Table 5: the default agent of every evaluation after an SE was found (figures 3, 4, 7).
TABLE5 = DDQNConfig()

# Table 3, CartPole-v0 column: optimised for evolving SEs, used for figures 2 and 6.
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

# Table 3, Acrobot-v1 column.
TABLE3_ACROBOT = DDQNConfig(
    learning_rate=0.00222,
    discount=0.991,
    tau=0.0209,
    epsilon_init=0.904,
    epsilon_min=0.0471,
    epsilon_decay=0.899,
    batch_size=149,
    hidden_size=112,
    depth=1,
    activation="leaky_relu",
    init_episodes=20,
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
AGENTS: dict[str, AgentConfig] = {
    "ddqn": TABLE5,
    "dueling_ddqn": replace(TABLE5, name="dueling_ddqn"),
    "td3": TD3Config(),
    "td3_discrete": TABLE5_TD3,
    "ppo": PPOConfig(),
    "ppo_monte_carlo": PPOMonteCarloConfig(),
    "q_learning": TabularConfig(),
    "sarsa": TabularConfig(name="sarsa"),
    "ddqn_icm": replace(TABLE5, curiosity=ICMConfig()),
    "dueling_ddqn_icm": replace(TABLE5, name="dueling_ddqn", curiosity=ICMConfig()),
    "td3_icm": TD3Config(curiosity=ICMConfig()),
    "td3_discrete_icm": replace(TABLE5_TD3, curiosity=ICMConfig()),
    "ppo_icm": PPOConfig(curiosity=ICMConfig()),
    "ppo_monte_carlo_icm": PPOMonteCarloConfig(curiosity=ICMConfig()),
}


def as_released(agent: AgentConfig) -> AgentConfig:
    """The same agent with what the papers' code does otherwise than their text.

    A dueling head takes the mean of advantages over the whole batch, the count-based bonus is beta / sqrt(n), and TD3
    explores in tests, too.
    """
    if isinstance(agent, TD3Config):
        return replace(agent, test_noise=True)
    if isinstance(agent, TabularConfig):
        return replace(agent, count_form="sqrt_n")
    if isinstance(agent, DDQNConfig) and agent.name == "dueling_ddqn":
        return replace(agent, advantage_mean="batch")
    return agent


def name_of(agent: AgentConfig) -> str:
    """The name in ``AGENTS`` of an agent of this kind, curiosity included; its numbers may be others."""
    return f"{agent.name}_icm" if getattr(agent, "curiosity", None) else agent.name


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

# Table 14: DDQN and Dueling DDQN in reward networks of CartPole, ranges of table 9. Buffer as above.
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

# Table 16: TD3 for evolving reward networks, MountainCarContinuous and HalfCheetah columns.
TABLE16_MOUNTAIN_CAR = TD3Config(
    learning_rate=0.003,
    tau=0.01,
    batch_size=192,
    policy_delay=1,
    action_std=0.05,
    activation="leaky_relu",
    init_episodes=50,
    action_repeat=2,
)
TABLE16_HALF_CHEETAH = replace(
    TABLE16_MOUNTAIN_CAR, discount=0.98, activation="relu", init_episodes=20, action_repeat=1
)

# Table 17: TD3 in reward networks, ranges of table 9.
TABLE17_MOUNTAIN_CAR = TD3Config(
    init_episodes=50, action_repeat=2, variation=Variation((1e-4, 9e-4), (85, 768), (42, 384), (1, 3))
)
TABLE17_HALF_CHEETAH = replace(TABLE17_MOUNTAIN_CAR, init_episodes=20, action_repeat=1)

# Table 18: PPO as the papers' code has it, which updates once 10 (HalfCheetah: 1) time limits of steps are exceeded.
TABLE18_MOUNTAIN_CAR = PPOMonteCarloConfig(action_repeat=5, rollout_length=10 * 999 // 5 + 1)
TABLE18_HALF_CHEETAH = PPOMonteCarloConfig(
    learning_rate=1e-5,
    rollout_length=1001,
    num_epochs=10,
    entropy_coefficient=0.001,
    hidden_size=128,
    activation="tanh",
    action_std=0.1,
)

# Who is trained in the reward networks of a task, by name; other agents are as in AGENTS.
REWARD_AGENTS: dict[str, dict[str, AgentConfig]] = {
    "CliffWalking": {"q_learning": TABLE11, "sarsa": TABLE11_SARSA},
    "CartPole-v0": {"ddqn": TABLE14, "dueling_ddqn": replace(TABLE14, name="dueling_ddqn")},
    "MountainCarContinuous-v0": {"td3": TABLE17_MOUNTAIN_CAR, "ppo_monte_carlo": TABLE18_MOUNTAIN_CAR},
    "HalfCheetah": {"td3": TABLE17_HALF_CHEETAH, "ppo_monte_carlo": TABLE18_HALF_CHEETAH},
}


def agent_from_stored(stored: Mapping[str, Any]) -> AgentConfig:
    """The agent that a run directory or a proxy file tells of; those of before agents had names are DDQN."""
    like = AGENTS[stored.get("name", "ddqn")]
    ranges = {name: ends and tuple(ends) for name, ends in stored["variation"].items()}
    values = {**stored, "variation": type(like.variation)(**ranges)}
    if values.get("curiosity"):
        values["curiosity"] = ICMConfig(**values["curiosity"])
    return type(like)(**values)
