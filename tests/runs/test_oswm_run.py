"""``synthenv oswm run`` at tiny sizes: its numbers, its real steps counted by hand, its controls, its resumption."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.presets import AGENTS
from synthenv.cli import main, parse
from synthenv.core.errors import UserError
from synthenv.core.types import EvalResult, Prediction, WorldModel
from synthenv.envs import registry, rollout
from synthenv.runs.oswm.arguments import OswmPlot
from synthenv.runs.oswm.run import presets as dream_presets
from synthenv.runs.oswm.run import run as oswm_run
from synthenv.runs.oswm.run import training as dream_training
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.oswm.run.logged_context import context_of_file, longest_episode
from synthenv.runs.oswm.run.presets import dreaming_agent
from synthenv.runs.oswm.run.real_tasks import real_task
from synthenv.runs.oswm.run.saved_policies import load_policy
from synthenv.runs.oswm.run.setup import Dreams, context_of_seed
from synthenv.runs.oswm.run.summary import RETURNS, summarise
from synthenv.runs.oswm.run.training import Trainer, keys_of_seed, learn, pick_untrained
from synthenv.worldmodel import registry as world_models
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.context.file import load_context
from tests.error_lines import is_line

pytestmark = pytest.mark.rank_promotion_ok

TINY_PPO = PPOConfig(
    stop="none", num_envs=2, rollout_length=32, num_minibatches=2, num_epochs=2, max_steps=256, hidden_size=8
)
SMALL = OswmRun(
    task="SimpleEnv", context=40, model="still", seeds=2, evaluations=4, eval_episodes=3, test_episodes=5
)
TIMES = ("encode_seconds", "train_seconds")


def still_encode(params: None, transitions, num_actions) -> jax.Array:
    return jnp.mean(jnp.asarray(transitions.reward))


def still_predict(cache: jax.Array, obs: jax.Array, action: jax.Array) -> Prediction:
    zero = jnp.float32(0)
    return Prediction(obs, cache, jnp.zeros_like(obs), zero, zero)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    """A world model in which nothing moves, which takes no time to compile, and a tiny PPO for every task."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setitem(
        world_models.MODELS._entries,
        "still",
        WorldModel("still", still_encode, still_predict, knows_ends=True),
    )
    for name, preset in dream_presets.PRESETS.items():
        monkeypatch.setitem(dream_presets.PRESETS, name, dataclasses.replace(preset, ppo=TINY_PPO))
    monkeypatch.setattr(dream_presets, "ANY", dataclasses.replace(dream_presets.ANY, ppo=TINY_PPO))


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def untimed(value):
    """Without seconds and the place it was written to."""
    if not isinstance(value, dict):
        return value
    return {k: untimed(v) for k, v in value.items() if k not in (*TIMES, "out")}


# ---------------------------------------------------------------- a run


