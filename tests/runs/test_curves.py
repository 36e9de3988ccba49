"""Learning curves: steps to solve and interpolation by hand, baselines, the picture and its table."""

from dataclasses import asdict, replace

import jax
import numpy as np
import pytest

from synthenv.agents.config import Variation, around
from synthenv.agents.presets import AGENTS, TABLE11, TABLE14, reward_agent
from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.core.types import Curve
from synthenv.runs.evaluate import learning_curves, learning_curves_plot
from synthenv.runs.evaluate.learning_curves import at_steps, bounded, steps_to_solve, summarise
from synthenv.runs.evaluate.stored_curves import Learned, learn
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.training import places
from synthenv.runs.training.trial_runner import TrialRunner
from synthenv.zoo import registry as zoo

pytestmark = pytest.mark.rank_promotion_ok


def learned(*returns, budget=1000):
    """Agents with these test returns, ten steps of training before each; shorter curves were cut off earlier."""
    width = max(map(len, returns))
    table = np.array([[*r, *[0.0] * (width - len(r))] for r in returns])
    steps = np.array([[10 * (i + 1) if i < len(r) else 0 for i in range(width)] for r in returns])
    num_tests = np.array([len(r) for r in returns])
    return Learned(Curve(table, steps), num_tests, np.zeros(len(returns), int), 5.0, budget)


def test_steps_to_solve():
    """The first of ten tests in a row at the threshold; nine are too few, also at the end of a curve."""
    late = [0, 9, 0, *[5] * 10, 0]
    broken = [*[9] * 9, 4, *[9] * 9]
    steps, solved = steps_to_solve(learned(late, [9] * 10, broken))
    assert solved.tolist() == [True, True, False]
    assert steps.tolist() == [40, 10, 1000]


def test_unmade_tests_solve_nothing():
    """Zeros behind the end of a curve are above a threshold of -1, but no tests."""
    short = learned([0] * 6, [0] * 12)._replace(solved_return=-1.0)
    assert steps_to_solve(short)[1].tolist() == [False, True]


def test_summary():
    summary = summarise(learned([9.0] * 10, [0.0] * 20))
    assert summary["steps_to_solve"] == (10 + 1000) / 2 and summary["solved_share"] == 0.5
    assert summary["final_return"] == 4.5 and summary["num_agents"] == 2
    assert summary["mean_return_in_training"] == 4.5
    low, high = summary["ci95_steps_to_solve"]
    assert (low, high) == (10, 1000)


def test_at_steps():
    """The last test before a number of steps; none before the first."""
    values = at_steps(learned([1.0, 2.0, 3.0]), np.array([5, 10, 29, 30, 500]))
    np.testing.assert_array_equal(values, [[np.nan, 1, 2, 3, 3]])


def test_bounded_and_curious():
    config = bounded(TABLE14, "CartPole-v0", None, True)
    assert (config.max_steps, config.buffer_size, config.stop, config.test_episodes) == (
        50_000,
        50_000,
        "none",
        1,
    )
    assert bounded(TABLE11, "CliffWalking", 70, False).buffer_size == 1
    assert TABLE11.exploring() == ("count_based", replace(TABLE11, count_bonus=0.1))


@pytest.fixture(scope="module")
def cliff():
    """Q-learning and SARSA on the Cliff, bare and count-based."""
    seen = []
    result = learning_curves.evaluate_curves(
        ["CliffWalking"], ["q_learning", "sarsa"], 4, seed=1, max_steps=3000, show=lambda *a: seen.append(a)
    )
    return *result, seen


def test_cliff(cliff):
    """Bare Q-learning solves the Cliff after 1,300 to 1,600 steps, and the first row stands at the top."""
    summary, learned, seen = cliff
    row = summary["agents"]["q_learning"]["proxies"]["CliffWalking"]
    assert 1200 < row["steps_to_solve"] < 1800 and row["solved_share"] == 1.0
    assert summary["steps_to_solve"] == row["steps_to_solve"]
    real = summary["baselines"]["real"]
    assert real["steps_to_solve"] == row["steps_to_solve"]  # the same place by two names
    assert {k: set(v["baselines"]) for k, v in summary["agents"].items()} == {
        "q_learning": {"real", "count_based"},
        "sarsa": {"real", "count_based"},
    }
    assert [s[0] for s in seen] == list(learned) and seen[-1][1:] == (5, 6)


def test_bare_baseline_only():
    rows = learning_curves.rows_of({"Cliff": ("CliffWalking",)}, "q_learning", "bare")[1]
    assert set(rows["baselines"]) == {"real"}


