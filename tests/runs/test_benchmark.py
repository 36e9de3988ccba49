"""``synthenv oswm benchmark`` at tiny sizes: its rows, equal contexts and starts, resumption, what people read."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from synthenv.agents.ppo_config import PPOConfig
from synthenv.cli import main, parse
from synthenv.core.errors import UserError
from synthenv.runs.oswm.benchmark import paper_numbers, real_task_rows
from synthenv.runs.oswm.benchmark import run as benchmark
from synthenv.runs.oswm.benchmark import tables as benchmark_report
from synthenv.runs.oswm.benchmark.arguments import STRATEGIES, TASKS, OswmBenchmark, Row, benchmark_defaults
from synthenv.runs.oswm.benchmark.one_step_errors import ProxyLoss
from synthenv.runs.oswm.benchmark.real_task_rows import RealPlace, RealRun
from synthenv.runs.oswm.benchmark.table_rows import Watch, rows_of
from synthenv.runs.oswm.run import presets as dream_presets
from synthenv.runs.oswm.run.real_tasks import real_task
from synthenv.runs.oswm.run.training import zero_act
from synthenv.worldmodel.context.action_strategies import STRATEGIES as KNOWN_STRATEGIES
from tests.error_lines import is_line

pytestmark = pytest.mark.rank_promotion_ok

TINY_PPO = PPOConfig(
    stop="none", num_envs=2, rollout_length=32, num_minibatches=2, num_epochs=2, max_steps=256, hidden_size=8
)
SMALL = OswmBenchmark(
    tables=("1", "2"),
    tasks=("SimpleEnv",),
    models=("ridge", "persistence"),
    strategies=("held", "random"),
    context=40,
    seeds=2,
    evaluations=2,
    eval_episodes=2,
    test_episodes=3,
)
SILENT = Watch(lambda *told: None, lambda line: None, lambda line: None)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    """A tiny PPO for every task."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name, preset in dream_presets.PRESETS.items():
        monkeypatch.setitem(dream_presets.PRESETS, name, dataclasses.replace(preset, ppo=TINY_PPO))


