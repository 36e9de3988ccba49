"""What a proxy shows its agents: rewards of grids by hand, an SE's answers, histograms, the command from end to end."""

import csv
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents.presets import REWARD_AGENTS, TABLE14, reward_agent
from synthenv.cli import main
from synthenv.core.checkpoint import save_tree
from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.envs import registry
from synthenv.envs.tasks import TASKS
from synthenv.proxies.config import RewardConfig
from synthenv.runs.evaluate import proxy_contents, proxy_contents_plot
from synthenv.runs.statistics import distributions
from synthenv.runs.statistics.distributions import density, histogram, overlap
from synthenv.runs.training import evaluation, places
from synthenv.runs.training.places import Place, resolve
from synthenv.runs.training.trial_runner import proxy_ground

pytestmark = pytest.mark.rank_promotion_ok
SMALL = {"hidden_size": 8, "depth": 1, "batch_size": 8, "init_episodes": 1, "buffer_size": 64}


def place_of(variant, agent, task, *nets):
    """A place of reward networks with these weights."""
    spec = registry.make(task)
    env = RewardConfig(variant, 4).make(spec.env, spec.env_params)
    nets = nets or (env.init_params(jax.random.key(0)),)
    ground = proxy_ground(env, nets[0])[0]
    weights = np.stack([proxy_ground(env, net)[1] for net in nets])
    return Place(variant, spec, ground, weights, agent, tuple("ab"[: len(nets)]))


def counting_net(scale):
    """A network of the Cliff whose value of cell i is scale * i: one hidden unit, which is never negative."""
    net = registry.make("CliffWalking").env.num_cells
    place = place_of("exclusive_non_potential", reward_agent("q_learning", "CliffWalking"), "CliffWalking")
    first, last = place.ground.env.init_params(jax.random.key(0))
    kernel = jnp.zeros_like(first.kernel).at[:, 0].set(jnp.arange(net))
    first = first._replace(kernel=kernel, bias=jnp.zeros_like(first.bias))
    return first, last._replace(kernel=jnp.zeros_like(last.kernel).at[0].set(scale), bias=jnp.zeros(1))


def cliff(variant, *nets, discount=0.5):
    agent = replace(reward_agent("q_learning", "CliffWalking"), discount=discount)
    return place_of(variant, agent, "CliffWalking", *nets)


# ---------------------------------------------------------------- grids

RIGHT, LEFT, DOWN, UP = range(4)


@pytest.mark.parametrize(
    ("variant", "pays"),
    [
        ("exclusive_non_potential", lambda real, here, there: there),
        ("additive_non_potential", lambda real, here, there: real + there),
        ("exclusive_potential", lambda real, here, there: 0.5 * there - here),
        ("additive_potential", lambda real, here, there: real + 0.5 * there - here),
    ],
)
def test_rewards_of_a_grid_by_hand(variant, pays):
    """The value of a cell is its number: moves, walls, the cliff and the goal, in all variants."""
    (rewards,) = proxy_contents.grid_rewards(cliff(variant, counting_net(1.0)))
    assert rewards.shape == (4, 12, 4)
    for (row, column, action), (real, there) in {
        (2, 0, RIGHT): (-1, 25),
        (2, 0, LEFT): (-1, 24),  # off the map: the cell is kept
        (2, 0, DOWN): (-1, 36),
        (2, 0, UP): (-1, 12),
        (3, 0, RIGHT): (-100, 37),
        (2, 11, DOWN): (0, 47),
        (3, 11, RIGHT): (0, 47),  # from the goal, where no episode goes on
    }.items():
        wanted = pays(real, 12 * row + column, there)
        assert rewards[row, column, action] == pytest.approx(wanted, abs=1e-4), (row, column, action)


def test_a_potential_is_a_difference_of_values():
    """gamma * Phi(s') - Phi(s) with random weights, against the table of successors and the network itself."""
    place = cliff("exclusive_potential", discount=0.8)
    env, net = place.ground.env, place.ground.env.init_params(jax.random.key(0))
    phi = np.asarray(env.phi(net, jnp.eye(48)))
    rewards = proxy_contents.grid_rewards(place).reshape(48, 4)
    np.testing.assert_allclose(rewards, 0.8 * phi[env.real_env._successor] - phi[:, None], atol=1e-5)


