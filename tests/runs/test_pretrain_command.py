"""``synthenv oswm pretrain``: its arguments, what it prints, how it goes on, and what its models are good for."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from synthenv.cli import main, parse
from synthenv.core.errors import UserError
from synthenv.core.sealed_file import read_sealed, write_sealed
from synthenv.envs import registry
from synthenv.runs.oswm.pretrain import command as pretrain_command
from synthenv.runs.oswm.pretrain import plot as pretrain_plot
from synthenv.runs.oswm.pretrain.arguments import OswmPretrain
from synthenv.runs.oswm.pretrain.presets import PRESETS, Preset, with_steps
from synthenv.runs.oswm.pretrain.real_task_errors import RealConfig
from synthenv.runs.oswm.pretrain.run import SMALL
from synthenv.runs.oswm.run.real_tasks import world_model
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.small import train_step as pretrain
from synthenv.zoo import registry as zoo
from synthenv.zoo import world_models
from tests.error_lines import is_line
from tests.tiny_pretrain import TINY

pytestmark = pytest.mark.rank_promotion_ok


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run by the command, watched on SimpleEnv: its directory, and what was printed."""
    path = tmp_path_factory.mktemp("pretrain")
    words = ["oswm", "pretrain", "--preset", "smoke", "--seed", "3", "--workers", "1"]
    with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as columns:
        columns.setenv("COLUMNS", "200")
        patch.setitem(PRESETS, "smoke", Preset(SMALL, TINY, RealConfig(("SimpleEnv",), 24), 2, "tiny"))
        assert main([*words, "--out", str(path / "run"), "--json", str(path / "result.json")]) == 0
    return path


def lines_of(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


# ---------------------------------------------------------------- arguments


def test_flags_arrive():
    command = parse(
        [
            "oswm",
            "pretrain",
            "--preset",
            "generic",
            "--steps",
            "7",
            "--steps-per-line",
            "3",
            "--workers",
            "5",
            "--seed",
            "2",
        ]
    )
    assert isinstance(command, OswmPretrain)
    assert dataclasses.replace(command, common=OswmPretrain().common) == OswmPretrain("generic", 7, 3, 5)
    assert command.common.seed == 2
    asked = pretrain_command.asked_for(command)
    assert asked.config.prior.families == ("linear", "smooth", "field", "network", "walls")
    assert asked.config.num_steps == 7 and asked.steps_per_line == 3


ERRORS = {
    "--steps 0": "--steps 0 does nothing: pass 1 or more",
    "--steps-per-line 0": "--steps-per-line 0 does nothing: pass 1 or more",
    "--workers -1": "--workers -1 does nothing: pass 1 or more",
    "--resume": "--resume goes on with which run? Pass its directory with --out",
}


@pytest.mark.parametrize("words", ERRORS)
def test_nonsense_is_refused_in_a_line(words, capsys):
    assert main(["oswm", "pretrain", *words.split()]) == 2
    errors = capsys.readouterr().err
    assert is_line(ERRORS[words], errors), errors


@pytest.mark.parametrize("num_steps", [1, 9, 700])
def test_fewer_steps_have_a_schedule(num_steps):
    """The warm-up is a tenth at most: one longer than the training has no schedule."""
    preset = PRESETS["small"].config
    config = with_steps(preset, num_steps)
    assert (config.num_steps, config.warmup_steps) == (num_steps, min(preset.warmup_steps, num_steps // 10))
    weights, grads = {"w": np.ones(2, np.float32)}, {"w": np.ones(2, np.float32)}
    optimizer = pretrain.optimizer(config)
    updates, _ = optimizer.update(grads, optimizer.init(weights), weights)
    assert np.isfinite(updates["w"]).all() and np.abs(updates["w"]).max() <= 2 * config.learning_rate


# ---------------------------------------------------------------- a run


def test_lines_tell_of_real_tasks(finished):
    lines = lines_of(finished / "run")
    assert [line["step"] for line in lines] == [2, 4]
    for line in lines:
        pair = line["real"]["SimpleEnv"]
        assert 0 < pair["model"] < 100 and 0 < pair["experts"] < 100
        assert line["real_gain"] == pytest.approx(0.5 * np.log(pair["experts"] / pair["model"]), abs=1e-3)
    assert lines[0]["real"]["SimpleEnv"]["experts"] == lines[1]["real"]["SimpleEnv"]["experts"]


def test_result_is_written(finished):
    written = json.loads((finished / "result.json").read_text())
    assert written["command"] == "oswm pretrain" and written["results"]["steps"] == 4
    assert written["results"]["real_gain"] == lines_of(finished / "run")[-1]["real_gain"]


def test_a_resumed_run_needs_no_flags_and_keeps_its_config(finished):
    """The preset is another one by now, but the run goes on with what it was begun with."""
    command = parse(["oswm", "pretrain", "--resume", "--out", str(finished / "run")])
    assert isinstance(command, OswmPretrain)
    assert (command.preset, command.steps, command.steps_per_line) == ("smoke", 4, 2)
    assert command.common.seed == 3
    asked = pretrain_command.asked_for(command)
    assert asked.config == TINY and asked.real == RealConfig(("SimpleEnv",), 24)
    other = pretrain_command.asked_for(dataclasses.replace(command, steps=5))
    assert other.config == with_steps(PRESETS["smoke"].config, 5), (
        "a flag is heard, and the directory refuses it"
    )


# ---------------------------------------------------------------- the picture


def test_curves_are_drawn_at_the_end_and_again(finished, capsys):
    file = finished / "run" / "plots" / pretrain_plot.FILE
    file.unlink()
    assert main(["oswm", "plot", str(finished / "run")]) == 0
    assert file.read_bytes().startswith(b"\x89PNG") and "pretraining.png" in capsys.readouterr().out


def test_curves_have_what_the_lines_have(finished):
    lines = lines_of(finished / "run")
    figure = pretrain_plot.draw(lines, "tiny")
    loss, added, real = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_xdata(), [2, 4])
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), [line["held_out_loss"] for line in lines])
    assert len(added.lines) == 4 and len(real.lines) == 2
    np.testing.assert_array_equal(
        real.lines[1].get_ydata(), [line["real"]["SimpleEnv"]["experts"] for line in lines]
    )
    bare = [{name: line[name] for name in ("step", "train_loss", "held_out_loss")} for line in lines]
    assert len(pretrain_plot.draw(bare, "tiny").axes) == 1


