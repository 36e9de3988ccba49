"""Pretraining the paper's model: its tables, a tiny run by the command, resumption, its answers as a world model."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.cli import main
from synthenv.nets.transformer import TransformerConfig
from synthenv.runs.oswm.pretrain import real_task_errors
from synthenv.runs.oswm.pretrain import run as pretrain
from synthenv.runs.oswm.pretrain.presets import PRESETS, Preset, with_steps
from synthenv.runs.oswm.pretrain.real_task_errors import RealConfig
from synthenv.runs.oswm.pretrain.run import PAPER
from synthenv.runs.oswm.run.real_tasks import world_model
from synthenv.runs.storage import metrics
from synthenv.worldmodel.paper import network as paper_model
from synthenv.worldmodel.paper import train_step as paper_pretrain
from synthenv.worldmodel.paper.optimizer import learning_rate
from synthenv.worldmodel.paper.train_step import PaperPretrainConfig
from synthenv.zoo import world_models

pytestmark = pytest.mark.rank_promotion_ok
SIZES = dataclasses.replace(
    paper_model.PAPER,
    transformer=TransformerConfig(16, 2, 16, 1, norm="post", zero_init_residual=True),
    encoder=dataclasses.replace(paper_model.PAPER.encoder, width=8, depth=1),
    decoder=dataclasses.replace(paper_model.PAPER.decoder, width=8, depth=1),
)
TINY = PaperPretrainConfig(SIZES, batch_size=2, num_rows=60, num_steps=4)
WATCHED = RealConfig(("SimpleEnv", "CartPole-v0"), 24)
WORDS = ["oswm", "pretrain", "--preset", "paper", "--seed", "1"]


class Interrupted(BaseException):
    """Stands for whatever ends a process."""


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(PRESETS, "paper", Preset(PAPER, TINY, WATCHED, 2, "tiny"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run's directory."""
    path = tmp_path_factory.mktemp("paper") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "paper", Preset(PAPER, TINY, WATCHED, 2, "tiny"))
        assert main([*WORDS, "--out", str(path)]) == 0
    return path


def test_the_tables_are_the_papers():
    """Tables 4, 5 and 7; the size is that of the released code."""
    config = PaperPretrainConfig()
    assert (config.batch_size, config.num_rows, config.num_steps) == (8, 1001, 5000)
    assert config.model == paper_model.PAPER and config.model.transformer.num_heads == 4
    assert not config.prior.hidden_velocity and config.prior.normalize_over == "context"
    assert config.optimizer.learning_rate == 5e-5 and config.optimizer.warmup_epochs == 12


def test_the_schedule_stretches_with_the_steps():
    """Half of the warm-up is behind after as large a share of any training."""
    rates = []
    for config in (PaperPretrainConfig(), with_steps(PaperPretrainConfig(), 50)):
        per_epoch = config.num_steps / config.optimizer.num_epochs
        rate = learning_rate(dataclasses.replace(config.optimizer, steps_per_epoch=per_epoch))
        rates.append([float(rate(share * config.num_steps)) for share in (0.0, 0.1, 0.5, 1.0)])
    np.testing.assert_allclose(*rates, rtol=1e-6)


def test_context_is_at_least_half_of_the_rows():
    draw = jax.jit(jax.vmap(lambda key: paper_pretrain.draw_batch(key, TINY).num_context))
    counts = np.asarray(draw(jax.random.split(jax.random.key(0), 50)))
    assert counts.min() >= 29 and counts.max() <= 59 and len(set(counts)) > 5


def test_lines(finished):
    lines = metrics.read(finished)
    assert [line["step"] for line in lines] == [2, 4]
    names = ("train_loss", "held_out_loss", "real_gain", "flops_share", "wait_seconds")
    assert np.isfinite([line[name] for line in lines for name in names]).all()
    assert set(lines[0]["real"]) == set(WATCHED.tasks)
    assert (finished / "plots" / "pretraining.png").exists()


@pytest.mark.long  # the small model's is tested in test_pretrain.py, by the same loop
def test_interrupted_and_resumed_is_uninterrupted(finished, tmp_path, monkeypatch, capsys):
    out, append = tmp_path / "run", pretrain.RunDir.append_metrics

    def stop_at_second(self, line):
        if line["generation"] == 1:
            raise Interrupted
        append(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(pretrain.RunDir, "append_metrics", stop_at_second)
        with pytest.raises(Interrupted):
            main([*WORDS, "--out", str(out)])
    assert "step 2/4  loss" in capsys.readouterr().out, "a plain line where there is no terminal"
    assert main(["oswm", "pretrain", "--resume", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "step 4/4  loss" in said and "step 2/4" not in said and "experts alone" in said
    weights = "best_proxy.safetensors"
    assert (out / weights).read_bytes() == (finished / weights).read_bytes()
    mine, other = metrics.read(out)[1], metrics.read(finished)[1]
    assert mine["real"] == other["real"] and mine["train_loss"] == other["train_loss"]


def test_what_is_stored_is_what_was_asked(finished):
    stored = json.loads((finished / "config.json").read_text())["config"]
    assert stored["form"] == "paper" and world_models.config_from_stored(stored) == TINY


@pytest.mark.long  # shares by hand are in test_real_errors.py
def test_real_errors_are_those_of_the_world_model(finished):
    """By hand, from the loaded model's predictions one by one; both tasks in one program there, in their own here."""
    model = world_model(str(finished))
    key = jax.random.key(5)
    told = real_task_errors.of_paper(key, WATCHED, SIZES)(model.params)["real"]
    largest = real_task_errors.ModelConfig(max_obs=4)
    real = real_task_errors.collect_real(key, WATCHED, largest)
    for task, context, asked in zip(WATCHED.tasks, real.contexts, real.questions, strict=True):
        cache = model.encode(model.params, context.transitions, context.num_actions)
        steps = asked.transitions
        said = jax.jit(jax.vmap(model.predict, (None, 0, 0)))(cache, steps.obs, steps.action)
        errors = np.concatenate(
            [said.next_obs - steps.next_obs, (said.reward - steps.reward)[:, None]], axis=1
        )
        came = np.concatenate([steps.next_obs - steps.obs, steps.reward[:, None]], axis=1)
        varies = came.var(axis=0) > 1e-9
        shares = np.square(errors).mean(axis=0)[varies] / came.var(axis=0)[varies]
        assert told[task]["model"] == pytest.approx(shares.mean(), rel=1e-3)
    assert jnp.isfinite(jnp.asarray(list(told["CartPole-v0"].values()))).all()
