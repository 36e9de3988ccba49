"""Fine-tune a pretrained network on a small image task, epoch by epoch, stopping and going on wherever one likes.

    for epoch in fine_tune(task, {"model": "efficientnet_lite0", "lr": 1e-3}, epochs=10, directory="trial_0"):
        print(epoch.accuracy, epoch.seconds)

What the frozen units make of the images is computed once if no image changes between epochs, so that linear probing
is nearly free. Batches of more than 32 images are worked off in parts of 32, each with norms of its own.
"""

import math
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.checkpoint import load_tree, save_tree
from synthenv.core.errors import UserError
from synthenv.core.files import make_directory, plain
from synthenv.nets.efficientnet_lite import EfficientNetLiteConfig
from synthenv.selection.vision.augmentation import augmented, mixed
from synthenv.selection.vision.hub import Weights, load_pretrained, pretrained
from synthenv.selection.vision.image_tasks import ImageTask
from synthenv.selection.vision.settings import FineTuning, fine_tuning
from synthenv.selection.vision.training_step import (
    Rates,
    Trained,
    TuneState,
    flat,
    frozen_part,
    gradient,
    optimise,
    predict,
    template,
)

_PART = 32  # images that a program sees at once
_CLASSES = 16  # columns of the classifier come in multiples of it
_STATE = "state.safetensors"


class DivergedError(Exception):
    """The loss is no number any more: the run has crashed, and has no score."""


class Epoch(NamedTuple):
    """What an epoch came to.

    Attributes:
        epoch: its number, from 1 on.
        accuracy: on the validation images.
        loss: mean in training.
        seconds: of training and validation by the clock, without compilation.
        cpu_seconds: the same of the processor, however busy the machine is.
    """

    epoch: int
    accuracy: float
    loss: float
    seconds: float
    cpu_seconds: float


def fine_tune(
    task: ImageTask,
    settings: Mapping[str, Any],
    epochs: int = 10,
    seed: int = 0,
    directory: str | Path | None = None,
    network: tuple[EfficientNetLiteConfig, Weights] | None = None,
) -> Iterator[Epoch]:
    """Train, and yield after each epoch.

    Args:
        task: what to learn.
        settings: a configuration of ``fine_tuning_space``; what is missing is as in ``FineTuning()``.
        epochs: how many there will be, which the schedule goes by.
        seed: order of images, augmentation, dropped features, and the first classifier.
        directory: where the state is kept after each epoch; a run that is there goes on behind its last one.
        network: another network and its weights, instead of the one that the settings name.

    Raises:
        UserError: settings that there are not, weights that are not installed, or a directory of another run.
        DivergedError: the loss is no number.
    """
    chosen = fine_tuning(settings)
    config, weights = network or (pretrained(chosen.model).config, load_pretrained(chosen.model))
    run = _Run(task, chosen, epochs, seed, config, weights)
    place = None if directory is None else Path(directory) / _STATE
    told = plain({"settings": chosen, "epochs": epochs, "seed": seed, "classes": task.classes})
    state, first = run.start(), 1
    if place is not None and place.exists():
        state, seen = load_tree(place, state)
        if seen["run"] != told:
            raise UserError(f"{place.parent} holds a run of other settings: choose another directory")
        first = seen["epoch"] + 1
    if first <= epochs:
        run.warm_up(state)
    for epoch in range(first, epochs + 1):
        clock, cpu = time.perf_counter(), time.process_time()
        state, loss = run.train(state, epoch)
        accuracy = run.accuracy(state)
        took = time.perf_counter() - clock, time.process_time() - cpu
        if place is not None:
            make_directory(place.parent)
            save_tree(place, state, {"epoch": epoch, "run": told})
        yield Epoch(epoch, accuracy, loss, *took)


