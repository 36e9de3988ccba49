"""One small TD3, and its discrete form, for the tests of TD3 and of curiosity."""

from dataclasses import replace

from synthenv.agents.off_policy_config import TD3Config

SMALL = TD3Config(
    learning_rate=3e-3,
    discount=0.5,
    tau=0.05,
    batch_size=32,
    hidden_size=16,
    depth=1,
    activation="tanh",
    init_episodes=20,
    max_episodes=100_000,
    max_steps=3000,
    buffer_size=512,
    stop="none",
    time_limit="terminal",
)
DISCRETE = replace(SMALL, name="td3_discrete", temperature_mode="fixed")
