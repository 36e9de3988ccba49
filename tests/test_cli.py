"""The command: help without JAX, errors of one line, results as JSON."""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import pytest

from synthenv.agents.presets import AGENTS, agent_from_stored
from synthenv.agents.registry import hyperparams_class
from synthenv.cli import main, parse
from synthenv.core.errors import UserError
from synthenv.core.files import plain, to_json
from synthenv.runs.meta_train import reward_presets, synthetic_presets
from synthenv.runs.meta_train import run as runs
from synthenv.runs.meta_train.presets import preset as preset_of
from synthenv.runs.meta_train.synthetic_presets import bandit_form
from synthenv.runs.oswm.pretrain import presets as pretrain_presets
from synthenv.runs.training import places
from tests.error_lines import is_line
from tests.tiny_run import FLAGS, TINY

pytestmark = pytest.mark.rank_promotion_ok
REPO = Path(__file__).resolve().parents[1]
SUMMARY = {"mean_return", "ci95_return", "mean_train_steps", "mean_train_episodes", "num_agents"}

search_once = functools.cache(runs.Search)


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch, tmp_path):
    """Run directories go to a temporary place, the whole file compiles once, and texts are not wrapped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "Search", search_once)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run and what its command wrote as JSON."""
    path = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch, jax.numpy_rank_promotion("allow"):
        patch.setattr(runs, "Search", search_once)
        status = main(["meta-train", *FLAGS, "--out", str(path / "run"), "--json", str(path / "result.json")])
    assert status == 0
    return path / "run", json.loads((path / "result.json").read_text())


# ---------------------------------------------------------------- help