class _Run:
    """One fine-tuning: everything about it that stays the same from step to step."""

    def __init__(
        self,
        task: ImageTask,
        settings: FineTuning,
        epochs: int,
        seed: int,
        config: EfficientNetLiteConfig,
        weights: Weights,
    ):
        self.task, self.settings, self.epochs, self.seed = task, settings, epochs, seed
        self.config, self.weights = config, weights
        self.frozen = settings.num_frozen(config.num_units)
        self.part = min(settings.batch_size, _PART)
        self.steps = max(len(task.train_labels) // settings.batch_size, 1)
        self.classes = -(-len(task.classes) // _CLASSES) * _CLASSES
        self.present = np.arange(self.classes) < len(task.classes)
        self.first_params = self._first_params()
        self.rates = self._rates()

    @cached_property
    def kept(self) -> np.ndarray:
        """What the frozen units make of the training images, as long as these stay the same."""
        return self._frozen(self.task.train_images)

    @cached_property
    def valid(self) -> np.ndarray:
        """The same of the validation images."""
        return self._frozen(self.task.valid_images)

    def start(self) -> TuneState:
        """The state before the first step."""
        zeros = jnp.zeros_like(self.first_params)
        statistics = jax.tree.map(jnp.asarray, self.weights.statistics[self.frozen :])
        return TuneState(jnp.asarray(self.first_params), zeros, zeros, statistics, jnp.zeros((), jnp.int32))

    def train(self, state: TuneState, epoch: int) -> tuple[TuneState, float]:
        """Train for an epoch; images that do not fill a batch are left out, others in each epoch."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.task.train_labels))
        size, losses = self.settings.batch_size, []
        for step in range(self.steps):
            rows = np.resize(order[step * size : (step + 1) * size], size)
            state, loss = self._step(state, *self._batch(rows, random), epoch - 1 + step / self.steps)
            losses.append(loss)
        mean = float(np.mean(losses))
        if not math.isfinite(mean):
            raise DivergedError(f"the loss of epoch {epoch} is {mean}: try a smaller learning rate")
        return state, mean

    def accuracy(self, state: TuneState) -> float:
        """The share of validation images whose class is recognised."""
        count, right = len(self.task.valid_labels), 0
        for begin in range(0, count, _PART):
            rows = np.minimum(np.arange(begin, begin + _PART), count - 1)
            hits = self._predicted(state, self.valid[rows]) == self.task.valid_labels[rows]
            right += int(hits[: count - begin].sum())
        return right / count

    def warm_up(self, state: TuneState) -> None:
        """Compile, so that no epoch's seconds contain it; what frozen units make of images belongs to the first one."""
        size = self.settings.batch_size
        rows = np.arange(size) % len(self.task.train_labels)
        x = self._frozen(self.task.train_images[rows])
        self._step(state, x, self._targets(rows), 0.0)
        rows = np.arange(_PART) % len(self.task.valid_labels)
        self._predicted(state, self._frozen(self.task.valid_images[rows]))

    def _step(
        self, state: TuneState, x: np.ndarray, targets: np.ndarray, progress: float
    ) -> tuple[TuneState, float]:
        total, losses, statistics = jnp.zeros_like(state.params), [], state.statistics
        key = jax.random.fold_in(jax.random.key(self.seed), state.step)
        targets = np.pad(targets, ((0, 0), (0, self.classes - targets.shape[1])), constant_values=-1.0)
        begins = range(0, len(x), self.part)
        for place, begin in enumerate(begins):
            part = slice(begin, begin + self.part)
            loss, slope, statistics = gradient(
                state.params,
                statistics,
                jax.random.fold_in(key, place),
                x[part],
                targets[part],
                np.float32(self.settings.drop),
                self.config,
                self.frozen,
            )
            total, losses = total + slope / len(begins), [*losses, loss]
        lr = np.float32(self._learning_rate(progress))
        state = optimise(state._replace(statistics=statistics), total, self.rates, lr)
        return state, float(np.mean(losses))

    def _batch(self, rows: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What the frozen units make of some images, and targets [B, number of classes]."""
        targets = self._targets(rows)
        if not self.settings.is_augmented:
            return self.kept[rows], targets
        images = augmented(self.task.train_images[rows], self.settings, random)
        images, targets = mixed(images, targets, self.settings, random)
        return self._frozen(images), targets

    def _targets(self, rows: np.ndarray) -> np.ndarray:
        count, smoothing = len(self.task.classes), self.settings.smoothing
        exact = np.eye(count, dtype=np.float32)[self.task.train_labels[rows]]
        return exact * np.float32(1 - smoothing) + np.float32(smoothing / count)

    def _predicted(self, state: TuneState, x: np.ndarray) -> np.ndarray:
        scores = predict(state.params, state.statistics, x, self.present, self.config, self.frozen)
        return np.asarray(scores).argmax(1)

    def _frozen(self, images: np.ndarray) -> np.ndarray:
        """What the frozen units make of images, worked off in parts."""
        units, statistics = (part[: self.frozen] for part in (self.weights.units, self.weights.statistics))
        made = []
        for begin in range(0, len(images), _PART):
            part = images[begin : begin + _PART].astype(np.float32)
            size = self.part if len(part) == self.part else _PART
            whole = np.resize(part, (size, *part.shape[1:]))
            out = frozen_part(units, statistics, whole, self.config, self.settings.resolution)
            made.append(np.asarray(out)[: len(part)])
        return np.concatenate(made)

    def _first_params(self) -> np.ndarray:
        """The pretrained weights of what is trained, and a classifier near zero."""
        random = np.random.default_rng([self.seed, 0])
        kernel: Any = random.normal(0.0, 0.01, (self.config.num_features, self.classes))
        bias: Any = np.zeros(self.classes)
        return flat(Trained(self.weights.units[self.frozen :], kernel, bias))

    def _rates(self) -> Rates:
        settings, shapes = self.settings, template(self.config, self.frozen, self.classes)
        trained = len(shapes.units)

        def spread(
            unit: float, classifier: float, depth: float = 1.0, only_kernels: bool = False
        ) -> np.ndarray:
            """A vector like the parameters; ``depth`` multiplies for each unit that comes after."""
            rows = [
                (
                    math.prod(leaf.shape),
                    unit * depth ** (trained - i) * (len(leaf.shape) > 1 or not only_kernels),
                )
                for i, one in enumerate(shapes.units)
                for leaf in jax.tree.leaves(one)
            ]
            rows.append((math.prod(shapes.kernel.shape), classifier))
            rows.append((math.prod(shapes.bias.shape), 0.0 if only_kernels else classifier))
            sizes, values = zip(*rows, strict=True)
            return np.repeat(np.array(values, np.float32), sizes)

        is_adam = settings.opt in ("adam", "adamw")
        momentum = settings.momentum if settings.opt == "momentum" else 0.0
        rates = {
            "scale": spread(1.0, 1.0, settings.layer_decay),
            "decayed": spread(1.0, 1.0, only_kernels=True),
            "anchor": self.first_params,
            "anchored": spread(1.0, 0.0),
            "weight_decay": settings.weight_decay,
            "sp_reg": settings.sp_reg,
            "clip": settings.clip_grad,
            "beta1": settings.beta1 if is_adam else momentum,
            "beta2": settings.beta2,
        }
        arrays = {name: jnp.asarray(value, jnp.float32) for name, value in rates.items()}
        kinds = jnp.asarray(is_adam), jnp.asarray(settings.opt == "adamw")
        return Rates(**arrays, is_adam=kinds[0], is_decoupled=kinds[1])

    def _learning_rate(self, progress: float) -> float:
        """At a time counted in epochs; a warm-up's first step is not 0."""
        settings = self.settings
        if progress < settings.warmup_epochs:
            return settings.lr * (progress + 1 / self.steps) / settings.warmup_epochs
        if settings.sched == "cosine":
            return settings.lr * 0.5 * (1 + math.cos(math.pi * progress / self.epochs))
        if settings.sched == "step":
            return settings.lr * settings.decay_rate ** (progress // settings.decay_epochs)
        return settings.lr
