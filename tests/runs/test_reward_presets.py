"""Presets of reward networks keep what their names promise: tables 6 to 8, 10, 13, 16, and the released code."""

from dataclasses import replace

import pytest

from synthenv.agents.presets import (
    AGENTS,
    TABLE10,
    TABLE11,
    TABLE12,
    TABLE13,
    TABLE14,
    TABLE17,
)
from synthenv.core.errors import UserError
from synthenv.runs.meta_train.config import check
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.meta_train.reward_presets import ABOUT_PRESETS

TASKS = ("CliffWalking", "CartPole-v0", "MountainCarContinuous-v0", "HalfCheetah")
PAPER = {task: preset("rn", "paper", task) for task in TASKS}


@pytest.mark.parametrize("task", PAPER)
def test_tables_6_to_8(task):
    config = preset("rn", "paper", task)
    s, o, a = config.strategy, config.outer, config.agent
    assert (s.name, s.step_size, s.std, s.mirrored) == ("paper_nes", 0.5, 0.1, True)
    assert (s.transformation, s.num_pairs) == ("all_better_2", 16)
    assert (o.num_generations, o.num_test_episodes, o.unsolved_weight) == (50, 1, 100)
    assert (o.objective, o.num_incumbents, o.num_starts) == ("reward_threshold", 16, 1)
    assert not o.stop_when_solved and not o.common_random_numbers
    assert (a.max_episodes, a.stop, a.test_episodes, a.time_limit) == (100, "solved", 1, "terminal")


def test_networks():
    """Tables 10, 13 and 16; the released code has tanh for MountainCarContinuous."""
    sizes = {task: (c.proxy.depth, c.proxy.hidden_size, c.proxy.activation) for task, c in PAPER.items()}
    assert sizes == {
        "CliffWalking": (1, 32, "prelu"),
        "CartPole-v0": (1, 64, "prelu"),
        "MountainCarContinuous-v0": (1, 128, "prelu"),
        "HalfCheetah": (1, 128, "prelu"),
    }
    released = preset("rn", "released", "MountainCarContinuous-v0")
    assert released.proxy.activation == "tanh"
    assert released.strategy.transformation == "nes_unnormalized"


def test_agents_of_the_released_code():
    """They differ from the text's in one number each, and a search of the preset trains them."""
    assert AGENTS["td3"].as_released() == replace(AGENTS["td3"], test_noise=True)
    assert AGENTS["td3_discrete_icm"].as_released() == replace(AGENTS["td3_discrete_icm"], test_noise=True)
    assert TABLE12.as_released() == replace(TABLE12, count_form="sqrt_n")
    assert AGENTS["dueling_ddqn"].as_released() == replace(AGENTS["dueling_ddqn"], advantage_mean="batch")
    for name in ("ddqn", "ddqn_icm", "ppo", "ppo_monte_carlo"):
        assert AGENTS[name].as_released() == AGENTS[name]
    for task, config in PAPER.items():
        assert preset("rn", "paper", task).agent == config.agent
        assert preset("rn", "released", task).agent == config.agent.as_released()
    assert (
        preset("rn", "released", "HalfCheetah").agent.test_noise and not PAPER["HalfCheetah"].agent.test_noise
    )


def test_agents_of_the_searches():
    """Tables 10, 13 and 16."""
    cliff, cart, car, cheetah = (config.agent for config in PAPER.values())
    assert (cliff.name, cliff.learning_rate, cliff.discount, cliff.epsilon_min) == (
        "q_learning",
        1,
        0.8,
        0.01,
    )
    assert (cliff.epsilon_init, cliff.epsilon_decay, cliff.init_episodes) == (0.01, 0, 0)
    assert (cart.learning_rate, cart.batch_size, cart.hidden_size, cart.depth) == (0.003, 192, 64, 1)
    assert (cart.tau, cart.discount, cart.init_episodes, cart.activation) == (0.01, 0.99, 1, "leaky_relu")
    assert (cart.epsilon_init, cart.epsilon_min, cart.epsilon_decay) == (0.8, 0.03, 0.95)
    assert (car.learning_rate, car.batch_size, car.tau, car.policy_delay) == (0.003, 192, 0.01, 1)
    assert (car.action_std, car.policy_std, car.policy_clip) == (0.05, 0.2, 0.5)
    assert [(a.init_episodes, a.action_repeat, a.discount, a.activation) for a in (car, cheetah)] == [
        (50, 2, 0.99, "leaky_relu"),
        (20, 1, 0.98, "relu"),
    ]


def test_agents_afterwards():
    """Tables 11, 12, 14 and 17, and the ranges of table 9."""
    assert (TABLE11.learning_rate, TABLE11.discount, TABLE11.epsilon_min) == (1, 0.8, 0.1)
    assert replace(TABLE10, epsilon_init=0.1, epsilon_min=0.1) == TABLE11
    assert replace(TABLE12, count_bonus=0.0) == TABLE11 and TABLE12.count_bonus == 0.1
    assert (TABLE14.learning_rate, TABLE14.batch_size, TABLE14.epsilon_min, TABLE14.activation) == (
        0.00025,
        32,
        0.1,
        "relu",
    )
    assert (TABLE17.batch_size, TABLE17.learning_rate) == (256, 0.0003)
    assert TABLE13.buffer_size >= 100 * 200, "no transition of a search may be forgotten"
    for agent in (TABLE14, TABLE17):
        ends = agent.variation
        assert ends.learning_rate == pytest.approx(
            (agent.learning_rate / 3, agent.learning_rate * 3), rel=0.01
        )
        assert ends.batch_size[1] == 3 * agent.batch_size and ends.hidden_size[1] == 3 * agent.hidden_size


@pytest.mark.parametrize("name", ABOUT_PRESETS)
@pytest.mark.parametrize("task", PAPER)
def test_every_preset_makes_sense(name, task):
    config = preset("rn", name, task)
    check(config)
    assert (config.proxy.kind, config.task) == ("rn", task)


def test_no_such_preset():
    with pytest.raises(
        UserError, match=r"^unknown preset of --proxy rn 'table3'; known ones: fast, paper, rel"
    ):
        preset("rn", "table3")