def test_networks_are_kept_apart_and_averaged():
    both = proxy_contents.grid_rewards(cliff("exclusive_non_potential", counting_net(1.0), counting_net(3.0)))
    assert both.shape == (2, 4, 12, 4)
    np.testing.assert_allclose(3 * both[0], both[1], atol=1e-4)


def test_the_right_panel_leaves_the_cliff_white():
    kept = proxy_contents_plot.shaped_only(np.array([-100.0, -50.0, -49.9, 3.0]))
    np.testing.assert_array_equal(kept, [np.nan, np.nan, -49.9, 3.0])
    figure = proxy_contents_plot.draw_grids(
        {"x": np.tile([-100.0, 0.0, 1.0, 2.0], (4, 12, 1))}, registry.make("CliffWalking").env.cells, "title"
    )
    triangles = [panel.collections[0] for panel in figure.axes[:2]]
    assert [len(t.get_paths()) for t in triangles] == [192, 144]
    assert [t.get_clim() for t in triangles] == [(-100, 2), (0, 2)]


def test_triangles_point_where_their_action_goes():
    world = registry.make("CliffWalking").env
    for side, (row, column) in zip(
        proxy_contents_plot.SIDES, [(0, 1), (0, -1), (1, 0), (-1, 0)], strict=True
    ):
        x, y = np.mean(side, axis=0) - 0.5
        assert (2 * y, 2 * x) == (row, column)
    assert world.cells.shape == (4, 12) and world.cells[3, 0] == "S" and world.cells[3, 11] == "G"


# ---------------------------------------------------------------- synthetic environments


def test_an_answer_is_the_environments_own_step():
    place = resolve("synthetic/CartPole-v0:0")
    env, env_params = place.ground.env, place.ground.env_params(place.weights[0], 0.99)
    obs, state = env.reset_env(jax.random.key(1), env_params)
    for action in (0, 1, 1):
        wanted, state, reward, *_ = env.step_env(jax.random.key(2), state, action, env_params)
        found = proxy_contents.ask(jax.random.key(3), env, env_params, obs, action)
        np.testing.assert_allclose(found[0], wanted, rtol=1e-6)
        np.testing.assert_allclose(found[1], reward, rtol=1e-6)
        obs = wanted


def test_episodes_are_played_to_their_first_end():
    """As many steps as a reward of 1 was paid; what comes after the end is marked as such."""
    spec = registry.make("CartPole-v0")
    tests, played = proxy_contents.play(
        jax.random.key(0), spec.env, spec.env_params, lambda key, obs: 0, 5, spec.max_steps
    )
    lengths = np.asarray(played.sum(axis=1))
    ended = np.asarray(tests.terminated | tests.truncated)
    assert played.shape == (5, 200) and (ended[np.arange(5), lengths - 1]).all()
    assert not (ended & np.asarray(played)).sum(axis=1).max() > 1
    assert lengths.min() >= 8 and lengths.max() <= 11, "a cart that is only pushed to the left"


@pytest.mark.parametrize("agent", ["ddqn", "td3_discrete"])
def test_experience(agent):
    """Replay holds what the SE paid and showed; of a test as many steps as its return; the SE answers each."""
    place = resolve("synthetic/CartPole-v0:0", "synthetic/CartPole-v0:1", agent=agent)
    place = place._replace(agent=replace(place.agent, max_steps=50, **SMALL))
    met = proxy_contents.experience(place, 3, seed=0, num_test_episodes=2)
    assert met.training.shape == (150, 5) and met.scores.which.tolist() == [0, 1, 0]
    assert met.scores.num_steps.tolist() == [50, 50, 50]
    assert len(met.testing) == len(met.response) == met.scores.returns.sum()
    assert (met.testing[:, -1] == 1).all() and met.scores.returns.shape == (3, 2)
    assert (np.abs(met.testing[:, 2]) < 0.5).all(), "a real pole"
    assert len(np.unique(met.training[:, -1])) > 100, "an SE pays another reward for every step"
    names = [found.name for found in proxy_contents.histograms(place, met)]
    assert names == [*(f"next {name}" for name in TASKS["CartPole-v0"].observations), "reward"]