def test_simple_env_counts_its_real_steps():
    """Every episode of SimpleEnv has 20 steps: all counts are products."""
    result = oswm_run.run(SMALL, Path("run"))
    assert result["real_steps"] == {
        "context": 40,
        "expert": 0,
        "evaluation": 4 * 3 * 20,
        "total": 40 + 4 * 3 * 20,
        # final, best, best untrained, random; the untrained ones' choice; held-out rows
        "measurement": 4 * 5 * 20 + 4 * 3 * 20 + 1000,
    }
    assert result["tested_on"] == "SimpleEnv" and result["num_seeds"] == 2
    for name in RETURNS:
        each = result["per_seed"][name]
        assert len(each) == 2 and result[name] == pytest.approx(np.mean(each))
        assert all(-20 * 30 <= value <= 0 for value in each)
    low, high = result["ci95_return"]
    assert low <= result["final_return"] <= high
    assert result["train_steps"] == 256 and result["train_seconds"] > 0 and result["encode_seconds"] > 0
    assert result["one_step_error"]["next_obs"] >= 1, "a model in which nothing moves explains nothing"
    path = Path("run")
    assert json.loads((path / "result.json").read_text())["final_return"] == result["final_return"]
    assert (path / "plots" / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"
    assert {file.name for file in (path / "policies").iterdir()} == {
        "seed0.safetensors",
        "seed1.safetensors",
    }
    first, second = lines_of(path)
    assert first["curve"]["steps"] == [64, 128, 192, 256]
    assert first["curve"]["returns"] != second["curve"]["returns"]
    assert first["last_evaluations_return"] == pytest.approx(np.mean(first["curve"]["returns"]))


def test_all_seeds_share_one_program():
    """Their contexts have equal shapes."""
    dreams = Dreams(SMALL)
    lines = [oswm_run.run_seed(dreams, seed, lambda seed, steps, mean: None)[0] for seed in (0, 1)]
    assert lines[0]["final_return"] != lines[1]["final_return"]
    assert dreams.trainer.begin._cache_size() == dreams.trainer.advance._cache_size() == 1


def test_a_resumed_run_equals_an_uninterrupted_one():
    """Killed in the second seed, with half a line written."""
    whole = oswm_run.run(SMALL, Path("whole"))
    killed = Path("killed")

    class Killed(Exception):
        pass

    def kill(seed: int, steps: int, mean: float) -> None:
        if seed == 1 and steps > 64:
            raise Killed

    with pytest.raises(Killed):
        oswm_run.run(SMALL, killed, kill)
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"generation": 1, "final')
    seen = []
    again = dataclasses.replace(SMALL, resume=True)
    resumed = oswm_run.run(again, killed, lambda seed, steps, mean: seen.append(seed))
    assert set(seen) == {1}, "a finished seed was done again"
    assert untimed(resumed) | {"per_seed": 0} == untimed(whole) | {"per_seed": 0}
    assert untimed(resumed["per_seed"]) == untimed(whole["per_seed"])
    for mine, other in zip(lines_of(killed), lines_of(Path("whole")), strict=True):
        assert untimed(mine) == untimed(other)
    (killed / "result.json").unlink()
    with pytest.raises(UserError, match=r"begun with context = 40, not 50"):
        oswm_run.run(dataclasses.replace(again, context=50), killed)


def test_a_task_that_only_gymnasium_has_is_tested_on_the_host():
    """Nobody has tuned anything for it, and it runs out of the box."""
    pytest.importorskip("gymnasium")
    small = dataclasses.replace(SMALL, task="InvertedPendulum-v5", seeds=1, max_steps=128)
    with pytest.raises(UserError, match="choose held, random or repeat"):
        oswm_run.run(dataclasses.replace(small, strategy="expert"), Path("run"))
    assert real_task(small.task).spec is None
    result = oswm_run.run(small, Path("run"))
    # It pays 1 for every step before it falls, and not for that one.
    assert result["real_steps"]["context"] == 40 and 2 < result["final_return"] < 100
    assert (
        result["real_steps"]["evaluation"] >= (2 + 1) * 3 * result["num_tests"] and result["num_tests"] == 2
    )
    action = load_policy("run", 0)(jax.random.key(0), jnp.zeros(4))
    assert action.shape == (1,) and np.isfinite(action).all()


def test_other_tasks_of_ours_need_no_preset():
    small = dataclasses.replace(SMALL, task="EmptyRoom22", seeds=1, max_steps=64)
    result = oswm_run.run(small, Path("run"))
    assert result["num_tests"] == 1 and result["train_steps"] == 64


def test_an_experts_steps_are_real_steps(monkeypatch):
    """The training is counted, and it is the trained policy that acts."""
    dreams = Dreams(dataclasses.replace(SMALL, task="CartPole-v0", strategy="expert"))
    assert dreams.expert is not None and dreams.expert.config == TINY_PPO
    monkeypatch.setattr(dreams.expert, "train", lambda key, env_params: (jnp.int32(1), 777))
    monkeypatch.setattr(dreams.expert, "act", lambda key, policy, obs: policy)
    context, expert_steps = context_of_seed(dreams, jax.random.key(0))
    assert (context.real_steps, expert_steps) == (40, 777)
    assert context.transitions.action.tolist() == [1] * 40


# ---------------------------------------------------------------- logged transitions


def write_log(path: Path, num_rows: int = 60) -> None:
    """Two episodes of SimpleEnv's sizes, the first of 20 steps."""
    source = np.random.default_rng(0)
    obs = source.normal(size=(num_rows, 1))
    next_obs = np.concatenate([obs[1:], [[0.0]]])
    next_obs[19] = 0.5  # the episode ends, and the next one begins elsewhere
    truncated = np.zeros(num_rows, bool)
    truncated[19] = True
    np.savez(
        path,
        observations=obs,
        next_observations=next_obs,
        actions=source.uniform(-1, 1, (num_rows, 1)),
        rewards=-np.abs(next_obs[:, 0]),
        terminations=np.zeros(num_rows, bool),
        truncations=truncated,
    )


@pytest.mark.parametrize("task", ["SimpleEnv", None])
def test_logged_transitions_take_no_steps(task):
    """Without a task not even the tests do: they are in the dream, whose reward is the logged mean."""
    write_log(Path("log.npz"))
    small = dataclasses.replace(SMALL, task=task, context_file=Path("log.npz"), seeds=1)
    if task is None:
        small = dataclasses.replace(small, max_steps=128)
    told = []
    result = oswm_run.run(small, Path("run"), notify=told.append)
    assert told[0] == "40 of 60 logged transitions are shown, spread evenly: --context shows more"
    assert result["notices"] == told
    nothing_foreseen = (
        "foresees observation column 0 and the reward of SimpleEnv no better than the mean does: is log.npz"
    )
    assert [nothing_foreseen in notice for notice in told[1:]] == [True] * bool(task)
    steps = result["real_steps"]
    assert steps["context"] == steps["expert"] == 0
    assert steps["evaluation"] == (240 if task else 0)
    if task is None:
        assert result["tested_on"] == "the dream of log.npz" and steps["measurement"] == 0
        assert result["one_step_error"] is None
        context, longest, num_rows, *_ = context_of_file(Path("log.npz"), 40, None)
        assert (longest, context.num_rows, num_rows) == (40, 40, 60)
        expected = 40 * float(np.mean(context.transitions.reward))
        assert result["final_return"] == result["dream_return"] == pytest.approx(expected, rel=1e-4)
        action = load_policy("run", 0)(jax.random.key(0), jnp.zeros(1))
        assert action.shape == (1,) and np.isfinite(action).all()


def test_a_file_that_has_changed_is_another_context():
    """Seeds of both must not be taken for one run."""
    write_log(Path("log.npz"))
    small = dataclasses.replace(SMALL, task=None, context_file=Path("log.npz"), seeds=1, max_steps=128)
    oswm_run.run(small, Path("run"))
    Path("run/result.json").unlink()
    write_log(Path("log.npz"), num_rows=50)
    with pytest.raises(UserError, match=r"begun with contents\..*log\.npz = "):
        oswm_run.run(dataclasses.replace(small, resume=True, seeds=1), Path("run"))


def test_a_policy_of_other_settings_is_not_loaded(monkeypatch):
    oswm_run.run(dataclasses.replace(SMALL, seeds=1), Path("run"))
    other = dataclasses.replace(TINY_PPO, discount=0.5)
    preset = dataclasses.replace(dream_presets.PRESETS["SimpleEnv"], ppo=other)
    monkeypatch.setitem(dream_presets.PRESETS, "SimpleEnv", preset)
    with pytest.raises(UserError, match="of another version's agent: run it again"):
        load_policy("run", 0)


def test_a_log_of_another_task_is_refused():
    write_log(Path("log.npz"))
    with pytest.raises(
        UserError, match=r"log\.npz has 1 numbers an observation and the task 3: name the task"
    ):
        Dreams(dataclasses.replace(SMALL, task="Pendulum-v1", context_file=Path("log.npz")))


@pytest.mark.parametrize(("breaks", "expected"), [((), 6), ((3,), 3), ((1, 5), 4), ((1, 2, 3, 4, 5), 200)])
def test_longest_episode(breaks, expected):
    """Rows begin where the last one led, but at the breaks; where hardly any does, nobody knows."""
    steps = (
        real_task("SimpleEnv").collect(jax.random.key(0), Dreams(SMALL).collection("held", 20)).transitions
    )
    places = np.arange(7.0)[:, None]
    obs, next_obs = places[:-1].copy(), places[1:].copy()
    obs[list(breaks)] += 100.0
    never = np.zeros(6, bool)
    rows = steps._replace(obs=obs, next_obs=next_obs, terminated=never, truncated=never)
    assert longest_episode(Context(rows, obs[:1], None, 1.0, "x", "held", 6)) == expected


# ---------------------------------------------------------------- training and controls


def scripted(returns: list[float]):
    """A test whose mean returns are given, of episodes of 7 and 8 steps."""
    left = iter(returns)

    def test(key, params):
        value = next(left)
        return EvalResult(jnp.array([value - 1, value + 1]), jnp.array([7, 8]))

    return test


@pytest.fixture
def trainer():
    spec = registry.make("SimpleEnv")
    return Trainer(TINY_PPO, spec.env, spec.env_params), spec.env_params


def test_the_best_checkpoint_is_the_one_of_the_best_test(trainer, monkeypatch):
    """And the tests change nothing about the training."""
    trainer, env_params = trainer
    seen = []
    key = jax.random.key(0)
    learned = learn(
        trainer, key, key, env_params, scripted([3, 9, float("nan"), 4]), 4, lambda *told: seen.append(told)
    )
    assert learned.picked.returns.tolist() == [3, 9, -np.inf, 4] and learned.picked.num_real_steps == 4 * 15
    assert seen == [(64, 3.0), (128, 9.0), (192, -np.inf), (256, 4.0)]
    half, steps, _ = trainer.advance(trainer.begin(key, env_params), env_params, jnp.int32(128))
    assert steps == 128
    jax.tree.map(np.testing.assert_array_equal, learned.picked.best, trainer.policy(half))
    whole, num_steps = trainer.train(key, env_params)
    assert num_steps == 256
    jax.tree.map(np.testing.assert_array_equal, learned.params, whole)


def test_no_policy_is_tested_twice(trainer):
    """Ten tests were asked for, the agent learns in four iterations."""
    trainer, env_params = trainer
    key = jax.random.key(0)
    learned = learn(trainer, key, key, env_params, scripted([1] * 4), 10)
    assert learned.steps.tolist() == [64, 128, 192, 256]


def test_the_control_picks_the_best_of_untrained_policies(trainer):
    trainer, env_params = trainer
    key = jax.random.key(1)
    picked = pick_untrained(trainer, key, key, env_params, scripted([2, 5, 1]), 3)
    assert picked.returns.tolist() == [2, 5, 1] and picked.num_real_steps == 3 * 15
    second = trainer.policy(trainer.begin(jax.random.fold_in(key, 1), env_params))
    jax.tree.map(np.testing.assert_array_equal, picked.best, second)
    nothing = pick_untrained(trainer, key, key, env_params, scripted([float("nan")]), 1)
    assert nothing.best is not None


def test_random_actions_are_uniform():
    act = dream_training.random_act(real_task("SimpleEnv").actions)
    drawn = jax.vmap(lambda key: act(key, None, jnp.zeros(1)))(jax.random.split(jax.random.key(0), 2000))
    assert drawn.shape == (2000, 1) and abs(float(drawn.mean())) < 0.5
    assert 9.9 < float(drawn.max()) <= 10


@pytest.mark.parametrize("name", [name for name in AGENTS if name not in ("q_learning", "sarsa")])
def test_every_agent_has_a_schedule_for_a_dream(name):
    agent = dreaming_agent(name, "CartPole-v0", None)
    assert agent.stop == "none" and agent.max_steps == TINY_PPO.max_steps and not agent.test_episodes
    assert agent.buffer_size <= 256 and dreaming_agent(name, None, 99).max_steps == 99


def test_summary_by_hand():
    """Two seeds; a null in JSON is NaN."""
    line = dict.fromkeys((*RETURNS, "dream_return", *TIMES), 1.0) | {"train_steps": 10}
    line |= {"real_steps": {"context": 5}, "one_step_error": {"next_obs": 0.5, "reward": None}}
    result = summarise("T", True, [line, line | {"final_return": 3.0, "real_steps": {"context": 7}}])
    assert result["final_return"] == 2 and result["ci95_return"] == [1, 3] and result["best_return"] == 1
    assert result["real_steps"] == {"context": 6} and result["per_seed"]["final_return"] == [1, 3]
    assert result["one_step_error"]["next_obs"] == 0.5 and np.isnan(result["one_step_error"]["reward"])


# ---------------------------------------------------------------- the command


def test_the_command_prints_and_writes(capsys):
    words = "--task SimpleEnv --context 40 --model still --seeds 1 --evaluations 2 --eval-episodes 2"
    words = ["oswm", "run", *f"{words} --test-episodes 2 --termination learned --out run".split()]
    assert main([*words, "--json", "result.json"]) == 0
    written = json.loads(Path("result.json").read_text())
    assert written["command"] == "oswm run" and written["config"]["task"] == "SimpleEnv"
    assert written["results"] == json.loads(Path("run/result.json").read_text())
    said = capsys.readouterr().out
    assert "1/1 seed " in said and "best of 2 untrained policies" in said and "40 of context" in said
    assert "last 2 tests" in said and "best of 2 checkpoints by real tests, played again" in said
    kept = json.loads(Path("run/config.json").read_text())["config"]["resolved"]
    assert kept == {"strategy": "held", "termination": "learned", "pessimism": 0.0}
    assert "seed 0: no episode of its context ended" in said and "ended where the world model said so" in said
    assert load_context("run/contexts/seed0.safetensors").num_rows == 40
    spec, key, policy = registry.make("SimpleEnv"), keys_of_seed(0, 0).judge, load_policy("run", 0)
    played = rollout.evaluate(key, spec.env, spec.env_params, policy, 2, spec.max_steps)
    assert float(np.mean(played.returns)) == pytest.approx(written["results"]["final_return"])
    with pytest.raises(UserError, match="holds no oswm run"):
        load_policy(".", 0)
    Path("run/plots/learning_curves.png").unlink()
    assert main(["oswm", "plot", "run"]) == 0
    assert Path("run/plots/learning_curves.png").exists() and "1 of 1 seed done" in capsys.readouterr().out
    assert main(words) == 2 and "is finished: choose another --out" in capsys.readouterr().err
    stored = parse(["oswm", "run", "--resume", "--out", "run"])
    assert isinstance(stored, OswmRun) and stored.task == "SimpleEnv" and stored.model == "still"
    assert parse(["oswm", "run", "--resume", "--out", "run", "--seeds", "3"]).seeds == 3
    assert parse(["oswm", "plot", "run"]) == OswmPlot(Path("run"))


ERRORS = {
    "run": "nothing to dream of: pass --task, such as CartPole-v0, or --context-file FILE.npz",
    "run --task CartPol-v0": (
        "gymnasium cannot make 'CartPol-v0' (...): check the id, or install what the task needs; pip "
        "install -e '.[gymnasium]' brings MuJoCo"
    ),
    "run --task EmptyRoom222": (
        "gymnasium cannot make 'EmptyRoom222' (...): check the id, or install what the task needs; pip "
        "install -e '.[gymnasium]' brings MuJoCo; did you mean 'EmptyRoom22'?"
    ),
    "run --task SimpleEnv --context 5": "--context 5 tells too little: pass at least 20, better 1000",
    "run --task SimpleEnv --model expert": (
        "unknown world model 'expert'; did you mean 'experts'? known ones: ...; or pass the "
        "directory of a synthenv oswm pretrain, or --import FILE"
    ),
    "run --task SimpleEnv --agent ddqn": (
        "ddqn needs discrete actions, but SimpleEnv has continuous ones: choose another --agent, "
        "such as td3, ppo, ppo_monte_carlo"
    ),
    "run --task CartPole-v0 --agent td3": (
        "td3 needs continuous actions, but CartPole-v0 has discrete ones: choose another --agent, "
        "such as ddqn, dueling_ddqn, td3_discrete, ppo, ppo_monte_carlo"
    ),
    "run --task GridWorld --agent sarsa": (
        "sarsa needs a table's worth of observations, but GridWorld has real-valued ones: choose "
        "another --agent, such as ddqn, dueling_ddqn, td3_discrete, ppo, ppo_monte_carlo"
    ),
    "run --task SimpleEnv --agent as_evolved": (
        "nobody was evolved with a world model: pass --agent ppo, or another one by name"
    ),
    "run --task SimpleEnv --seeds 0": "--seeds 0 does nothing: pass 1 or more",
    "run --task SimpleEnv --max-steps 0": "--max-steps 0 does nothing: pass 1 or more",
    "run --task SimpleEnv --eval-episodes 0": "--eval-episodes 0 does nothing: pass 1 or more",
    "run --task SimpleEnv --pessimism -1": "--pessimism -1.0 makes no sense: pass a finite number from 0 on",
    "run --task CartPole-v0 --model ridge --termination learned": (
        "--model ridge does not learn where episodes end: choose experts or small, or pass --termination "
        "known with a task whose rule is known"
    ),
    "run --task SimpleEnv --resume": "--resume goes on with which run? Pass its directory with --out",
    "run --context-file none.npz": "none.npz does not exist: check the path",
    "run --context-file log.csv": (
        "log.csv is neither an .npz nor a run's context (.safetensors): write it with numpy.savez"
    ),
    "run --context-file none.npz --strategy random": (
        "--strategy collects a context and --context-file has one: pass only one of the two"
    ),
    "run --context-file none.npz --termination known": "none.npz does not exist: check the path",
    "run --task SimpleEnv --out taken": "taken is not empty and holds no run (file): choose another --out",
    "run --task SimpleEnv --distributed auto": (
        "oswm run runs on one machine: drop --distributed, or use meta-train"
    ),
    "plot taken": "taken holds no oswm run and no oswm pretrain: pass the directory of one",
}


@pytest.mark.parametrize("words", ERRORS)
def test_an_error_is_one_line_with_a_remedy(words, capsys, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    assert main(["oswm", *words.split()]) == 2
    errors = capsys.readouterr().err
    assert is_line(ERRORS[words], errors), errors
    assert {p.name for p in tmp_path.iterdir()} == {"taken"}, "something was begun"


@pytest.mark.long
def test_simple_env_is_learnt_in_its_dream(monkeypatch):
    """With the closed-form experts and the shipped preset, a fifth of its steps: -48.9 is untrained, -7.6 solved."""
    monkeypatch.setitem(
        dream_presets.PRESETS,
        "SimpleEnv",
        dataclasses.replace(dream_presets.PRESETS["SimpleEnv"], ppo=dream_presets._SWING),
    )
    small = OswmRun(task="SimpleEnv", context=300, seeds=1, max_steps=40_000, evaluations=4)
    assert oswm_run.run(small, Path("run"))["final_return"] > -7.6