def test_what_is_no_run_is_not_drawn(tmp_path, capsys):
    assert main(["oswm", "plot", str(tmp_path)]) == 2
    assert "no oswm run and no oswm pretrain" in capsys.readouterr().err


# ---------------------------------------------------------------- what it leaves


def test_a_run_is_a_world_model(finished):
    """Its directory and its file are the same one."""
    model, by_file = (world_model(str(finished / place)) for place in ("run", "run/best_proxy.safetensors"))
    jax.tree.map(np.testing.assert_array_equal, model.params, by_file.params)
    context = collect(jax.random.key(0), registry.make("SimpleEnv"), Collection("held", 200, num_resets=1))
    cache = model.encode(model.params, context.transitions, context.num_actions)
    said = jax.jit(model.predict)(cache, context.transitions.obs[0], context.transitions.action[0])
    assert np.isfinite(said.reward) and said.next_obs.shape == (1,)


def test_all_hyperparameters_come_with_the_weights(finished):
    config = world_models.load_arrays(finished / "run" / "best_proxy.safetensors")[1]
    assert world_models.config_from_stored(config) == TINY


def changed(path: Path, source: Path, change) -> str:
    """A copy of a model file whose metadata are changed."""
    arrays, fields = read_sealed(source)
    change(fields["metadata"])
    write_sealed(path, arrays, fields)
    return str(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda it: it.update(kind="proxy"), "is no world model"),
        (lambda it: it.update(form="large"), "another version"),
        (lambda it: it["pretrain"]["model"].pop("width"), "another version"),
        (lambda it: it["pretrain"]["model"].update(depth=1), "another version"),
        (lambda it: it["pretrain"]["model"].update(num_heads=3), "no multiple"),
        (lambda it: it["pretrain"]["model"].update(width=16), "foreign"),
    ],
)
def test_a_model_is_loaded_as_it_was_trained_or_not_at_all(finished, tmp_path, change, told):
    with pytest.raises(UserError, match=told) as refused:
        world_model(changed(tmp_path / "x.safetensors", finished / "run" / "best_proxy.safetensors", change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("cut.safetensors", "damaged"),
        ("foreign.safetensors", "damaged or foreign"),
        ("unfinished", "holds no finished world model"),
        ("nowhere/model.safetensors", "does not exist"),
        ("small", "no world model 'small' is shipped"),
        ("smal", "unknown world model"),
    ],
)
def test_what_is_no_model_is_told_in_a_line(finished, tmp_path, monkeypatch, place, told):
    for module in (world_models, zoo):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    whole = (finished / "run" / "best_proxy.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(whole[:-8])
    Path("foreign.safetensors").write_bytes(b"something else")
    Path("unfinished").mkdir()
    with pytest.raises(UserError, match=told) as refused:
        world_model(place)
    assert "\n" not in str(refused.value)


def test_a_shipped_model_goes_by_its_name(finished, tmp_path, monkeypatch):
    for module in (world_models, zoo):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    file = tmp_path / "world_model_small.safetensors"
    file.write_bytes((finished / "run" / "best_proxy.safetensors").read_bytes())
    entry = {"small": {"file": file.name, "sha256": zoo.sha256(file), "scores": {}}}
    (tmp_path / "world_models.json").write_text(json.dumps(entry))
    assert world_model("small").name == "small"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(UserError, match="reinstall"):
        world_model("small")
