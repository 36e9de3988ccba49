"""``import synthenv``: the names of the face, from words to results, from results to further commands."""

import ast
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import synthenv
from synthenv.face.words import words_of
from synthenv.runs.meta_train import command as meta_train_command
from tests import still_world_model

pytestmark = pytest.mark.rank_promotion_ok

REPO = Path(__file__).resolve().parents[1]
# The words of tests/tiny_run.py, so that all share their programs.
TINY = {
    "preset": "smoke",
    "agent__buffer_size": 64,
    "agent__variation__depth": (1, 1),
    "agent__variation__hidden_size": (32, 32),
    "agent__variation__batch_size": (32, 32),
}


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    with jax.numpy_rank_promotion("allow"):
        return synthenv.meta_train(**TINY, out=tmp_path_factory.mktemp("face") / "run")


@pytest.mark.parametrize("place", ["synthetic/CartPole-v0", "bandit/CartPole-v0:1", "reward/CliffWalking"])
def test_params_are_printed_in_a_line(place):
    """Not weight by weight, as dataclasses are."""
    _, params = synthenv.make(place)
    assert len(repr(params)) < 400 and "\n" not in repr(params)
    assert f"max_steps_in_episode={params.max_steps_in_episode}, " in repr(params)
    weights = params.net if place.startswith("reward") else params.nets
    size = sum(leaf.size for leaf in jax.tree.leaves(weights))
    assert f"=<{size:,} numbers>, " in repr(params)
    jax.jit(lambda params: print(params) or 0)(params)


def test_importing_the_package_costs_nothing():
    code = "import sys, synthenv; synthenv.register, dir(synthenv); assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPO)


def test_every_name_is_loaded_shown_to_readers_of_types_and_documented():
    tree = ast.parse((REPO / "synthenv" / "__init__.py").read_text())
    typed = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert typed - {"TYPE_CHECKING"} == set(synthenv.__all__) - {"__version__"}
    page = (REPO / "docs" / "python.md").read_text()
    for name in set(synthenv.__all__) - {"__version__"}:
        assert getattr(synthenv, name).__doc__ and f"`{name}" in page
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        synthenv.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_words():
    said = {"num_agents": 3, "agent__variation__depth": (1, 2), "outer__stop_when_solved": False, "out": None}
    said |= {"baselines": True, "env": Path("runs/x"), "model": Path("/m")}
    assert words_of(said) == [
        *("--num-agents", "3", "--agent.variation.depth", "1", "2", "--outer.no-stop-when-solved"),
        *("--baselines", "--env", "./runs/x", "--model", "/m"),
    ]


def test_a_search(search):
    assert search.results["generations"] > 0 and search.command.config.agent.buffer_size == 64
    assert "training steps in all" in search.table() == repr(search.table())
    assert search.plot()._repr_png_().startswith(b"\x89PNG")  # a notebook shows it without pyplot
    env, params = search.proxy
    same, _ = synthenv.make(search)
    assert same is env and env.reset(jax.random.key(0), params)[0].shape == (4,)
    loaded = synthenv.load(search)
    assert type(loaded) is type(search) and loaded.results == search.results
    assert loaded.command.config == search.command.config and loaded.table() == search.table()


def test_agents_trained_in_it_and_what_they_learnt(search):
    agents = synthenv.train(search, num_agents=3, out="agents", max_steps=40)
    (row, returns) = next(iter(agents.returns.items()))
    assert row == "proxy" and returns.shape == (3, 10)
    assert returns.mean() == pytest.approx(agents.results["mean_return"])
    assert "3 ddqn agents" in agents.table() and isinstance(agents.plot(), Figure)
    loaded = synthenv.load("agents")
    assert loaded.command.env == agents.command.env and loaded.table() == agents.table()
    env, params = synthenv.make("CartPole-v0")
    for number in range(3):
        policy = loaded.policy(number)
        steps = jax.jit(lambda key, policy=policy: synthenv.rollout(key, env, params, policy, 200))(
            jax.random.key(0)
        )
        # The same net, in an episode of its own: what is greedy and untrained fails soon, as its tests did.
        assert steps.action.shape == (200,)
        assert np.isin(np.diff(np.flatnonzero(steps.terminated)), np.arange(5, 201)).all()
    with pytest.raises(synthenv.UserError, match="no agent 3 in agents: pass one from 0 to 2"):
        loaded.policy(3)
    with pytest.raises(synthenv.UserError, match="agents holds something else: choose another --out"):
        synthenv.train(search, num_agents=3, out="agents", max_steps=40)


def test_a_policy_that_was_kept_plays_as_it_was_tested():
    """Q-learning is greedy, and so is the Cliff: the return of a test is the return of the policy on disk."""
    agents = synthenv.train("CliffWalking", agent="q_learning", num_agents=2, max_steps=300)
    assert agents.directory == Path("runs/train-CliffWalking-seed0")
    env, params = synthenv.make("CliffWalking")
    for number, returns in enumerate(agents.returns["real"]):
        policy = agents.policy(number)
        obs, state = env.reset_env(jax.random.key(0), params)
        total, over = 0.0, False
        for key in jax.random.split(jax.random.key(1), 50):
            if not over:
                obs, state, reward, terminated, _ = env.step_env(key, state, policy(key, obs), params)
                total += float(reward)
                over = bool(terminated) or bool(env.is_truncated(state, params))
        assert total == returns[0]


