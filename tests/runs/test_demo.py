"""The demo from its search to its table, with a search of two tiny generations, and after an interruption."""

import json

import pytest

from synthenv.core.errors import UserError
from synthenv.runs.demo import command as demo_command
from synthenv.runs.meta_train import command as meta_train_command
from synthenv.runs.meta_train import run as search
from synthenv.runs.training import evaluation
from tests.tiny_run import TINY, of_length


def interrupt(line):
    raise KeyboardInterrupt


@pytest.mark.rank_promotion_ok
def test_demo_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo_command.synthetic_presets, "FAST", of_length(2))
    with pytest.raises(KeyboardInterrupt):
        search.meta_train(of_length(2), 0, tmp_path / "demo", on_generation=interrupt)
    with pytest.raises(UserError, match="pass --resume to go on"):
        demo_command.demo(tmp_path / "demo", 0, resume=False, num_agents=1)

    run_agents, tested = evaluation.run_agents, []

    def watched(place, agent, num_agents, seed, *more):
        tested.append((run_agents(place, agent, num_agents, seed, *more), agent.vary, seed))
        return tested[-1][0]

    monkeypatch.setattr(evaluation, "run_agents", watched)
    results = demo_command.demo(tmp_path / "demo", 0, resume=True, num_agents=1)
    assert results["meta_train"]["generations"] == 2 and results["num_agents"] == 1
    control, said = results["untrained_control"], capsys.readouterr().out
    assert [(vary, seed) for _, vary, seed in tested] == [(True, 1)] * 2, "agents of table 2, on a seed apart"
    assert results["mean_return"] == tested[0][0].returns.mean()
    assert control["mean_return"] == tested[1][0].returns.mean()
    assert (results["mean_train_steps"], control["mean_train_steps"]) == (TINY.agent.max_steps, 1)
    assert control["num_agents"] == 1 and results["total_seconds"] > 0
    assert "run directory:" in said and "untrained control" in said
    assert (tmp_path / "demo" / "report.html").exists()
    stored = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert stored["mean_return"] == results["mean_return"] and stored["untrained_control"] == control


def test_a_generations_line_tells_what_was_decided_and_no_round_off():
    line = {"incumbent_mean": 199.3, "incumbent_return": 199.3 + 1e-6, "deciding_mean": 169.1}
    line |= {"best_incumbent": 191.8, "member_mean": 150.0, "train_steps_mean": 600.0, "seconds": 1.2}
    assert meta_train_command.progress_numbers(line).startswith(
        "incumbent 199.3 (decided at 169.1)  best 191.8  "
    )
    line |= {"incumbent_return": 150.0, "deciding_mean": None}
    assert meta_train_command.progress_numbers(line).startswith("incumbent 199.3 (return 150.0)  best")
    assert meta_train_command.progress_numbers(line | {"incumbent_mean": None}).startswith(
        "members 150.0  steps"
    )