HELP = """
import contextlib, io, re, sys
from synthenv.cli import main

commands = ["", "meta-train", "meta-train --help-all", "train", "evaluate", "plot", "demo", "tune", "list", "oswm"]
commands += ["oswm run", "oswm pretrain", "oswm plot"]
for words in map(str.split, commands):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            main([*words, "--help"])
        except SystemExit as stop:
            assert not stop.code, stop.code
    flags = set(re.findall(r"--[a-z][a-z.-]*", text.getvalue()))
    print(" ".join(words) or "main", *sorted(flags), sep="|")
heavy = {"jax", "numpy", "matplotlib", "optax", "gymnax", "optuna", "chex", "distrax", "flax"} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_prints_the_flags_without_importing_jax():
    done = subprocess.run(
        [sys.executable, "-c", HELP],
        cwd=REPO,
        env=os.environ | {"COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    flags = {line.split("|")[0]: set(line.split("|")[1:]) for line in done.stdout.splitlines()}
    common = {"--seed", "--json", "--devices", "--distributed"}
    assert flags["main"] == {"--help"}
    assert common | {"--env", "--agent", "--num-agents", "--vary-hyperparams"} <= flags["train"]
    assert common | {"--proxy", "--num-agents", "--baselines", "--test-task"} <= flags["evaluate"]
    assert common | {"--out", "--agent", "--num-agents", "--max-steps"} <= flags["plot"]
    assert common | {"--out"} <= flags["demo"]
    assert common | {"--out", "--num-trials", "--num-workers", "--resume"} <= flags["tune"]
    assert common | {"--out", "--preset", "--resume", "--task"} <= flags["meta-train"]
    assert "--agent.max-steps" in flags["meta-train --help-all"] - flags["meta-train"]
    assert flags["oswm"] == {"--help"} and common <= flags["oswm plot"]
    assert common | {"--task", "--context", "--context-file", "--resume", "--seeds"} <= flags["oswm run"]
    assert (
        common | {"--preset", "--steps", "--steps-per-line", "--workers", "--resume"}
        <= flags["oswm pretrain"]
    )


# ---------------------------------------------------------------- configs


@pytest.mark.parametrize("preset", synthetic_presets.PRESETS)
def test_presets_arrive_unchanged(preset):
    assert parse(["meta-train", "--preset", preset]).config == preset_of("se", preset)
    scb = parse(["meta-train", f"--preset={preset}", "--proxy", "scb"]).config
    assert scb == bandit_form(preset_of("se", preset)) and scb.proxy.form == "bandit"


def test_any_field_can_be_overridden():
    words = "--agent.max-steps 30 --strategy.num-pairs 2 --outer.stop-when-solved --proxy.hidden-size 9"
    config = parse(["meta-train", "--preset", "smoke", "--task", "Acrobot-v1", *words.split()]).config
    smoke = synthetic_presets.SMOKE
    assert config.task == "Acrobot-v1"
    assert config.agent == dataclasses.replace(smoke.agent, max_steps=30)
    assert config.strategy == smoke.strategy._replace(num_pairs=2)
    assert config.outer == smoke.outer._replace(stop_when_solved=True)
    assert config.proxy == dataclasses.replace(smoke.proxy, hidden_size=9)
    assert parse(["meta-train", *FLAGS]).config == TINY


@pytest.mark.parametrize("begun_with", [["--preset", "varied"], ["--proxy", "scb", "--agent.tau", "0.5"]])
def test_a_resumed_run_needs_no_flags(begun_with, tmp_path):
    """They come from its config.json; a flag that is passed all the same still counts."""
    begun = parse(["meta-train", *begun_with, "--seed", "3", "--out", "run"])
    stored = plain({"command": "meta-train", "seed": 3, **dataclasses.asdict(begun.config)})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(to_json({"config": stored}))
    resumed = parse(["meta-train", "--resume", "--out", "run"])
    assert (resumed.config, resumed.proxy, resumed.common) == (begun.config, begun.proxy, begun.common)
    assert parse(["meta-train", "--resume", "--out", "run", "--agent.tau", "0.1"]).config.agent.tau == 0.1
    assert (
        parse(["meta-train", "--resume", "--out", "run", "--preset", "fast"]).config == synthetic_presets.FAST
    )
    assert parse(["demo", "--resume", "--out", "run"]).common.seed == 3
    del stored["agent"]["tau"], stored["strategy"]
    (tmp_path / "run" / "config.json").write_text(to_json({"config": stored}))
    with pytest.raises(UserError, match="of another version of synthenv"):
        parse(["meta-train", "--resume", "--out", "run"])


def test_every_agent_can_be_named_and_made():
    """The command, the table of configs and the table of modules know the same agents."""
    for name, config in AGENTS.items():
        assert config.name == name.removesuffix("_icm")
        assert (getattr(config, "curiosity", None) is not None) == name.endswith("_icm")
        assert agent_from_stored(json.loads(to_json(dataclasses.asdict(config)))) == config
        assert "solved_return" in hyperparams_class(config).__dataclass_fields__


# ---------------------------------------------------------------- errors

ERRORS = {
    "meta-train --task CartPol-v0": (
        "unknown task 'CartPol-v0'; did you mean 'CartPole-v0'? known ones: ...; one of your own needs "
        "--import FILE"
    ),
    "meta-train --task Pendulum-v1 --agent ddqn": (
        "ddqn needs discrete actions, but Pendulum-v1 has continuous ones: choose another --agent, such as "
        "td3, ppo, ppo_monte_carlo"
    ),
    "meta-train --devices 0": "--devices 0 leaves nothing to compute on: pass 1 or more",
    "meta-train --strategy.num-pairs 0": "--strategy.num-pairs 0 makes no sense: pass 2 or more",
    "meta-train --agent.max-steps 0": "--agent.max-steps 0 makes no sense: pass 1 or more",
    "meta-train --outer.num-generations 0": "--outer.num-generations 0 makes no sense: pass 1 or more",
    "meta-train --strategy.std nan": "--strategy.std nan makes no sense: pass a finite number above 0",
    "meta-train --agent.variation.depth 3 1": (
        "--agent.variation.depth 3 1 makes no sense: pass the lower end first"
    ),
    "meta-train --outer.num-incumbents 0": (
        "--outer.num-incumbents 0 makes no sense: pass 1 or more, or --outer.no-stop-when-solved"
    ),
    "meta-train --preset released --agent.batch-size 200000": (
        "--agent.batch-size 200000 makes no sense: pass at most the replay's capacity, "
        "--agent.buffer-size 100000"
    ),
    "meta-train --agent.discount 2": "--agent.discount 2.0 makes no sense: pass a number from 0 to 1",
    "meta-train --proxy scb --proxy.form mdp": (
        "--proxy scb and --proxy.form contradict each other: pass --proxy se, scb or rn alone"
    ),
    "meta-train --proxy.form bandit": (
        "--proxy se and --proxy.form contradict each other: pass --proxy se, scb or rn alone"
    ),
    "meta-train --resume": "--resume goes on with which run? Pass its directory with --out",
    "meta-train --out taken": "taken is not empty and holds no run (file): choose another --out",
    "meta-train --distributed nowhere": (
        "--distributed nowhere is not understood: pass auto, or HOST:PORT,NUM_PROCESSES,PROCESS_ID with "
        "PROCESS_ID from 0 to NUM_PROCESSES - 1"
    ),
    "meta-train --distributed host:1,2,2": (
        "--distributed host:1,2,2 is not understood: pass auto, or HOST:PORT,NUM_PROCESSES,PROCESS_ID "
        "with PROCESS_ID from 0 to NUM_PROCESSES - 1"
    ),
    "meta-train --distributed auto": (
        "--distributed auto found no other processes (...): start it with srun or on a TPU pod, or pass "
        "HOST:PORT,NUM_PROCESSES,PROCESS_ID"
    ),
    "meta-train --json nowhere/x.json": (
        "cannot write nowhere/x.json, because nowhere is no directory: pass another --json FILE"
    ),
    "meta-train --variant additive_potential": "--variant is for reward networks: add --proxy rn",
    "train --env CartPol-v0": (
        "unknown task 'CartPol-v0'; did you mean 'CartPole-v0'? known ones: ...; one of your own needs --import FILE; "
        "or pass a shipped proxy or a run directory"
    ),
    "train --env nothing": (
        "unknown task 'nothing'; known ones: ...; one of your own needs --import FILE; or pass a shipped "
        "proxy or a run directory"
    ),
    "train --env reward/CliffWalking:9": (
        "no shipped proxy 'reward/CliffWalking:9': choose from reward/CliffWalking:0 to :2, or "
        "reward/CliffWalking for all"
    ),
    "plot nothing": (
        "unknown task 'nothing'; known ones: ...; one of your own needs --import FILE; or pass a shipped "
        "proxy or a run directory"
    ),
    "train --env Pendulum-v1 --agent ddqn": (
        "ddqn needs discrete actions, but Pendulum-v1 has continuous ones: choose another --agent, such as "
        "td3, ppo, ppo_monte_carlo"
    ),
    "train --env CartPole-v0 --agent td3": (
        "td3 needs continuous actions, but CartPole-v0 has discrete ones: choose another --agent, such as "
        "ddqn, dueling_ddqn, td3_discrete, ppo, ppo_monte_carlo"
    ),
    "train --env Pendulum-v1 --agent td3_discrete": (
        "td3_discrete needs discrete actions, but Pendulum-v1 has continuous ones: choose another --agent, such as "
        "td3, ppo, ppo_monte_carlo"
    ),
    "train --env CartPole-v0 --agent sarsa": (
        "sarsa needs a table's worth of observations, but CartPole-v0 has real-valued ones: choose another "
        "--agent, such as ddqn, dueling_ddqn, td3_discrete, ppo, ppo_monte_carlo"
    ),
    "evaluate --proxy synthetic/CartPole-v0 --agent td3": (
        "td3 needs continuous actions, but CartPole-v0 has discrete ones: choose another --agent, such as "
        "ddqn, dueling_ddqn, td3_discrete, ppo, ppo_monte_carlo"
    ),
    "train --env CartPole-v0 --num-agents 0": "--num-agents 0 trains nobody: pass 1 or more",
    "train --env CartPole-v0 --max-steps 0": "--max-steps 0 trains nobody: pass 1 or more",
    "evaluate --proxy taken --max-steps -5": "--max-steps -5 trains nobody: pass 1 or more",
    "train --env CartPole-v0 --seed -1": "--seed -1 is no seed: pass an integer from 0 to 4294967295",
    "evaluate --proxy synthetic/Nothing-v0": (
        "no shipped proxy 'synthetic/Nothing-v0': choose from ..., or :i for one of them"
    ),
    "evaluate --proxy taken": (
        "taken holds no finished proxy: finish the run that was begun there with --resume, or pass "
        "another (best_proxy.safetensors is missing)"
    ),
    "evaluate --proxy dreamt": (
        "dreamt holds policies that learnt in a dream, and no proxy: play them with load_policy, or pass the "
        "directory of a search"
    ),
    "evaluate --proxy taken/file": (
        "taken/file is damaged or foreign: put back a copy of it, or delete it and write it anew with "
        "meta-train --resume --out RUN"
    ),
    "evaluate --proxy runs/never": (
        "runs/never does not exist: pass the directory of a finished run, or a shipped proxy"
    ),
    "evaluate --proxy taken --num-agents 0": "--num-agents 0 trains nobody: pass 1 or more",
    "evaluate --proxy taken --out taken": "taken holds something else: choose another --out",
    "evaluate --proxy taken --json taken": (
        "cannot write taken, because it is a directory: pass another --json FILE"
    ),
    "plot": "nothing to plot: pass a run directory or a shipped proxy",
    "plot CartPole-v0": "CartPole-v0 is no proxy: pass a run directory or a shipped proxy",
    "plot taken": (
        "taken holds no finished proxy: finish the run that was begun there with --resume, or pass "
        "another (best_proxy.safetensors is missing)"
    ),
    "plot synthetic/Nothing-v0": (
        "no shipped proxy 'synthetic/Nothing-v0': choose from ..., or :i for one of them"
    ),
    "plot synthetic/CartPole-v0:0 reward/CliffWalking:0": (
        "the proxies of synthetic/CartPole-v0:0, reward/CliffWalking:0 differ in shape or training "
        "budget: pick one, or some alike"
    ),
    "plot synthetic/CartPole-v0 --agent ppo": (
        "ppo keeps no replay to look into: choose --agent ddqn, dueling_ddqn or td3"
    ),
    "plot reward/CliffWalking --num-agents 0": "--num-agents 0 trains nobody: pass 1 or more",
    "plot reward/CliffWalking --max-steps 0": "--max-steps 0 trains nobody: pass 1 or more",
    "plot reward/CliffWalking --out taken/file": (
        "cannot use taken/file (File exists): check the path and the disk"
    ),
    "tune --resume": "--resume goes on with which run? Pass its directory with --out",
    "tune --num-trials 0": "--num-trials 0 does nothing: pass 1 or more",
    "tune --num-workers 0": "--num-workers 0 does nothing: pass 1 or more",
    "tune --num-generations 0": "--num-generations 0 does nothing: pass 1 or more",
    "tune --proxy se --variant additive_potential": (
        "--variant is one of reward networks: add --proxy rn, or drop it"
    ),
    "tune --proxy se --preset paper": "unknown preset of --proxy se 'paper'; known ones: ...",
    "tune --out taken": "taken is not empty and holds no run (file): choose another --out",
    "tune --distributed auto": "tune runs on one machine: drop --distributed, or use meta-train",
    "demo --resume": "--resume goes on with which run? Pass its directory with --out",
    "demo --distributed auto": "demo runs on one machine: drop --distributed, or use meta-train",
}


@pytest.mark.parametrize("words", ERRORS)
def test_an_error_is_one_line_with_a_remedy(words, capsys, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "dreamt" / "policies").mkdir(parents=True)
    (tmp_path / "taken" / "file").write_text("x")
    assert main(words.split()) == 2
    errors = capsys.readouterr().err
    assert is_line(ERRORS[words], errors), errors
    assert {p.name for p in tmp_path.iterdir()} == {"taken", "dreamt"}, "something was begun"


def test_agents_are_tested_on_a_task_that_fits(finished, capsys):
    path, _ = finished
    assert main(["evaluate", "--proxy", str(path), "--test-task", "Acrobot-v1"]) == 2
    assert "choose a --test-task like CartPole-v0" in capsys.readouterr().err


def test_ctrl_c(monkeypatch, capsys):
    """Workers may be inside compiled programs then: the process leaves without waiting, if it is the command's own."""

    def interrupt(*_):
        raise KeyboardInterrupt

    def leave(status):
        raise SystemExit(f"left with {status}")

    monkeypatch.setattr(runs, "meta_train", interrupt)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(sys, "argv", ["synthenv", "meta-train"])
    with busy_worker():
        assert main(["meta-train"]) == 130
        with pytest.raises(SystemExit, match="left with 130"):
            main()
    said = "synthenv: interrupted before anything was begun: there is nothing to resume"
    assert capsys.readouterr().err.split("\n") == ["", said, "", said, ""]