def test_a_bandit_answers_with_a_reward_only():
    nobody = evaluation.Scores(*(np.zeros(0) for _ in range(4)))
    met = proxy_contents.Experience(*np.random.default_rng(0).normal(size=(3, 9, 5)), nobody)
    found = proxy_contents.histograms(resolve("bandit/CartPole-v0:0"), met)
    assert [len(h.shares) for h in found] == [2, 2, 2, 2, 3]
    assert found[0].name == "cart position"


# ---------------------------------------------------------------- reward networks of real-valued tasks


def test_learned_beside_real_rewards():
    """CartPole pays 1, the network adds its value of the next state, and keeps out of the dynamics."""
    agent = replace(TABLE14, max_steps=40, **SMALL)
    place = place_of("additive_non_potential", agent, "CartPole-v0")
    paid = proxy_contents.paid_rewards(place, 2, num_test_episodes=1)
    assert (paid.real == 1).all() and len(paid.obs) == paid.returns.sum() == len(paid.learned)
    env, length = place.ground.env, int(paid.returns[0, 0])
    phi = env.phi(env.init_params(jax.random.key(0)), jnp.asarray(paid.obs[1:length]))
    np.testing.assert_allclose(paid.learned[: length - 1], 1 + np.asarray(phi), rtol=1e-4)


def test_a_map_of_the_network():
    """At the corners of the state space."""
    agent = reward_agent("td3", "MountainCarContinuous-v0")
    place = place_of("exclusive_non_potential", agent, "MountainCarContinuous-v0")
    x, y, values = proxy_contents.phi_map(place, 3)
    np.testing.assert_allclose(x, [-1.2, -0.3, 0.6], rtol=1e-6)
    env = place.ground.env
    corner = env.phi(env.init_params(jax.random.key(0)), jnp.array([x[2], y[0]], jnp.float32))
    np.testing.assert_allclose(values[0, 2], corner, rtol=1e-5)


# ---------------------------------------------------------------- distributions


def test_histogram():
    found = histogram("x", {"a": np.array([0.0, 1.0, np.nan, np.inf]), "b": np.array([1.0, 1.0])}, 2)
    np.testing.assert_allclose(found.edges, [-0.02, 0.5, 1.02], atol=0.01)
    assert found.shares["a"].tolist() == [0.5, 0.5] and found.shares["b"].tolist() == [0, 1]
    assert overlap(found, "a", "b") == 0.5
    row = found.statistics["a"]
    assert (row["num"], row["mean"], row["std"], row["min"], row["max"]) == (2, 0.5, 0.5, 0, 1)


def test_what_lies_beyond_is_in_the_outermost_bar():
    values = np.r_[np.zeros(500), np.ones(500), 1000.0]
    found = histogram("x", {"a": values, "none": np.array([np.nan])})
    assert found.edges[-1] < 1.1 and found.shares["a"].sum() == pytest.approx(1)
    assert found.shares["none"].sum() == 0 and np.isnan(found.statistics["none"]["mean"])
    assert histogram("x", {"a": np.ones(3)}).shares["a"].sum() == 1, "no spread at all"


def test_histograms_survive_a_table(tmp_path):
    found = histogram("x", {"a": np.arange(9.0), "b": np.arange(3.0)})
    rows = distributions.as_rows([found])
    (back,) = distributions.from_rows([{name: str(v) for name, v in row.items()} for row in rows])
    np.testing.assert_allclose(back.edges, found.edges, rtol=1e-4)
    for series in "ab":
        np.testing.assert_allclose(back.shares[series], found.shares[series], rtol=1e-3)
        assert back.statistics[series] == pytest.approx(found.statistics[series], rel=1e-4)


def test_density_is_one():
    grid = np.linspace(-50, 260, 2000)
    for returns in (np.full(40, 200.0), np.random.default_rng(0).normal(100, 20, 400)):
        assert np.trapezoid(density(returns, grid), grid) == pytest.approx(1, abs=1e-3)


