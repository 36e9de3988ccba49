"""Pretraining a world model: a run directory like that of a search, resumable to the bit."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.core.checkpoint import CheckpointStore, save_tree
from synthenv.core.errors import UserError
from synthenv.runs.oswm.pretrain import plot as pretrain_plot
from synthenv.runs.oswm.pretrain import real_task_errors
from synthenv.runs.oswm.pretrain.batches import HELD_OUT, Batches, PaperBatches
from synthenv.runs.oswm.pretrain.gradient_step import Stepper
from synthenv.runs.oswm.pretrain.real_task_errors import NOTHING_REAL, RealConfig
from synthenv.runs.storage.run_directory import RunDir
from synthenv.worldmodel.paper import train_step as paper_pretrain
from synthenv.worldmodel.small import train_step as pretrain
from synthenv.worldmodel.small.network import Params
from synthenv.worldmodel.small.train_step import PretrainConfig, Scores
from synthenv.worldmodel.small.training_examples import Examples

_NUM_HELD_OUT = 4  # held-out batches
REAL = 2**31 - 100  # folded into the seed for real transitions


class Diverged(UserError):
    """A loss is no longer finite; nothing from after the last line of metrics is kept."""


class Method(NamedTuple):
    """How a form of world model is pretrained.

    Attributes:
        form: key of ``zoo.world_models.FORMS``.
        init: (key, config) -> state, with its ``step``, and as ``average`` the weights that are kept.
        batches: (key, config, first, num_workers) -> ``batches.Ahead``.
        train_step: (state, examples, config) -> state, loss.
        score: (params, examples, config) -> numbers about held-out examples.
        watch: (key, real, config.model) -> a function as ``real_task_errors.RealErrors``.
    """

    form: str
    init: Callable[..., Any]
    batches: Callable[..., Any]
    train_step: Callable[..., tuple[Any, jax.Array]]
    score: Callable[..., Any]
    watch: Callable[..., Callable[[Any], dict[str, Any]]]


def _score(params: Params, examples: Examples, config: PretrainConfig) -> Scores:
    return pretrain.score(params, config.model, examples)


SMALL = Method("small", pretrain.init, Batches, pretrain.train_step, _score, real_task_errors.of_small)
PAPER = Method(
    "paper",
    paper_pretrain.init,
    PaperBatches,
    paper_pretrain.train_step,
    paper_pretrain.score,
    real_task_errors.of_paper,
)


def run(
    config: Any,
    seed: int,
    out: str | Path,
    resume: bool = False,
    steps_per_line: int = 100,
    num_workers: int = 2,
    on_line: Callable[[dict[str, Any]], None] = lambda line: None,
    notify: Callable[[str], None] = print,
    preset: str | None = None,
    real: RealConfig = NOTHING_REAL,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    method: Method = SMALL,
) -> dict[str, Any]:
    """Train a model and leave a run directory with ``best_proxy.safetensors``.

    Args:
        config: what to train, of the class that the method takes.
        seed: the only source of randomness.
        out: the run directory.
        resume: go on with an unfinished run.
        steps_per_line: gradient steps between two lines of metrics, held-out scores and checkpoints.
        num_workers: threads that prepare batches.
        on_line: called with every line of metrics.
        notify: called with a line about anything the user should know.
        preset: name of the config, for the record.
        real: the real transitions on which the model is watched; no number of the training depends on them.
        on_step: called after every step with its number and its loss.
        method: which form of model.

    Raises:
        Diverged: a loss is not finite.
        UserError: see ``RunDir.create``.
    """
    asked = {
        "command": "oswm pretrain",
        "preset": preset,
        "form": method.form,
        "pretrain": config,
        "real": real,
        "seed": seed,
        "steps_per_line": steps_per_line,
    }
    root = jax.random.key(seed)
    state = method.init(jax.random.fold_in(root, HELD_OUT - 1), config)
    with RunDir.create(out, asked, resume) as run_dir, contextlib.ExitStack() as stack:
        store = CheckpointStore(run_dir.checkpoints, owner=run_dir.digest)
        restored = store.restore(state)
        if restored is None:
            run_dir.check_nothing_is_lost()
        else:
            state = restored.tree
            for line in [*run_dir.notes, *restored.skipped]:
                notify(line)
        first = int(state.step)
        run_dir.truncate_metrics(-(-first // steps_per_line))  # the last line may be of fewer steps
        batches = stack.enter_context(method.batches(root, config, first, num_workers))
        held_out = batches.held_out(_NUM_HELD_OUT)
        measure = method.watch(jax.random.fold_in(root, REAL), real, config.model)
        batch_size = len(jax.tree.leaves(held_out[0])[0])
        step = Stepper(partial(method.train_step, config=config), batch_size, notify)
        judge = jax.jit(partial(method.score, config=config))
        scores = partial(_scores, judge, held_out)
        for line, reached in _train(config.num_steps, state, batches, scores, steps_per_line, step, on_step):
            state = reached
            _check_finite(line, steps_per_line)
            line |= measure(state.average)
            # The line comes before the checkpoint. After a kill in between, a line without a checkpoint is written
            # anew, but a checkpoint without its line would never get one.
            run_dir.append_metrics(line)
            store.save(int(state.step), state, line)
            on_line(line)
        return _finish(run_dir, method.form, asked, state)


def _finish(run_dir: RunDir, form: str, asked: Mapping[str, Any], state: Any) -> dict[str, Any]:
    """Write the weights with all that is needed to use them, the picture, and the last line as the result."""
    steps, lines = int(state.step), run_dir.read_metrics()
    metadata = {"kind": "world_model", "form": form, "pretrain": asked["pretrain"], "seed": asked["seed"]}
    save_tree(run_dir.best_proxy, state.average, metadata | {"steps": steps})
    pretrain_plot.write(lines, run_dir.plots, asked["preset"] or "a world model")
    result = {"steps": steps, **lines[-1]}
    run_dir.save_result(result)
    return result


def _check_finite(line: Mapping[str, Any], steps_per_line: int) -> None:
    """Stop before numbers that are not finite are kept."""
    if not np.isfinite([line["train_loss"], line["held_out_loss"]]).all():
        raise Diverged(
            f"the loss is not finite any more between steps {line['step'] - steps_per_line} and {line['step']}:"
            " pretrain with another --seed or --preset"
        )


def _scores(judge: Callable[[Any, Any], Any], held_out: list[Any], params: Any) -> dict[str, float]:
    """Return means over the held-out batches."""
    scores = [judge(params, held) for held in held_out]
    return {
        f"held_out_{name}": float(np.mean([getattr(score, name) for score in scores]))
        for name in scores[0]._fields
    }


def _train(
    num_steps: int,
    state: Any,
    batches: Iterable[Any],
    scores: Callable[[Any], dict[str, float]],
    steps_per_line: int,
    step: Stepper,
    on_step: Callable[[int, float], None],
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Take gradient steps, and yield a line of metrics and the state every ``steps_per_line`` steps."""
    losses, began, cpu = [], time.perf_counter(), time.process_time()
    if int(state.step) >= num_steps:
        return
    for examples in step.waited(batches):
        state, loss = step(state, examples)
        losses.append(loss)
        done = int(state.step)
        on_step(done, float(loss))
        if done % steps_per_line and done < num_steps:
            continue
        line = {
            "generation": (done - 1) // steps_per_line,
            "step": done,
            "train_loss": float(np.mean(losses)),
            **scores(state.average),
            **step.numbers(),
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu,
        }
        yield line, state
        losses, began, cpu = [], time.perf_counter(), time.process_time()
        if done >= num_steps:
            return
