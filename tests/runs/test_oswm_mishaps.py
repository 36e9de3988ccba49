"""What befalls an ``oswm run``: damaged lines, NaN in a diagnostic, too many rows, moved files, unlimited tasks."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthenv.cli import parse
from synthenv.core import memory
from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.runs.oswm.benchmark import real_task_rows
from synthenv.runs.oswm.benchmark import run as benchmark
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark
from synthenv.runs.oswm.benchmark.real_task_rows import RealRun
from synthenv.runs.oswm.run import real_tasks
from synthenv.runs.oswm.run import run as oswm_run
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.oswm.run.setup import Dreams
from synthenv.runs.oswm.run.summary import RETURNS, summarise
from synthenv.runs.oswm.run.training import Learned, Picked
from synthenv.runs.storage import metrics
from synthenv.runs.storage.run_directory import RunDir
from synthenv.worldmodel import registry as world_models
from synthenv.worldmodel.context.context import Context
from tests import still_world_model

pytestmark = pytest.mark.rank_promotion_ok

SMALL = OswmRun(
    task="SimpleEnv", context=40, model="still", seeds=3, evaluations=1, eval_episodes=1, test_episodes=1
)


@pytest.fixture(autouse=True)
def _still(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    still_world_model.install(monkeypatch)


def line_of(seed: int) -> dict[str, Any]:
    line = dict.fromkeys((*RETURNS, "dream_return", "encode_seconds", "train_seconds"), float(seed))
    line |= {"real_steps": {"context": 40}, "one_step_error": None, "train_steps": 64, "context_ends": 0}
    line["notices"] = []
    return {"generation": seed, **line, "curve": {"steps": [64], "returns": [1.0]}}


@pytest.fixture
def played(monkeypatch) -> list[int]:
    """Seeds that were done, each in no time."""
    done: list[int] = []

    def run_seed(place: Any, seed: int, *told: Any) -> tuple:
        done.append(seed)
        return (line_of(seed), None, None) if isinstance(place, Dreams) else (line_of(seed), None)

    monkeypatch.setattr(oswm_run, "run_seed", run_seed)
    monkeypatch.setattr(real_task_rows, "run_seed", run_seed)
    monkeypatch.setattr(oswm_run.oswm_plot, "write", lambda *args: None)
    return done


def begin(kind: str, resume: bool, told: list[str]) -> dict[str, Any]:
    if kind == "dream":
        return oswm_run.run(dataclasses.replace(SMALL, resume=resume), Path("run"), notify=told.append)
    asked = RealRun("SimpleEnv", "random", 0, 3, 1, 1, 1, 0)
    return real_task_rows.run(asked, Path("run"), resume, notify=told.append)


# ---------------------------------------------------------------- lines of metrics


@pytest.mark.parametrize("kind", ["dream", "real"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_seed_whose_line_is_damaged_is_done_again(kind, which, played):
    told: list[str] = []
    whole = begin(kind, False, told)
    file = Path("run/metrics.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    lines[which] = lines[which].replace(b'"generation"', b'"genera\xfftion', 1)
    file.write_bytes(b"".join(lines) + b'{"generation": 3, "fin')
    Path("run/result.json").unlink()
    played.clear()
    again = begin(kind, True, told)
    assert played == [which]
    assert told == [f"line {which + 1} of run/metrics.jsonl is damaged and left out"]
    assert again["per_seed"] == whole["per_seed"] and again["num_seeds"] == 3
    assert sorted(json.loads(line)["generation"] for line in file.read_text().splitlines()) == [0, 1, 2]


def test_only_a_last_half_line_may_be_dropped_in_silence(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(
        b'{"generation": 0}\n{"gen\n\n{"generation": 2}\n{"generation": 3'
    )
    assert metrics.damaged(tmp_path) == [2] and metrics.missing(tmp_path, 4) == [1, 3]
    lines = metrics.read(tmp_path)
    assert [line["generation"] for line in lines] == [0, 2] and metrics.num_generations(lines) == 3
    assert metrics.num_generations([]) == 0


def test_a_search_tells_of_a_damaged_line(tmp_path):
    with RunDir.create(tmp_path / "run", {"task": "x"}) as run:
        for generation in range(3):
            run.append_metrics({"generation": generation})
    file = tmp_path / "run" / "metrics.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"generation": 1', b'"generation" 1'))
    with RunDir.create(tmp_path / "run", {"task": "x"}, resume=True) as run:
        assert run.notes == [f"line 2 of {file} is damaged and left out"]


@pytest.mark.parametrize("kind", ["dream", "real"])
def test_a_finished_run_is_not_written_again(kind, played):
    begin(kind, False, [])
    before = {file: file.read_bytes() for file in Path("run").rglob("*") if file.is_file()}
    for resume in (False, True):
        with pytest.raises(UserError, match="the run in run is finished: choose another --out"):
            begin(kind, resume, [])
    assert {file: file.read_bytes() for file in Path("run").rglob("*") if file.is_file()} == before
    assert played == [0, 1, 2]


# ---------------------------------------------------------------- diagnostics


def test_nan_in_the_held_out_steps_leaves_the_training(monkeypatch):
    """The context is sound, a reward among the real steps that only measure the world model is not."""
    dreams = Dreams(SMALL)
    kept = []
    picked = Picked(None, np.array([1.0]), 20)
    monkeypatch.setattr(oswm_run, "learn", lambda *args: Learned("policy", picked, np.array([64]), 0.1))
    monkeypatch.setattr(oswm_run, "pick_untrained", lambda *args: picked)
    ten = oswm_run.EvalResult(np.ones(1), np.full(1, 10))  # type: ignore[arg-type]
    monkeypatch.setattr(oswm_run, "judge", lambda *args: dict.fromkeys(RETURNS[:1] + RETURNS[2:], ten))
    monkeypatch.setattr(Dreams, "play_dreamt", lambda *args: ten)
    monkeypatch.setattr(oswm_run, "encode", lambda model, context: (None, 0.0))
    never = np.zeros(40, bool)
    column = np.arange(40, dtype=np.float32)[:, None]
    rows: Any = Transition(column, column / 40, column[:, 0], column + 1, never, never)
    sound = Context(rows, column, None, 10.0, "SimpleEnv", "held", 40)

    def collected(task: Any, key: Any, collection: Any, act: Any = None) -> Any:
        if collection.num_steps == 40:
            return sound
        raise UserError("reward of the context of SimpleEnv is not finite in row 7: drop such rows")

    monkeypatch.setattr(real_tasks.RealTask, "collect", collected)
    line, policy, _ = oswm_run.run_seed(
        dreams, 1, lambda *told: None, lambda seed, params, context: kept.append((seed, params))
    )
    assert policy == "policy" and kept == [(1, "policy")] and line["final_return"] == 1.0
    assert line["one_step_error"] is None and line["real_steps"]["measurement"] == 20 + 40 + 1000
    told = line["notices"]
    assert len(told) == 1 and told[0].startswith("seed 1: one_step_error is null")
    assert "reward of the held-out steps of SimpleEnv is not finite in row 7" in told[0]


def test_what_could_not_be_measured_is_left_out_of_the_mean():
    measured = line_of(0) | {"one_step_error": {"next_obs": 0.5, "reward": 0.25}}
    result = summarise("T", True, [measured, line_of(1)])
    assert result["one_step_error"] == {"next_obs": 0.5, "reward": 0.25}
    assert result["per_seed"]["one_step_error"][1] is None
    assert summarise("T", True, [line_of(0)])["one_step_error"] is None


def test_returns_that_are_not_finite_can_be_summarised_and_drawn(tmp_path):
    lines = [line_of(seed) | dict.fromkeys((*RETURNS, "dream_return")) for seed in (0, 1)]
    lines[0]["curve"] = {"steps": [64], "returns": [None]}
    assert np.isnan(summarise("T", True, lines)["final_return"])
    assert oswm_run.oswm_plot.write(lines, tmp_path, "T").stat().st_size > 1000


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("model", ["experts", "gp-ard", "gp-isotropic", "small"])
def test_a_context_that_no_memory_holds_is_refused_with_what_fits(model, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 4 * 10**9)
    with pytest.raises(
        UserError, match=r"--context 20000 takes [\d.]+ GB .* 4.0 GB are free: pass --context \d+ "
    ) as error:
        Dreams(dataclasses.replace(SMALL, model=model, context=20_000))
    fits = int(str(error.value).split("pass --context ")[1].split()[0])
    world_model = real_tasks.world_model(model)
    real_tasks.check_memory(world_model, fits)
    with pytest.raises(UserError):
        real_tasks.check_memory(world_model, fits + 1)
    asked = OswmBenchmark(tasks=("SimpleEnv",), models=("ridge", model), context=20_000)
    with pytest.raises(UserError, match=f"pass --context {fits} at most"):
        benchmark.run(asked, Path("bench"), None)  # type: ignore[arg-type]
    assert not Path("bench").exists()


def test_models_that_compare_no_rows_take_any_number(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    for name in ("ridge", "quadratic", "persistence"):
        real_tasks.check_memory(world_models.MODELS[name], 10**6)
    monkeypatch.setattr(memory, "available", lambda: None)
    real_tasks.check_memory(world_models.MODELS["experts"], 10**9)


def test_a_file_is_counted_by_the_rows_that_it_has(monkeypatch):
    """Of a thousand that ask the same forty things, forty are compared."""
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    write_log(Path("log.npz"), np.arange(2000) % 40)
    Dreams(dataclasses.replace(SMALL, model="experts", context_file=Path("log.npz"), context=2000))
    write_log(Path("log.npz"), np.arange(2000))
    with pytest.raises(UserError, match="pass --context 85 at most"):
        Dreams(dataclasses.replace(SMALL, model="experts", context_file=Path("log.npz"), context=2000))


def test_memory_of_this_machine():
    free = memory.available()
    assert free is None or 10**6 < free < 10**15


@pytest.mark.parametrize(
    ("most", "used", "expected"), [("1000", "300", 740), ("max", "300", None), ("100", "300", 0)]
)
def test_a_limit_of_a_container_counts(tmp_path, most, used, expected):
    for name, text in (("max", most), ("current", used), ("stat", "anon 9\ninactive_file 40\n")):
        (tmp_path / f"memory.{name}").write_text(text + "\n")
    assert memory._of_group(tmp_path) == expected


def write_log(path: Path, obs: np.ndarray) -> None:
    obs = np.asarray(obs, float)[:, None]
    never = np.zeros(len(obs), bool)
    actions = np.resize([-10.0, 10.0], len(obs))
    np.savez(
        path,
        observations=obs,
        actions=actions,
        rewards=obs[:, 0],
        next_observations=obs + 0.5,
        terminations=never,
        truncations=~never,
    )


# ---------------------------------------------------------------- files by other names


def test_a_run_is_resumed_from_anywhere_and_by_any_spelling(played, monkeypatch, tmp_path):
    write_log(Path("log.npz"), np.arange(60))
    small = dataclasses.replace(SMALL, context_file=Path("log.npz"))
    oswm_run.run(small, Path("run"))
    for folder, spelling in (
        ("elsewhere", None),
        ("elsewhere", "../log.npz"),
        (".", "./log.npz"),
        (".", "copy.npz"),
    ):
        (tmp_path / "run" / "result.json").unlink()
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        (tmp_path / "copy.npz").write_bytes((tmp_path / "log.npz").read_bytes())
        words = ["oswm", "run", "--resume", "--out", str(tmp_path / "run")]
        again = parse(words + ([] if spelling is None else ["--context-file", spelling]))
        assert isinstance(again, OswmRun)
        oswm_run.run(again, tmp_path / "run")
    assert played == [0, 1, 2], "a seed was done again"


def test_models_by_path_are_the_same_if_their_contents_are(tmp_path, monkeypatch):
    """Also of runs of before, whose config has the path as it was typed."""
    Path("pretrained").mkdir()
    Path("pretrained/best_proxy.safetensors").write_bytes(b"weights")
    Path("run").mkdir()
    typed = dataclasses.replace(SMALL, model="pretrained")
    content = real_tasks.contents_of("pretrained")["pretrained"]
    old = typed.asked() | {"contents": {"pretrained": content}}
    Path("run/config.json").write_text(json.dumps({"config": old, "environment": {}}, default=str))
    absolute = str(tmp_path / "pretrained")
    for spelling in ("pretrained", "./pretrained", absolute):
        asked = oswm_run.asked_for(dataclasses.replace(SMALL, model=spelling), Path("run"))
        assert asked["model"] == "pretrained" and asked["contents"] == {"pretrained": content}
        asked = oswm_run.asked_for(dataclasses.replace(SMALL, model=spelling), Path("new"))
        assert asked["model"] == absolute and asked["contents"] == {absolute: content}
    Path("pretrained/best_proxy.safetensors").write_bytes(b"others")
    asked = oswm_run.asked_for(typed, Path("run"))
    assert asked["contents"] != {"pretrained": content}
    assert oswm_run.asked_for(SMALL, Path("run")).get("contents") is None


# ---------------------------------------------------------------- tasks of gymnasium

MODULE = """
import gymnasium
import numpy as np

