"""Fine-tuning with tiny random networks: it learns, it goes on where it stopped, and what is frozen stays."""

import dataclasses
from functools import cache

import jax
import numpy as np
import pytest

from synthenv.core.checkpoint import load_arrays
from synthenv.core.errors import UserError
from synthenv.nets.efficientnet_lite import EfficientNetLiteConfig, apply_units, init_units, normalise
from synthenv.selection.vision import training_step
from synthenv.selection.vision.fine_tune import DivergedError, fine_tune
from synthenv.selection.vision.hub import Weights
from synthenv.selection.vision.image_tasks import ImageTask

TINY = EfficientNetLiteConfig(0.1, 0.4, num_stem=8, num_features=32)
QUICK = {"resolution": 32, "batch_size": 16, "data_augmentation": "none", "drop": 0.0}


@cache
def network() -> tuple[EfficientNetLiteConfig, Weights]:
    """A network of random weights, whose norms know what images are like."""

    @jax.jit
    def drawn(images: np.ndarray):
        units, statistics = init_units(jax.random.key(0), TINY)
        seen = dataclasses.replace(TINY, norm_decay=0.0)
        return units, apply_units(units, statistics, seen, normalise(images), train=True)[1]

    images = task().train_images.repeat(3, 1).repeat(3, 2)[:, :32, :32]
    units, statistics = jax.tree.map(np.asarray, drawn(images))
    return TINY, Weights(units, statistics, None)


@cache
def task() -> ImageTask:
    """Red, green and blue noise: 48 images to learn from, 30 to be tried on."""
    random = np.random.default_rng(0)
    labels = np.arange(78, dtype=np.int32) % 3
    images = random.integers(0, 10, (78, 12, 12, 3))
    images[np.arange(78), :, :, labels] += 200
    images = images.astype(np.uint8)
    return ImageTask(images[:48], labels[:48], images[48:], labels[48:], ("red", "green", "blue"))


def curve(settings, epochs=2, **more):
    return list(fine_tune(task(), QUICK | settings, epochs, network=network(), **more))


def test_it_learns_colours():
    epochs = curve({"linear_probing": True, "lr": 0.1, "opt": "adam"}, epochs=12)
    assert [epoch.epoch for epoch in epochs] == list(range(1, 13))
    assert epochs[-1].accuracy >= 0.8 and epochs[-1].loss < epochs[0].loss
    assert all(epoch.cpu_seconds > 0 and epoch.seconds > 0 for epoch in epochs)


MIXED = {
    "linear_probing": True,
    "data_augmentation": "trivial",
    "mixup": 1.0,
    "cutmix": 1.0,
    "mixup_prob": 0.5,
    "drop": 0.3,
    "opt": "momentum",
    "momentum": 0.9,
    "lr": 0.01,
    "clip_grad": 1.0,
    "smoothing": 0.1,
    "warmup_epochs": 1,
    "sched": "step",
    "decay_epochs": 2,
}


@pytest.mark.parametrize("settings", [MIXED, {"pct_to_freeze": 0.8, "layer_decay": 0.65, "sp_reg": 0.1}])
def test_stopped_and_gone_on_is_never_stopped(settings, tmp_path):
    whole = curve(settings, epochs=3, directory=tmp_path / "whole")
    first = fine_tune(task(), QUICK | settings, 3, directory=tmp_path / "parts", network=network())
    parts = [next(first)]
    first.close()
    parts += curve(settings, epochs=3, directory=tmp_path / "parts")
    assert [epoch[:3] for epoch in parts] == [epoch[:3] for epoch in whole]
    ends = [load_arrays(tmp_path / name / "state.safetensors")[0] for name in ("whole", "parts")]
    jax.tree.map(np.testing.assert_array_equal, *ends)
    assert curve(settings, epochs=3, directory=tmp_path / "whole") == []


def test_a_directory_of_another_run_is_refused(tmp_path):
    settings = {"linear_probing": True}
    curve(settings, epochs=1, directory=tmp_path)
    with pytest.raises(UserError, match="holds a run of other settings"):
        curve(settings | {"lr": 0.1}, epochs=1, directory=tmp_path)


def test_a_loss_that_is_no_number_is_a_crash():
    with pytest.raises(DivergedError, match="epoch 1"):
        curve({"linear_probing": True, "lr": 1e38, "opt": "sgd"})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"speed": 1}, "no setting 'speed'"),
        ({"opt": "lion"}, "opt is one of sgd"),
        ({"lr": "high"}, "lr is a number"),
        ({"drop": 1.5}, "drop is a share"),
        ({"batch_size": 0}, "batch_size is a whole number"),
    ],
)
def test_settings_that_there_are_not(settings, said):
    with pytest.raises(UserError, match=said):
        curve(settings)


def rates(size: int, **changed) -> training_step.Rates:
    ones, zero = np.ones(size, np.float32), np.float32(0)
    plain = training_step.Rates(
        scale=ones,
        decayed=ones,
        anchor=np.zeros(size, np.float32),
        anchored=ones,
        weight_decay=zero,
        sp_reg=zero,
        clip=zero,
        beta1=np.float32(0.9),
        beta2=np.float32(0.99),
        is_adam=np.bool_(False),
        is_decoupled=np.bool_(False),
    )
    return plain._replace(**changed)


@pytest.mark.parametrize("kind", ["momentum", "adam", "adamw"])
def test_optimisers_are_optax(kind):
    import optax

    theirs = {
        "momentum": optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.05, momentum=0.9)),
        "adam": optax.chain(optax.add_decayed_weights(0.1), optax.adam(0.05, b2=0.99)),
        "adamw": optax.adamw(0.05, b2=0.99, weight_decay=0.1),
    }[kind]
    told = rates(
        4,
        weight_decay=np.float32(0.1),
        is_adam=np.bool_(kind != "momentum"),
        is_decoupled=np.bool_(kind == "adamw"),
    )
    params = np.array([1.0, -2.0, 0.5, 3.0], np.float32)
    zeros = np.zeros(4, np.float32)
    state = training_step.TuneState(params, zeros, zeros, (), np.int32(0))
    opt_state, expected = theirs.init(params), params
    for step in range(3):
        slope = np.float32([0.3, -0.1, 2.0, 0.0]) * (step + 1)
        state = training_step.optimise(state, slope, told, np.float32(0.05))
        update, opt_state = theirs.update(slope, opt_state, expected)
        expected = optax.apply_updates(expected, update)
    np.testing.assert_allclose(state.params, expected, rtol=1e-5)


def test_clipping_and_the_pull_of_the_pretrained_weights():
    zeros = np.zeros(2, np.float32)
    state = training_step.TuneState(np.float32([1.0, 2.0]), zeros, zeros, (), np.int32(0))
    slope = np.float32([3.0, 4.0])
    told = rates(
        2, clip=np.float32(1.0), beta1=np.float32(0), sp_reg=np.float32(0.5), anchor=np.float32([1.0, 1.0])
    )
    moved = training_step.optimise(state, slope, told, np.float32(1.0)).params
    np.testing.assert_allclose(moved, [1.0 - 0.6, 2.0 - 0.8 - 1.0], rtol=1e-5)
