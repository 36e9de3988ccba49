"""Agents with curiosity keep it wherever they are trained and compared, and are called what they are."""

from dataclasses import replace

import numpy as np
import pytest

from synthenv.agents.config import ICMConfig
from synthenv.agents.presets import AGENTS, TABLE12
from synthenv.core.types import Curve
from synthenv.runs.evaluate import learning_curves_plot
from synthenv.runs.evaluate.learning_curves import rows_of, steps_to_solve, summarise
from synthenv.runs.evaluate.stored_curves import Learned
from synthenv.runs.training import evaluation, places
from synthenv.runs.training.evaluation import Scores

PROXIES = {
    "synthetic/CartPole-v0": ("ddqn_icm", "dueling_ddqn_icm", "td3_discrete_icm", "ppo_icm"),
    "bandit/CartPole-v0:1": ("ddqn_icm", "ppo_monte_carlo_icm"),
    "reward/CartPole-v0": ("ddqn_icm", "dueling_ddqn_icm"),
    "reward/MountainCarContinuous-v0": ("td3_icm", "ppo_monte_carlo_icm"),
}
PAIRS = [(name, agent) for name, agents in PROXIES.items() for agent in agents]


def test_the_name_of_every_agent():
    assert {name: agent.full_name for name, agent in AGENTS.items()} == {name: name for name in AGENTS}
    assert replace(AGENTS["ddqn"], curiosity=ICMConfig(eta=3.0), hidden_size=7).full_name == "ddqn_icm"


@pytest.mark.parametrize(("name", "agent"), PAIRS)
def test_baselines_of_evaluate_keep_the_curiosity(name, agent, monkeypatch):
    trained = []

    def run_agents(place, config, num_agents, seed, num_test_episodes=10, keep=None):
        trained.append((place.name, config))
        ones = np.ones(num_agents, int)
        return Scores(np.ones((num_agents, 2)), ones, ones, np.zeros(num_agents, int))

    monkeypatch.setattr(evaluation, "run_agents", run_agents)
    summary, _ = evaluation.evaluate(name, 2, agent=agent, baselines=True)
    assert summary["agent"] == agent
    assert [config.full_name for _, config in trained] == [agent] * 3
    assert trained[1][0] == summary["tested_on"], "the second row trains on the real task"


@pytest.mark.parametrize(("name", "agent"), PAIRS)
def test_baselines_of_curves_are_one_bare_and_one_curious_agent(name, agent):
    rows = rows_of({name: (name,)}, agent, True)[1]
    own = rows["proxies"][name][1]
    real, icm = (rows["baselines"][row][1] for row in ("real", "icm"))
    assert (real.curiosity, icm) == (None, own) and replace(icm, curiosity=None) == real


def test_bare_agents_and_tables_gain_the_papers_bonus_and_others_keep_theirs():
    table = AGENTS["q_learning"]
    assert table.exploring() == ("count_based", replace(table, count_bonus=TABLE12.count_bonus))
    keen = replace(table, count_bonus=0.7)
    assert (keen.exploring(), keen.bare()) == (("count_based", keen), table)
    assert AGENTS["td3"].exploring() == ("icm", AGENTS["td3_icm"])


def test_a_proxy_evolved_with_curious_agents_is_evaluated_with_them(monkeypatch):
    proxy = places.zoo.load("reward/CartPole-v0:0")[0]
    stored = {**proxy.metadata["agent"], "curiosity": ICMConfig()._asdict()}
    proxy = proxy._replace(metadata={**proxy.metadata, "agent": stored})
    monkeypatch.setattr(places.zoo, "load", lambda name: [proxy])
    place = places.resolve("reward/CartPole-v0:0")
    assert place.agent.full_name == "ddqn_icm"


def learned(num_tests: int) -> Learned:
    """One agent of so many tests at the threshold, ten steps apart."""
    returns, steps = np.full((1, num_tests), 9.0), 10 * (1 + np.arange(num_tests))[None, :]
    return Learned(Curve(returns, steps), np.array([num_tests]), np.zeros(1, int), 5.0, 1000)


@pytest.mark.parametrize("num_tests", [1, 9, 10])
def test_steps_to_solve_of_few_tests(num_tests):
    """Ten tests in a row solve a task; of fewer there is no such row, and nothing to fail over."""
    steps, solved = steps_to_solve(learned(num_tests))
    assert solved.tolist() == [num_tests == 10] and steps.tolist() == [10 if num_tests == 10 else 1000]
    assert summarise(learned(num_tests))["final_return"] == 9.0


def test_agents_that_end_before_their_first_test(tmp_path):
    """A budget shorter than the first episode: no test, so no number, and a picture all the same."""
    none = learned(12)._replace(
        curve=Curve(np.zeros((1, 12)), np.zeros((1, 12), int)), num_tests=np.array([0])
    )
    row = summarise(none)
    assert (
        row["solved_share"] == 0
        and np.isnan(row["final_return"])
        and np.isnan(row["mean_return_in_training"])
    )
    summary = {"tested_on": "CartPole-v0", "solved_return": 5.0, "agents": {"ddqn": {"proxies": {"a": row}}}}
    learning_curves_plot.write(summary, {"ddqn: a": none}, tmp_path)
    assert (tmp_path / "curves.png").exists()