def untimed(value):
    """Without seconds, in lists and dicts alike."""
    if isinstance(value, list):
        return [untimed(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: untimed(item) for key, item in value.items() if not key.endswith("_seconds")}


def stored(path: str = "out") -> dict:
    return json.loads((Path(path) / "benchmark.json").read_text())


# ---------------------------------------------------------------- rows


def test_rows():
    """Baselines come after the dreams that they are measured by; both tables share a row."""
    first, second = (rows_of(SMALL, table) for table in ("1", "2"))
    assert [row.method for row in first] == ["ridge", "persistence", *SMALL.baselines]
    assert [(row.method, row.strategy) for row in second] == [("ridge", "held"), ("ridge", "random")]
    assert second[0] == first[0] and len({row.place for row in (*first, *second)}) == 8
    assert Row("brax/reacher", "zero", None).place == Path("brax/reacher/zero")
    odd = Row("SimpleEnv", "runs/../my model", "held").place
    assert odd.parent == Path("SimpleEnv") and "/" not in odd.name and " " not in odd.name


def test_lists_agree():
    assert set(TASKS) == set(paper_numbers.TASKS) == set(paper_numbers.TABLE1) == set(paper_numbers.TABLE2)
    assert set(TASKS) == set(paper_numbers.TABLE3) and set(STRATEGIES) == set(KNOWN_STRATEGIES)
    assert set(TASKS) <= set(dream_presets.PRESETS)
    assert ProxyLoss().models == tuple(dict.fromkeys(ProxyLoss().models))


@pytest.mark.parametrize(
    ("table", "row", "mean"),
    [
        ("1", Row("SimpleEnv", "ridge", "held"), -4.7),
        ("1", Row("SimpleEnv", "ppo-real-equal", None), -0.8),
        ("1", Row("SimpleEnv", "random", None), -256.2),
        ("1", Row("SimpleEnv", "zero", None), None),
        ("2", Row("SimpleEnv", "ridge", "random"), -4.7),
        ("2", Row("SimpleEnv", "ridge", "p-expert"), -2.5),
        ("2", Row("SimpleEnv", "ridge", "held"), None),
        ("2", Row("Reacher-v5", "ridge", "random"), -10.2),
        ("1", Row("brax/reacher", "ridge", "random"), None),
        ("2", Row("brax/reacher", "ridge", "random"), None),
    ],
)
def test_the_papers_numbers_stand_beside_their_rows(table, row, mean):
    found = benchmark_report.paper_return(table, row)
    assert (found and found.mean) == mean


# ---------------------------------------------------------------- the whole


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Tables 1 and 2, and what was told on the way."""
    with pytest.MonkeyPatch.context() as patch:
        for name, preset in dream_presets.PRESETS.items():
            patch.setitem(dream_presets.PRESETS, name, dataclasses.replace(preset, ppo=TINY_PPO))
        out = tmp_path_factory.mktemp("benchmark") / "out"
        told = []
        results = benchmark.run(SMALL, out, SILENT, lambda *row: told.append(row))
    return out, results, told


def test_equal_seeds_give_equal_contexts_and_starts(finished):
    out, results, told = finished
    assert results["contexts_shared"] and len(told) == 7 + 2
    rows = {path.name: path for path in (out / "rows" / "SimpleEnv").iterdir()}
    lines = {
        name: [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        for name, path in rows.items()
    }
    digests = {name: [line.get("context_digest") for line in own] for name, own in lines.items()}
    assert digests["ridge-held"] == digests["persistence-held"] and len(set(digests["ridge-held"])) == 2
    assert digests["ridge-random"] != digests["ridge-held"]
    # Judged from the same starts with the same draws, whatever trained before.
    of_random = [line["final_return"] for line in lines["random"]]
    for name in ("ridge-held", "persistence-held", "ppo-real-large"):
        assert [line["random_return"] for line in lines[name]] == of_random
    assert len({line["final_return"] for own in lines.values() for line in own}) > 8


def test_real_ppo_takes_the_steps_that_it_is_held_to(finished):
    """A dream took 40 + 2 tests x 2 episodes x 20 steps, so two iterations of 64; it dreamt 256."""
    rows = {row["method"]: row for row in finished[1]["tables"]["1"]["SimpleEnv"]}
    assert rows["ridge"]["real_steps"]["total"] == 40 + 2 * 2 * 20 == 120
    config = json.loads((finished[0] / "rows/SimpleEnv/ppo-real-equal/config.json").read_text())["config"]
    assert config["max_steps"] == 120 and rows["ppo-real-equal"]["real_steps"]["training"] == 128
    assert rows["ppo-real-context"]["real_steps"]["training"] == 64, "40 steps, but a whole iteration"
    assert rows["ppo-real-large"]["real_steps"]["training"] == rows["ridge"]["train_steps"] == 256
    assert rows["ppo-real-large"]["real_steps"]["evaluation"] == 80
    assert rows["zero"]["real_steps"]["total"] == 0
    # Nothing moves: 20 times the distance at which an episode began, which is below 5.
    assert -100 < rows["zero"]["final_return"] < 0 and rows["zero"]["best_return"] is None
    assert rows["zero"]["final_return"] > rows["random"]["final_return"]


def test_what_people_read(finished):
    out, results, _ = finished
    with (out / "table1.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["method"] for line in lines] == ["ridge", "persistence", *SMALL.baselines]
    for line, row in zip(lines, results["tables"]["1"]["SimpleEnv"], strict=True):
        assert float(line["final_return"]) == pytest.approx(row["final_return"], rel=1e-4)
        assert (
            float(line["final_return_low"]) <= float(line["final_return"]) <= float(line["final_return_high"])
        )
    assert lines[0]["paper_mean"] == "-4.7" and lines[-1]["best_return"] == lines[-1]["paper_mean"] == ""
    text = (out / "table2.md").read_text()
    assert "| ridge: random | " in text and "-4.7 ± 5.2" in text and "40 + 80" in text
    for name in ("table1.png", "table2.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("number", "said"), [(-1234.5, "-1234"), (-180.25, "-180"), (5.2, "5.20"), (21.34, "21.3")]
)
def test_numbers_are_short(number, said):
    assert benchmark_report.short(number) == said


def test_a_resumed_benchmark_equals_an_uninterrupted_one(finished):
    """Killed in the second seed of PPO's training; then gone on with, and with fewer rows."""

    class Killed(Exception):
        pass

    def kill(seed: int, steps: int, mean: float) -> None:
        if seed == 1 and Path("out/rows/SimpleEnv/ppo-real-equal").exists():
            raise Killed

    small = dataclasses.replace(SMALL, tables=("1",))
    with pytest.raises(Killed):
        benchmark.run(small, Path("out"), SILENT._replace(show=kill))
    done = [row["method"] for row in stored()["tables"]["1"]["SimpleEnv"]]
    assert done == ["ridge", "persistence", "ppo-real-context"]
    seen = []
    watch = SILENT._replace(tell=lambda line: seen.append(line["generation"]))
    again = dataclasses.replace(small, resume=True)
    benchmark.run(again, Path("out"), watch)
    assert seen == [1, 0, 1, 0, 1, 0, 1], "a finished seed was done again"
    whole = json.loads((finished[0] / "benchmark.json").read_text())
    assert untimed(stored()["tables"]["1"]) == untimed(whole["tables"]["1"])
    less = dataclasses.replace(again, models=("ridge",), baselines=("zero",))
    benchmark.run(less, Path("out"), SILENT._replace(tell=lambda line: pytest.fail("nothing is left to do")))
    rows = [row["method"] for row in stored()["tables"]["1"]["SimpleEnv"]]
    assert rows[-2:] == ["ridge", "zero"] and len(rows) == len(whole["tables"]["1"]["SimpleEnv"]), (
        "none is lost"
    )
    with pytest.raises(UserError, match=r"was begun with context = 40, not 50: pass the old value"):
        benchmark.run(dataclasses.replace(again, context=50), Path("out"), SILENT)
    with pytest.raises(UserError, match=r"holds a benchmark: pass --resume"):
        benchmark.run(small, Path("out"), SILENT)
    other = dataclasses.replace(again, models=("persistence",), baselines=("ppo-real-equal",))
    change_steps(Path("out/rows/SimpleEnv/persistence-held/result.json"))
    benchmark.run(other, Path("out"), SILENT._replace(tell=lambda line: pytest.fail("it was done again")))


def change_steps(file: Path) -> None:
    """As if that dream had taken another number of real steps."""
    result = json.loads(file.read_text())
    result["real_steps"]["total"] += 64
    file.write_text(json.dumps(result))


def test_table_3():
    """One-step errors of what was asked for, and nothing measured twice."""
    small = dataclasses.replace(
        SMALL, tables=("3",), models=("persistence",), num_contexts=1, num_test_rows=30, expert_steps=64
    )
    told = []
    benchmark.run(
        small, Path("out"), SILENT, tell_error=lambda line, total: told.append((line["strategy"], total))
    )
    assert told == [("held", 2), ("random", 2)]
    of_task = stored()["tables"]["3"]["SimpleEnv"]
    assert of_task["random"]["paper"]["raw"] == 0.38 and "paper" not in of_task["held"]
    assert of_task["held"]["persistence"]["raw"] > 0
    only = dataclasses.replace(small, strategies=("random",), resume=True)
    benchmark.run(only, Path("out"), SILENT, tell_error=lambda line, total: pytest.fail("it was measured"))
    assert list(stored()["tables"]["3"]["SimpleEnv"]) == ["held", "random"], "what was measured before stays"
    assert "| random | " in Path("out/table3.md").read_text() and Path("out/table3.png").exists()


# ---------------------------------------------------------------- real tasks


def test_all_seeds_share_one_program():
    asked = RealRun("SimpleEnv", "ppo", 256, 2, evaluations=2, eval_episodes=2, test_episodes=3, seed=0)
    place = RealPlace(asked)
    lines = [real_task_rows.run_seed(place, seed, lambda seed, steps, mean: None)[0] for seed in (0, 1)]
    assert place.trainer is not None
    assert place.trainer.begin._cache_size() == place.trainer.advance._cache_size() == 1
    assert lines[0]["curve"]["steps"].tolist() == [128, 256]
    assert lines[0]["final_return"] != lines[1]["final_return"]


def test_zero_actions():
    discrete, continuous = (zero_act(real_task(name).actions) for name in ("CartPole-v0", "SimpleEnv"))
    assert int(discrete(None, None, None)) == 0  # type: ignore[arg-type]
    assert np.asarray(continuous(None, None, None)).tolist() == [0.0]  # type: ignore[arg-type]


# ---------------------------------------------------------------- the command


def test_the_command(capsys):
    words = "--tables 1 --tasks SimpleEnv --models persistence --baselines zero,random --context 40 --seeds 1"
    words += " --evaluations 1 --eval-episodes 1 --test-episodes 2 --out run --json result.json"
    assert main(["oswm", "benchmark", *words.split()]) == 0
    said = capsys.readouterr().out
    assert "row 3/3 of table 1: SimpleEnv, random" in said and "-256.2 ± 16.6" in said and "1/1 seed " in said
    assert "[-" not in said, "one seed has no interval"
    assert json.loads(Path("result.json").read_text())["command"] == "oswm benchmark"
    again = parse(["oswm", "benchmark", "--resume", "--out", "run", "--seeds", "3"])
    assert isinstance(again, OswmBenchmark) and (again.seeds, again.context) == (3, 40)
    assert (again.models, again.baselines) == (("persistence",), ("zero", "random"))
    assert main(["oswm", "benchmark", "--resume", "--out", "run"]) == 0
    assert parse(["oswm", "benchmark", "--preset", "smoke"]) == benchmark_defaults("smoke", None)
    assert benchmark_defaults("paper", None).strategy == "random"


ERRORS = {
    "--tasks Pendulum": "--tasks: 'Pendulum' is unknown; did you mean 'Pendulum-v1'? known ones: ...",
    "--models expert": (
        "unknown world model 'expert'; did you mean 'experts'? known ones: ...; or pass the "
        "directory of a synthenv oswm pretrain, or --import FILE"
    ),
    "--tasks brax/reacher": "table 3 has no brax/reacher: pass --tables 1 2, or other --tasks",
    "--tables 4": "--tables: '4' is unknown; known ones: 1, 2, 3",
    "--baselines ppo": "--baselines: 'ppo' is unknown; known ones: ...",
    "--strategies hold": "--strategies: 'hold' is unknown; did you mean 'held'? known ones: ...",
    "--strategy hold": "--strategy: 'hold' is unknown; did you mean 'held'? known ones: ...",
    "--models ,": "--models is empty: pass at least one, or leave it out",
    "--seeds 0": "--seeds 0 does nothing: pass 1 or more",
    "--context 5": "--context 5 tells too little: pass at least 20, better 1000",
    "--resume": "--resume goes on with which run? Pass its directory with --out",
    "--out taken": "taken is not empty and holds no benchmark (file): choose another --out",
    "--distributed auto": "oswm benchmark runs on one machine: drop --distributed, or use meta-train",
}


@pytest.mark.parametrize("words", ERRORS)
def test_an_error_is_one_line_with_a_remedy(words, capsys, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    assert main(["oswm", "benchmark", *words.split()]) == 2
    errors = capsys.readouterr().err
    assert is_line(ERRORS[words], errors), errors
    assert {p.name for p in tmp_path.iterdir()} == {"taken"}, "something was begun"