class Own(gymnasium.Env):
    action_space = gymnasium.spaces.Discrete(2)
    observation_space = gymnasium.spaces.Box(-9, 9, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.float32([self.time]), float(action), False, self.time == 25, {}

gymnasium.register("Own", Own)
"""


@pytest.fixture
def own_module(monkeypatch):
    """A module in the current directory, which is not where Python looks for modules."""
    gymnasium = pytest.importorskip("gymnasium")
    Path("synthenv_own_tasks.py").write_text(MODULE)
    here = {"", ".", os.getcwd()}
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in here])
    yield "synthenv_own_tasks:Own"
    gymnasium.registry.pop("Own", None)
    sys.modules.pop("synthenv_own_tasks", None)


def test_a_task_of_the_current_directory_that_ends_episodes_by_itself(own_module):
    with pytest.raises(UserError, match="Own is registered without a time limit: pass --episode-steps"):
        Dreams(dataclasses.replace(SMALL, task=own_module))
    dreams = Dreams(dataclasses.replace(SMALL, task=own_module, episode_steps=10))
    assert dreams.max_steps == dreams.task.max_steps == 10
    assert dreams.collection("held", 5).episode_cap == 10


def test_episode_steps_shorten_what_has_a_limit_and_leave_old_configs_alike():
    dreams = Dreams(dataclasses.replace(SMALL, episode_steps=7))
    assert dreams.max_steps == dreams.task.max_steps == dreams.collection("held", 5).episode_cap == 7
    assert Dreams(dataclasses.replace(SMALL, episode_steps=700)).max_steps == 20
    assert "episode_steps" not in SMALL.asked()
    write_log(Path("log.npz"), np.arange(60))
    small = dataclasses.replace(SMALL, task=None, context_file=Path("log.npz"), episode_steps=30)
    assert Dreams(small).max_steps == 30
    with pytest.raises(UserError, match="--episode-steps 0 does nothing: pass 1 or more"):
        dataclasses.replace(SMALL, episode_steps=0).check()