def test_agents_that_differ_are_counted_but_not_kept(search):
    agents = synthenv.train(search, num_agents=2, vary_hyperparams=True, max_steps=20, seed=3)
    assert agents.returns["proxy"].shape == (2, 10) and agents.command.common.seed == 3
    with pytest.raises(synthenv.UserError, match="kept no policies, because the agents differ"):
        agents.policy()


def test_an_evaluation(search):
    judged = synthenv.evaluate(search, num_agents=3, max_steps=40, out="judged")
    assert judged.returns["proxy"].shape == (3, 10)
    loaded = synthenv.load(judged)
    assert loaded.table() == judged.table() and loaded.command.proxy == judged.command.proxy
    assert isinstance(loaded.plot(), Figure)


def test_curves_are_drawn_from_what_is_on_disk():
    words = {"agent": "q_learning", "num_agents": 2, "max_steps": 300, "baselines": True, "out": "curves"}
    judged = synthenv.evaluate("reward/CliffWalking:0", curves=True, **words)
    assert "count_based" in judged.table()
    figure = synthenv.load("curves").plot()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "reward/CliffWalking:0", "real", "count_based"
    ]  # fmt: skip
    again = synthenv.evaluate("reward/CliffWalking:0", curves=True, **words)
    assert again.results == judged.results


def test_pictures():
    looked = synthenv.plot("reward/CliffWalking:0", out="look")
    assert list(looked.figures) == ["rewards"] and looked.plot() is looked.figures["rewards"]
    assert looked.directory == Path("look") and (looked.directory / "rewards.csv").exists()
    assert "additive" in looked.table() or "potential" in looked.table()


def test_names():
    names = synthenv.list_names()
    assert "CartPole-v0" in names.table() and "CartPole-v0" in names.results["tasks"]
    with pytest.raises(synthenv.UserError, match="a Names leaves no directory"):
        synthenv.load(names)
    with pytest.raises(synthenv.UserError, match="no picture of a Names"):
        names.plot()


def test_a_dream_its_environment_and_its_policy(monkeypatch):
    still_world_model.install(monkeypatch)
    words = {"context": 40, "seeds": 1, "max_steps": 64, "evaluations": 1, "eval_episodes": 1}
    run = synthenv.dream("SimpleEnv", model="drift", **words, test_episodes=2, out="dreamt")
    assert isinstance(run.plot(), Figure)
    assert "uniform actions" in run.table() == synthenv.load("dreamt").table()
    steps, (env, params) = run.context(), run.environment()
    assert steps.reward.shape == (40,)
    _, state = env.reset(jax.random.key(0), params)
    state = state.replace(obs=jnp.asarray(steps.obs[3]))
    policy = run.policy()
    obs, _, reward, *_ = env.step_env(jax.random.key(0), state, policy(jax.random.key(0), state.obs), params)
    assert obs == pytest.approx(1.1 * steps.obs[3]) and reward == pytest.approx(steps.reward.mean())


def test_what_makes_no_sense_is_refused_in_a_line(search):
    with pytest.raises(synthenv.UserError, match="CartPol"):
        synthenv.make("CartPol")
    with pytest.raises(synthenv.UserError, match=r"^--num-agents 0 trains nobody: pass 1 or more$"):
        synthenv.train(search, num_agents=0)
    with pytest.raises(synthenv.UserError, match="holds no run that can be loaded"):
        synthenv.load(".")
    assert not Path("runs").exists()


def test_an_interrupted_search_tells_how_to_go_on_and_goes_on(search, monkeypatch, capsys):
    whole = meta_train_command.search_run.meta_train

    def stopped(*args, **kwargs):
        *words, _, notify = args

        def stop(line):
            raise KeyboardInterrupt

        return whole(*words, stop, notify)

    with monkeypatch.context() as patched:
        patched.setattr(meta_train_command.search_run, "meta_train", stopped)
        with pytest.raises(KeyboardInterrupt):
            synthenv.meta_train(**TINY, out="half")
    assert "interrupted; synthenv.meta_train(out='half', resume=True) goes on" in capsys.readouterr().out
    half = synthenv.load("half")
    assert half.results == {} and len(half.plot().axes) >= 3
    with pytest.raises(synthenv.UserError, match="finish the run"):
        half.proxy  # noqa: B018
    done = synthenv.meta_train(out=half, resume=True)
    assert done.results["best_incumbent"] == search.results["best_incumbent"]


def test_settings_of_jax_are_the_callers_own_again():
    with jax.enable_x64(True):
        synthenv.list_names()
        assert jnp.ones(1).dtype == jnp.float64
    assert jnp.ones(1).dtype == jnp.float32, "a context of the caller's ends with the context"
    jax.config.update("jax_enable_x64", True)
    try:
        synthenv.list_names()
        assert jnp.ones(1).dtype == jnp.float64
    finally:
        jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("name", sorted(set(synthenv.__all__) - {"UserError", "__version__", "register"}))
def test_examples_of_docstrings(name):
    """All call what they tell of, and those that train nobody run."""
    example = "\n".join(
        line.strip() for line in str(getattr(synthenv, name).__doc__).split("\n\n")[1].splitlines()
    )
    code = compile(example, name, "exec")
    assert f"synthenv.{name}(" in example
    if name in ("list_names", "make", "plot"):
        exec(code, {"synthenv": synthenv})