# ---------------------------------------------------------------- the command


@pytest.fixture
def small_agents(monkeypatch, tmp_path):
    """DDQN that trains for a moment, wherever it trains."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("ddqn", "td3"):
        small = replace(places.AGENTS[name], max_steps=40, max_episodes=2, **SMALL)
        monkeypatch.setitem(places.AGENTS._entries, name, small)
        for agents in REWARD_AGENTS.values():
            if name in agents:
                monkeypatch.setitem(agents, name, replace(agents[name], **SMALL))


def written(words, tmp_path):
    """Results of a command that has to succeed."""
    assert main([*words, "--json", str(tmp_path / "result.json")]) == 0
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["command"] == "plot"
    return content["results"]


def lines_of(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_plot_of_a_synthetic_environment(small_agents, tmp_path, capsys):
    words = ["plot", "synthetic/CartPole-v0:0", "--num-agents", "2", "--max-steps", "60", "--out", "there"]
    results = written(words, tmp_path)
    assert {p.name for p in (tmp_path / "there").iterdir()} == {
        f"{name}.{end}" for name in ("states", "returns") for end in ("png", "csv")
    }
    assert results["states"]["reward"][proxy_contents.TRAINING]["num"] == 120
    assert results["states"]["reward"][proxy_contents.TESTING]["mean"] == 1
    assert results["returns"]["proxy"]["mean_train_steps"] == 60
    assert results["returns"]["untrained"]["mean_train_steps"] == 1
    lines = lines_of(tmp_path / "there" / "returns.csv")
    assert [line["row"] for line in lines[::20]] == ["proxy", "real", "untrained"]
    own = [float(line["return"]) for line in lines if line["row"] == "proxy"]
    assert np.mean(own) == pytest.approx(results["returns"]["proxy"]["mean_return"], rel=1e-5)
    assert "there/states.png" in capsys.readouterr().out


def save_run(path, place):
    """A run directory with the place's first network as its best proxy."""
    env = place.ground.env
    net = place.ground.env_params(place.weights[0], 0.99).net
    metadata = {"task": place.spec.name, "proxy": env.config.stored(), "agent": plain(place.agent)}
    path.mkdir()
    save_tree(path / "best_proxy.safetensors", net, metadata)


def test_plot_of_a_grid_goes_to_its_run_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_run(tmp_path / "run", cliff("exclusive_potential"))
    results = written(["plot", "run"], tmp_path)
    assert results["out"] == "run/plots" and results["num_networks"] == 1
    assert (results["variant"], results["discount"]) == ("exclusive_potential", 0.8)
    assert (tmp_path / "run" / "plots" / "rewards.png").read_bytes().startswith(b"\x89PNG")
    lines = lines_of(tmp_path / "run" / "plots" / "rewards.csv")
    assert len(lines) == 192 and (lines[-1]["kind"], lines[-1]["action"]) == ("G", "up")
    rewards = proxy_contents.grid_rewards(resolve("run"))
    np.testing.assert_allclose([float(x["reward"]) for x in lines], rewards.ravel(), rtol=1e-4, atol=1e-6)


def test_plot_of_a_reward_network_of_a_car(small_agents, tmp_path):
    agent = reward_agent("td3", "MountainCarContinuous-v0")
    save_run(tmp_path / "car", place_of("additive_potential", agent, "MountainCarContinuous-v0"))
    results = written(["plot", "car", "--num-agents", "1", "--max-steps", "40"], tmp_path)
    assert set(results["rewards"]["reward of a step in test episodes"]) == {
        "learned reward",
        "real reward",
        "overlap",
    }
    plots = tmp_path / "car" / "plots"
    assert {p.name for p in plots.iterdir()} == {"rewards.png", "rewards.csv", "network.csv"}
    assert set(lines_of(plots / "network.csv")[0]) == {"position", "velocity", "value"}


def test_histograms_need_real_valued_states():
    place = cliff("exclusive_potential")
    with pytest.raises(UserError, match="cells and have no histogram"):
        proxy_contents.experience(place._replace(agent=TABLE14), 1)