def test_picture_and_table(cliff, tmp_path):
    summary, learned, _ = cliff
    learning_curves_plot.write(summary, learned, tmp_path / "new")
    assert (tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")
    head, *lines = (tmp_path / "new" / "curves.csv").read_text().splitlines()
    assert head == "agent,row,steps,mean_return,low,high"
    assert {tuple(line.split(",")[:2]) for line in lines} == {tuple(name.split(": ")) for name in learned}
    last = [line for line in lines if line.startswith("q_learning,real")][-1].split(",")
    assert [float(x) for x in last[2:]] == [3000, -12, -12, -12]


def test_one_task_at_a_time():
    with pytest.raises(UserError, match="one task at a time"):
        learning_curves.evaluate_curves(["CliffWalking", "EmptyRoom22"], ["q_learning"], 1)


def test_action_repeat_counts_environment_steps():
    """Two steps for every decision: episodes of 999 steps are 500 decisions, and the budget is in steps."""
    place = learning_curves.resolve("MountainCarContinuous-v0", agent="td3")
    agent = replace(
        bounded(reward_agent("td3", place.spec.name), place.spec.name, 2100, False),
        init_episodes=9,
        hidden_size=8,
    )
    trained = learn(place, replace(agent, batch_size=4, depth=1), 1, 0)
    assert trained.curve.steps[0, :3].tolist() == [1000, 2000, 0] and trained.num_tests.tolist() == [2]
    assert TrialRunner(agent, place.ground, place.spec, 1).ground.env.num_repeats == 2


def test_rows_are_remembered(tmp_path, monkeypatch):
    """A second call trains nobody and says the same; another seed does train; damage is told with its remedy."""
    place = learning_curves.resolve("CliffWalking", agent="q_learning")
    agent = bounded(TABLE11, "CliffWalking", 500, False)
    first = learn(place, agent, 2, 0, tmp_path)
    (file,) = tmp_path.glob("*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(TrialRunner, "run", None)  # would fail if called
        again = learn(place, agent, 2, 0, tmp_path)
        with pytest.raises(TypeError):
            learn(place, agent, 2, 1, tmp_path)
    for ours, theirs in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"npz is damaged .*: remove it"):
        learn(place, agent, 2, 0, tmp_path)


# ---------------------------------------------------------------- who trains


def test_as_evolved():
    """The agent of the search itself, with ranges around its own numbers; a bare task was evolved with nobody."""
    place = places.resolve("synthetic/CartPole-v0:0", agent="as_evolved")
    assert place.agent != places.resolve("synthetic/CartPole-v0:0", agent="ddqn").agent
    stored = zoo.load("synthetic/CartPole-v0:0")[0].metadata["agent"]
    assert (place.agent.hidden_size, place.agent.batch_size) == (stored["hidden_size"], stored["batch_size"])
    assert place.agent.variation.hidden_size == (-(-stored["hidden_size"] // 3), 3 * stored["hidden_size"])
    with pytest.raises(UserError, match="was not evolved with any agent"):
        places.resolve("CartPole-v0", agent="as_evolved")


def test_ranges_around_an_agent():
    ranges = around(replace(TABLE14, learning_rate=3e-3, hidden_size=32, batch_size=33, depth=1))
    assert ranges == Variation((pytest.approx(1e-3), pytest.approx(9e-3)), (11, 99), (11, 96), (1, 2))
    assert around(TABLE11) == TABLE11.variation


def test_beside_reward_networks_the_same_agent_trains_on_the_real_task():
    """With its own hyperparameters, on the budget of the real task; beside SEs it is the evaluations' agent."""
    place = places.resolve("reward/CartPole-v0:0", agent="dueling_ddqn")
    default = AGENTS["dueling_ddqn"]
    bare = places.real_schedule(place, default, None)
    assert (bare.learning_rate, bare.batch_size) == (TABLE14.learning_rate, TABLE14.batch_size)
    assert (bare.max_steps, bare.test_episodes) == (default.max_steps, place.agent.test_episodes)
    se = places.resolve("synthetic/CartPole-v0:0", agent="dueling_ddqn")
    assert places.real_schedule(se, default, 70) == replace(default, max_steps=70)


def test_a_longer_warm_up_comes_on_top_of_the_budget():
    """Table 17 warms up for 50 episodes of 999 steps, more than this search's agents trained at all."""
    search = preset("rn", "fast", "MountainCarContinuous-v0")
    metadata = plain({"task": search.task, "proxy": search.proxy.stored(), "agent": asdict(search.agent)})
    evolved, table17 = (places.schedule_of(metadata, name) for name in ("as_evolved", "td3"))
    assert (evolved.init_episodes, evolved.max_steps, evolved.hidden_size) == (10, 20_000, 32)
    assert (table17.init_episodes, table17.max_steps, table17.hidden_size) == (50, 20_000 + 40 * 999, 128)
