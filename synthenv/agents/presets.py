"""Agents by name, and the tables of the papers that they are taken from. Imports nothing heavy.

References:
    Ferreira et al. (2022), tables 3 and 5.
"""

from dataclasses import replace

from synthenv.agents.config import (
    AgentConfig,
    DDQNConfig,
    PPOConfig,
    PPOMonteCarloConfig,
    TabularConfig,
    TD3Config,
    Variation,
)

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

# Every agent by name, as commands train it unless told otherwise.
AGENTS: dict[str, AgentConfig] = {
    "ddqn": TABLE5,
    "dueling_ddqn": replace(TABLE5, name="dueling_ddqn"),
    "td3": TD3Config(),
    "td3_discrete": TABLE5_TD3,
    "ppo": PPOConfig(),
    "ppo_monte_carlo": PPOMonteCarloConfig(),
    "q_learning": TabularConfig(),
    "sarsa": TabularConfig(name="sarsa"),
}