def test_ctrl_c_is_heard_where_exceptions_are_ignored(monkeypatch, capsys):
    """JAX's hook into the garbage collector swallowed three in four of those that came between short generations."""

    class Swallows:
        def __del__(self):
            raise KeyboardInterrupt

    def work(*_):
        Swallows()
        for _ in range(100):
            time.sleep(0.05)
        return {}

    monkeypatch.setattr(runs, "meta_train", work)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["meta-train"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted" in capsys.readouterr().err


@contextlib.contextmanager
def busy_worker():
    """A thread that works on."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    yield
    over.set()
    thread.join()


# ---------------------------------------------------------------- results


def test_json_of_meta_train(finished):
    path, written = finished
    assert set(written) == {"command", "config", "results"} and written["command"] == "meta-train"
    assert written["config"]["config"]["agent"]["max_steps"] == TINY.agent.max_steps
    assert written["config"]["common"]["seed"] == 0 and written["config"]["out"] == str(path)
    assert written["results"] == json.loads((path / "result.json").read_text())
    assert (path / "report.html").exists()


def test_json_of_evaluate(finished, monkeypatch, capsys):
    """With baselines: each row has the same keys, and numbers of agents that were really trained."""
    path, _ = finished
    small = {"max_steps": 40, "buffer_size": 64, "hidden_size": 32, "depth": 1, "batch_size": 32}
    short = dataclasses.replace(places.AGENTS["ddqn"], **small)
    monkeypatch.setitem(places.AGENTS._entries, "ddqn", short)
    words = ["evaluate", "--proxy", str(path), "--num-agents", "2", "--baselines", "--json", "result.json"]
    assert main(words) == 0
    written = json.loads(Path("result.json").read_text())
    assert set(written) == {"command", "config", "results"} and written["command"] == "evaluate"
    results = written["results"]
    assert set(results["baselines"]) == {"real", "untrained"}
    for row in (results, *results["baselines"].values()):
        assert set(row) >= SUMMARY and row["num_agents"] == 2
        low, high = row["ci95_return"]
        assert 1 <= low <= row["mean_return"] <= high <= 200
    assert results["mean_train_steps"] == TINY.agent.max_steps
    assert results["baselines"]["real"]["mean_train_steps"] == 40
    assert results["baselines"]["untrained"]["mean_train_steps"] == 1
    assert "baseline: untrained" in capsys.readouterr().out


def test_a_generation_is_a_line_where_there_is_no_terminal(tmp_path, capsys):
    """And a search without incumbents says so instead of printing an infinite return."""
    words = [*FLAGS, "--out", "run", "--outer.num-incumbents", "0", "--outer.num-generations", "2"]
    assert main(["meta-train", *words]) == 0
    said = capsys.readouterr().out
    assert [line.split("  ")[0] for line in said.splitlines() if line.startswith("generation")] == [
        "generation 1/2",
        "generation 2/2",
    ]
    assert "no incumbents were tested" in said and "inf" not in said


def test_json_of_list(capsys):
    assert main(["list", "--json", "names.json"]) == 0
    results = json.loads(Path("names.json").read_text())["results"]
    assert results["tasks"]["CartPole-v0"] == {"solved_return": 195.0, "max_steps": 200}
    assert "Reacher-v5" in results["dreams"] and set(results["pretrainings"]) == set(pretrain_presets.PRESETS)
    assert set(results["presets"]["rn"]) == set(reward_presets.ABOUT_PRESETS)
    assert set(results["presets"]["se and scb"]) == set(synthetic_presets.PRESETS)
    assert results["proxies"]["synthetic/CartPole-v0:0"]["mean_return"] > 0
    said = capsys.readouterr().out
    assert all(name in said for part in results.values() for name in part)


@pytest.mark.parametrize(
    ("agent", "steps"),
    [
        ("td3_discrete", 50),
        ("ppo", 1024),
        # No way of training of their own: the two above take the same two.
        *(
            pytest.param(name, 50, marks=pytest.mark.long)
            for name in ("dueling_ddqn", "ddqn_icm", "ppo_monte_carlo")
        ),
    ],
)
def test_other_agents_train_in_a_proxy(finished, agent, steps):
    """For fifty steps, or one iteration where that takes more."""
    path, _ = finished
    words = ["--env", str(path), "--agent", agent, "--num-agents", "2", "--max-steps", "50"]
    assert main(["train", *words, "--json", "result.json"]) == 0
    results = json.loads(Path("result.json").read_text())["results"]
    assert results["num_agents"] == 2 and results["mean_train_steps"] == steps


def test_a_tabular_agent_learns_the_cliff():
    words = ["--env", "CliffWalking", "--agent", "q_learning", "--num-agents", "5", "--json", "result.json"]
    assert main(["train", *words]) == 0
    results = json.loads(Path("result.json").read_text())["results"]
    assert results["median_return"] >= -50 and results["mean_train_steps"] < 5000


def test_json_of_train(finished, capsys):
    path, _ = finished
    assert main(["train", "--env", str(path), "--num-agents", "3", "--json", "result.json"]) == 0
    written = json.loads(Path("result.json").read_text())
    assert written["command"] == "train" and written["results"]["num_agents"] == 3
    assert set(written["results"]) >= SUMMARY
    told = capsys.readouterr().out
    assert len(told.split("agent by agent:")[1].split("\n")[0].split()) == 3
    early = written["results"]["mean_train_steps"] < written["results"]["max_steps"]
    assert (" ended before their " in told) == early
