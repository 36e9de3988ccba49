"""Pretraining in the small: what a run leaves, and that neither interruption nor threads change a bit of it."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from synthenv.core.checkpoint import load_tree
from synthenv.core.errors import UserError
from synthenv.runs.oswm.pretrain import batches as batches_module
from synthenv.runs.oswm.pretrain import run as runs
from synthenv.runs.storage import metrics
from synthenv.worldmodel.small import train_step as pretrain
from tests.tiny_pretrain import TINY


class Interrupted(BaseException):
    """Stands for whatever ends a process."""


def run(path, **options):
    options = {"steps_per_line": 2, "notify": lambda line: None} | options
    return runs.run(TINY, 0, path, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of four steps in two lines, and where it is."""
    path, lines = tmp_path_factory.mktemp("whole") / "run", []
    return path, lines, run(path, on_line=lines.append)


def without_times(lines):
    """Nor shares of what the device could have done in them."""
    kept = [name for name in lines[0] if "seconds" not in name and name != "flops_share"]
    return [{name: line[name] for name in kept} for line in lines]


def test_a_run_leaves_lines_and_weights(whole):
    path, lines, result = whole
    assert [(line["generation"], line["step"]) for line in lines] == [(0, 2), (1, 4)]
    assert result["steps"] == 4 and result["train_loss"] == lines[-1]["train_loss"]
    names = ("train_loss", "held_out_loss", "held_out_nats", "held_out_gain")
    assert np.isfinite([line[name] for line in lines for name in names]).all()
    params, metadata = load_tree(
        path / "best_proxy.safetensors", pretrain.init(jax.random.key(1), TINY).params
    )
    assert metadata["kind"] == "world_model" and metadata["steps"] == 4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_interrupted_and_resumed_is_uninterrupted(whole, tmp_path):
    def stop(line):
        raise Interrupted

    with pytest.raises(Interrupted):
        run(tmp_path / "run", on_line=stop)
    rest = []
    run(tmp_path / "run", resume=True, on_line=rest.append, num_workers=1)
    assert without_times(rest) == without_times(whole[1][1:])
    weights = "best_proxy.safetensors"
    assert (tmp_path / "run" / weights).read_bytes() == (whole[0] / weights).read_bytes()


@pytest.mark.long
def test_no_line_is_lost_whenever_it_is_interrupted(whole, tmp_path, monkeypatch):
    """While the checkpoint of a line is written; and after the last line, which is of one step only."""

    def stop(*_):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(runs.CheckpointStore, "save", stop)
        with pytest.raises(Interrupted):
            run(tmp_path / "first")
    run(tmp_path / "first", resume=True)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "save_tree", stop)
        with pytest.raises(Interrupted):
            run(tmp_path / "last", steps_per_line=3)
    result = run(tmp_path / "last", resume=True, steps_per_line=3)
    assert without_times(metrics.read(tmp_path / "first")) == without_times(whole[1])
    assert [line["step"] for line in metrics.read(tmp_path / "last")] == [3, 4] and result["step"] == 4


@pytest.mark.long
def test_a_run_that_diverges_keeps_what_was_sound(whole, tmp_path):
    def spoiled(state, examples, config):
        state, loss = pretrain.train_step(state, examples, config)
        return state, jax.numpy.where(state.step > 2, jax.numpy.nan, loss)

    broken = runs.SMALL._replace(train_step=spoiled)
    for resume in (False, True):
        with pytest.raises(runs.Diverged, match="between steps 2 and 4: pretrain with another --seed"):
            run(tmp_path / "run", method=broken, resume=resume)
    assert not (tmp_path / "run" / "best_proxy.safetensors").exists()
    run(tmp_path / "run", resume=True)
    assert without_times(metrics.read(tmp_path / "run")) == without_times(whole[1])


def test_a_finished_run_is_not_begun_again(whole):
    with pytest.raises(UserError):
        run(whole[0])


def test_batches_depend_on_seed_and_number_alone():
    def first_three(num_workers, first=0, seed=0):
        with runs.Batches(jax.random.key(seed), TINY, first, num_workers) as batches:
            return list(itertools.islice(batches, 3 - first))

    alone = first_three(1)
    for got, wanted in zip(first_three(3), alone, strict=True):
        jax.tree.map(np.testing.assert_array_equal, got, wanted)
    jax.tree.map(np.testing.assert_array_equal, first_three(2, first=2)[0], alone[2])
    assert not np.array_equal(alone[0].y, alone[1].y)
    assert not np.array_equal(alone[0].y, first_three(1, seed=1)[0].y)


def test_context_sizes_take_turns(monkeypatch):
    """In training by the batch's number; the batches that are held out go through them from the smallest on."""
    monkeypatch.setattr(batches_module, "_draw", lambda key, config, num_context: num_context)
    monkeypatch.setattr(batches_module, "_fit", lambda key, batch, config, num_context: (batch, num_context))
    config = dataclasses.replace(TINY, context_sizes=(20, 20, 25))
    with runs.Batches(jax.random.key(0), config, 0, 1) as batches:
        assert [size for size, _ in itertools.islice(batches, 4)] == [20, 20, 25, 20]
        assert batches.held_out(3) == [(20, 20), (25, 25), (20, 20)]


def test_examples_are_standardised_and_in_slots():
    with runs.Batches(jax.random.key(0), TINY, 0, 1) as batches:
        examples = batches.make(0)
    rows, mask = examples.rows, np.asarray(examples.rows.mask)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(examples)} == {"float32", "bool"}
    for task in range(2):
        seen = np.asarray(rows.y[task])[mask[task]][:, np.asarray(examples.counts[task])]
        np.testing.assert_allclose(seen.mean(axis=0), 0.0, atol=1e-4)
        np.testing.assert_allclose(seen.std(axis=0), 1.0, atol=1e-4)
    used = np.asarray(examples.questions.used)[:, None]
    assert used[..., -1].all(), "there always is a reward"
    assert not np.any(examples.y * ~used)
