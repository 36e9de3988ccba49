"""Presets keep what their names promise: the numbers of the paper's tables and of the released code."""

from dataclasses import replace

import pytest

from synthenv.agents.presets import AGENTS
from synthenv.core.errors import UserError
from synthenv.runs.meta_train.config import check
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.meta_train.synthetic_presets import (
    FAST,
    RELEASED,
    TABLE3,
    VARIED,
    VARIED_STABLE,
    bandit_form,
)


def test_table3():
    """Tables 3 and 4, CartPole-v0."""
    s, o, p, a = TABLE3.strategy, TABLE3.outer, TABLE3.proxy, TABLE3.agent
    assert (s.name, s.step_size, s.std, s.mirrored) == ("paper_nes", 0.148, 0.0124, True)
    assert (s.transformation, s.num_pairs) == ("all_better_2", 16)
    assert (o.num_generations, o.num_incumbents, o.num_test_episodes) == (200, 16, 10)
    assert (p.hidden_size, p.depth, p.activation, p.done, p.reset) == (83, 1, "leaky_relu", "raw", "real")
    assert (a.learning_rate, a.batch_size, a.hidden_size, a.depth, a.activation) == (
        0.000304,
        199,
        57,
        1,
        "tanh",
    )
    assert (a.discount, a.tau, a.init_episodes) == (0.988, 0.00848, 1)
    assert (a.epsilon_init, a.epsilon_min, a.epsilon_decay) == (0.809, 0.0371, 0.961)
    assert (a.max_episodes, a.buffer_size, a.stop_window, a.plateau_tolerance) == (1000, 100_000, 10, 0.01)
    assert not o.stop_when_solved and not o.common_random_numbers and o.num_starts == 1


def test_released_differs_in_the_transformation_only():
    """The released code ran NES unnormalised where the paper says All Better 2."""
    assert replace(RELEASED, strategy=TABLE3.strategy) == TABLE3
    assert RELEASED.strategy.transformation == "nes_unnormalized"


def test_varied():
    """Figures 3 and 4: sigma 0.05, alpha 1, All Better 2, at most 50 generations, first solve ends the run."""
    s, a = VARIED.strategy, VARIED.agent
    assert (s.std, s.step_size, s.transformation) == (0.05, 1.0, "all_better_2")
    assert (VARIED.outer.num_generations, VARIED.outer.stop_when_solved) == (50, True)
    assert (VARIED.proxy.hidden_size, VARIED.proxy.activation) == (128, "leaky_relu")
    assert (a.vary, a.learning_rate, a.batch_size, a.hidden_size, a.depth) == (True, 1e-3, 128, 128, 2)
    assert (
        a.stop == "plateau" and a.time_limit == "bootstrap"
    )  # an SE of the released code knows no time limit


def test_varied_stable():
    """The paper's SE, incumbents and generations; the remedies of fast, with its numbers of its own."""
    ours, paper = VARIED_STABLE, VARIED
    assert (ours.proxy.hidden_size, ours.proxy.depth) == (paper.proxy.hidden_size, paper.proxy.depth)
    for name in ("num_generations", "num_incumbents", "num_test_episodes", "stop_when_solved"):
        assert getattr(ours.outer, name) == getattr(paper.outer, name), name
    assert ours.strategy == FAST.strategy._replace(num_pairs=64, step_size=0.04, step_decay=0.6)
    assert ours.proxy == replace(FAST.proxy, max_steps=4)
    own = {
        name: getattr(ours.agent, name) for name in ("init_episodes", "max_steps", "buffer_size", "variation")
    }
    assert ours.agent == replace(FAST.agent, **own)
    assert (own["max_steps"], own["variation"].hidden_size, own["variation"].depth) == (
        1000,
        (32, 128),
        (1, 3),
    )
    assert (ours.outer.num_climbs, ours.outer.confirm_agents) == (1, 48)


def test_faithful_presets_carry_no_remedy():
    """What is ours is off in the presets named after the paper."""
    for name in ("table3", "released", "varied"):
        strategy = preset("se", name).strategy
        assert (strategy.name, strategy.step_decay) == ("paper_nes", 0.0)


def test_bandit_form_keeps_the_warm_up_steps():
    """Twenty episodes of two steps are forty episodes of one."""
    bandit = bandit_form(FAST)
    assert (bandit.proxy.form, bandit.proxy.max_steps, bandit.agent.init_episodes) == ("bandit", 1, 40)


def test_ppo_of_table_18():
    """The column of MountainCarContinuous; ten episodes of 999 steps have to be exceeded."""
    a = AGENTS["ppo_monte_carlo"]
    assert (a.num_epochs, a.learning_rate, a.rollout_length, a.discount) == (80, 3e-4, 9991, 0.99)
    assert (a.value_coefficient, a.entropy_coefficient, a.clip_ratio, a.action_std) == (1.0, 0.01, 0.2, 0.5)
    assert (a.depth, a.hidden_size, a.activation) == (2, 64, "relu")


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_passes_the_check(name):
    """Whatever numbers it has, fixed or varied, and none of them is left out."""
    for vary in (False, True):
        check(replace(FAST, agent=replace(AGENTS[name], vary=vary)))
        with pytest.raises(UserError, match=r"--agent\.max-steps 0 makes"):
            check(replace(FAST, agent=replace(AGENTS[name], vary=vary, max_steps=0)))


def test_numbers_of_ppo_are_checked():
    for field, value in (("num_envs", 0), ("gae_lambda", 1.5), ("clip_ratio", 0.0)):
        with pytest.raises(UserError, match=f"--agent.{field.replace('_', '-')} {value}"):
            check(replace(FAST, agent=replace(AGENTS["ppo"], **{field: value})))


def test_numbers_of_curiosity_are_checked():
    agent = AGENTS["ddqn_icm"]
    for field, value in (("feature_size", 0), ("beta", 1.5), ("learning_rate", 0.0), ("eta", -0.1)):
        curiosity = agent.curiosity._replace(**{field: value})
        with pytest.raises(UserError, match=f"--agent.curiosity.{field.replace('_', '-')} {value}"):
            check(replace(FAST, agent=replace(agent, curiosity=curiosity)))
