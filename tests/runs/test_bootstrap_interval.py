"""The interval that every table rests on: by known numbers, by theory, and by how often it covers the truth."""

import numpy as np
import pytest

from synthenv.runs.statistics.intervals import bootstrap_interval


def test_known_numbers():
    """Of two agents a quarter of the draws takes the lower one twice, and a quarter the upper one."""
    assert bootstrap_interval(np.array([0.0, 1.0])) == [0.0, 1.0]
    assert bootstrap_interval(np.full(7, 3.5)) == [3.5, 3.5]
    assert bootstrap_interval(np.array([-2.0])) == [-2.0, -2.0]
    # Of fifty agents one scores 50: it is drawn at most three times in 98.2 % of the draws, at most twice in 92.2 %.
    assert bootstrap_interval(50.0 * (np.arange(50) == 7)) == [0.0, 3.0]


def test_a_large_sample_has_the_interval_of_the_normal_distribution():
    """Its mean, 1.96 standard errors on either side."""
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    error = values.std() / 20
    low, high = bootstrap_interval(values)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.08 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.08 * error)


def test_episodes_of_one_agent_are_not_agents():
    """Ten tests that agree say no more than one: the interval is over agents, who differ."""
    agents = np.random.default_rng(1).normal(size=20)
    episodes = agents[:, None] + np.linspace(-1, 1, 10)
    np.testing.assert_allclose(bootstrap_interval(episodes), bootstrap_interval(agents), atol=1e-12)


def test_equal_values_have_equal_intervals_and_seeds_differ_little():
    values = np.random.default_rng(2).exponential(size=30)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    other = bootstrap_interval(values, seed=1)
    assert other != bootstrap_interval(values)
    np.testing.assert_allclose(other, bootstrap_interval(values), atol=0.05 * values.std())


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_it_covers_the_mean_about_as_often_as_it_says(monkeypatch, draw):
    """Of 400 samples of forty, 94 % by theory for a percentile interval of so few, less where they are skewed."""
    monkeypatch.setattr("synthenv.runs.statistics.intervals.NUM_BOOTSTRAP", 1000)
    rng = np.random.default_rng(3)
    mean = {"normal": 0.0, "exponential": 1.0}[draw]
    intervals = np.array([bootstrap_interval(getattr(rng, draw)(size=40), seed) for seed in range(400)])
    covered = np.mean((intervals[:, 0] <= mean) & (mean <= intervals[:, 1]))
    assert 0.90 <= covered <= 0.97, covered
