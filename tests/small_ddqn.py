"""A DDQN that learns the probe environments in seconds."""

from gymnax.environments import spaces

from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams

SMALL = DDQNConfig(
    learning_rate=1e-2,
    discount=0.5,
    tau=0.1,
    epsilon_min=1.0,
    batch_size=32,
    hidden_size=16,
    depth=1,
    activation="tanh",
    max_steps=1500,
    buffer_size=512,
    stop="none",
    time_limit="terminal",
)
BUCKET = Bucket(1, 16, 32, 32)
QUICK = fixed_hyperparams(SMALL, 195.0)
TWO = spaces.Discrete(2)
