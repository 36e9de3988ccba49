"""What the papers' tables, and presets of ours that were tried on one task, have otherwise for that task.

By "proxy/preset", by "proxy/agents/name" for the agents that are trained in its proxies, or by "curves" for the length
of learning curves, as ``envs.tasks.Task.differs`` has it. The paths of presets are those of
``runs.meta_train.config.MetaTrainConfig``; of agents they are their fields.

References:
    Ferreira et al. (2022), tables 3 and 16 to 18; the released code where it says so.
"""

# Table 3, Acrobot-v1 column.
_TABLE3_ACROBOT = {
    "proxy.hidden_size": 167,
    "proxy.activation": "prelu",
    "strategy.std": 0.0114,
    "strategy.step_size": 0.727,
    "agent.learning_rate": 0.00222,
    "agent.discount": 0.991,
    "agent.tau": 0.0209,
    "agent.epsilon_init": 0.904,
    "agent.epsilon_min": 0.0471,
    "agent.epsilon_decay": 0.899,
    "agent.batch_size": 149,
    "agent.hidden_size": 112,
    "agent.activation": "leaky_relu",
    "agent.init_episodes": 20,
}
ACROBOT = {"se/table3": _TABLE3_ACROBOT, "se/released": _TABLE3_ACROBOT}

# What figure 5 and its like show.
CLIFF_WALKING = {"curves": {"max_steps": 5_000, "max_episodes": 500}}

# Tables 16 to 18, MountainCarContinuous column. A fresh network on raw observations would hardly see the velocity, at
# most 0.07, and would say less than 1 where the return is 100: fast maps them to [-1, 1] and scales what it says.
MOUNTAIN_CAR_CONTINUOUS = {
    "curves": {"max_steps": 150_000, "max_episodes": 3000},
    "rn/paper": {
        "agent.discount": 0.99,
        "agent.activation": "leaky_relu",
        "agent.init_episodes": 50,
        "agent.action_repeat": 2,
    },
    "rn/released": {"proxy.activation": "tanh"},
    "rn/fast": {
        "agent.action_repeat": 2,
        "proxy.variant": "additive_potential",
        "proxy.inputs": "box",
        "proxy.output_scale": 40.0,
    },
    "rn/agents/td3": {"init_episodes": 50, "action_repeat": 2},
    "rn/agents/ppo_monte_carlo": {"action_repeat": 5, "rollout_length": 10 * 999 // 5 + 1},
}

# Table 18, HalfCheetah column. For fast no more than ten episodes, and one test at the end: brax's steps are dear, and
# the threshold is far away.
HALF_CHEETAH = {
    "curves": {"max_steps": 100_000, "max_episodes": 1000},
    "rn/fast": {
        "agent.stop": "none",
        "agent.test_episodes": 0,
        "agent.max_steps": 10_000,
        "agent.buffer_size": 20_000,
        "agent.init_episodes": 2,
        "agent.batch_size": 64,
        "agent.hidden_size": 64,
        "agent.learning_rate": 1e-3,
        "agent.action_std": 0.2,
        "strategy.num_pairs": 8,
        "outer.num_starts": 1,
        "outer.num_incumbents": 4,
        "outer.num_generations": 24,
        "outer.num_test_episodes": 1,
    },
    "rn/agents/ppo_monte_carlo": {
        "learning_rate": 1e-5,
        "rollout_length": 1001,
        "num_epochs": 10,
        "entropy_coefficient": 0.001,
        "hidden_size": 128,
        "activation": "tanh",
        "action_std": 0.1,
    },
}
