"""How a pretrained network is fine-tuned: the settings, and the space that a tuner chooses them from.

The space is Quick-Tune's (its table 7) as far as it applies: three networks instead of 24, batches of 16 to 128, a
resolution, and runs of 10 epochs instead of 50, for which warm-ups and steps of the schedule are shorter. Not there
are stochastic norms, DELTA, spectral shrinkage and co-tuning, AdamP, the plateau and multi-step schedules, and the
tables of AutoAugment and RandAugment. No layer decay is 1, no clipping is 0.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from synthenv.core.errors import UserError
from synthenv.selection.tables.space import SearchSpace, search_space
from synthenv.selection.vision.hub import HUB

_ADAM = ("adam", "adamw")
LEVELS: dict[str, tuple[float, ...]] = {
    "pct_to_freeze": (0.0, 0.2, 0.4, 0.6, 0.8),
    "layer_decay": (0.65, 0.75, 1.0),
    "sp_reg": (0.0, 1e-4, 1e-3, 1e-2, 1e-1),
    "mixup": (0.0, 0.2, 0.4, 1.0, 2.0, 4.0, 8.0),
    "cutmix": (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
    "mixup_prob": (0.0, 0.25, 0.5, 0.75, 1.0),
    "drop": (0.0, 0.1, 0.2, 0.3, 0.4),
    "smoothing": (0.0, 0.05, 0.1),
    "clip_grad": (0.0, 1.0, 10.0),
    "lr": (1e-5, 5e-5, 1e-4, 5e-4, 0.001, 0.005, 0.01, 0.1),
    "weight_decay": (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    "momentum": (0.0, 0.8, 0.9, 0.95, 0.99),
    "beta1": (0.0, 0.9),
    "beta2": (0.99, 0.999),
    "warmup_epochs": (0, 1, 2),
    "decay_rate": (0.1, 0.5),
    "decay_epochs": (2, 5),
    "batch_size": (16, 32, 64, 128),
    "resolution": (32, 48, 64),
}
CHOICES: dict[str, tuple[Any, ...]] = {
    "model": tuple(HUB),
    "linear_probing": (False, True),
    "data_augmentation": ("none", "flip_crop", "trivial"),
    "opt": ("sgd", "momentum", *_ADAM),
    "sched": ("none", "cosine", "step"),
}
# A hyperparameter is there only if another one has one of these values.
CONDITIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "pct_to_freeze": ("linear_probing", (False,)),
    "layer_decay": ("linear_probing", (False,)),
    "sp_reg": ("linear_probing", (False,)),
    "momentum": ("opt", ("momentum",)),
    "beta1": ("opt", _ADAM),
    "beta2": ("opt", _ADAM),
    "decay_rate": ("sched", ("step",)),
    "decay_epochs": ("sched", ("step",)),
}


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """Settings of one fine-tuning; the defaults are those that a person would begin with.

    Attributes:
        model: network of the hub.
        linear_probing: whether only the classifier is trained.
        pct_to_freeze: share of the units, from the stem on, that stay as they are, norms included.
        layer_decay: by which the learning rate falls from a unit to the one before.
        sp_reg: strength of the pull towards the pretrained weights.
        mixup: both parameters of the beta distribution that images are blended by; 0 for no blending.
        cutmix: the same for rectangles pasted into images; with both, each batch gets one of them at random.
        mixup_prob: probability that a batch is mixed.
        drop: share of features dropped before the classifier.
        smoothing: of labels.
        clip_grad: greatest norm of a gradient; 0 for none.
        data_augmentation: what happens to images in training; "trivial" is TrivialAugment.
        opt: optimiser; "sgd" is without momentum, "adamw" decays weights aside from the gradient.
        momentum: of the optimiser with it.
        beta1: of Adam.
        beta2: of Adam.
        lr: learning rate.
        warmup_epochs: in which it rises from 0.
        weight_decay: of kernels, not of scales and biases.
        batch_size: images a step.
        sched: of the learning rate.
        decay_rate: by which it falls in steps.
        decay_epochs: after how many epochs each.
        resolution: of the images that the network sees.
    """

    model: str = "efficientnet_lite0"
    linear_probing: bool = False
    pct_to_freeze: float = 0.0
    layer_decay: float = 1.0
    sp_reg: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mixup_prob: float = 1.0
    drop: float = 0.2
    smoothing: float = 0.0
    clip_grad: float = 0.0
    data_augmentation: str = "flip_crop"
    opt: str = "adamw"
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    lr: float = 1e-3
    warmup_epochs: int = 0
    weight_decay: float = 1e-4
    batch_size: int = 32
    sched: str = "cosine"
    decay_rate: float = 0.1
    decay_epochs: int = 5
    resolution: int = 64

    @property
    def is_mixed(self) -> bool:
        """Whether any batch is mixed."""
        return self.mixup_prob > 0 and (self.mixup > 0 or self.cutmix > 0)

    @property
    def is_augmented(self) -> bool:
        """Whether a training image differs from epoch to epoch."""
        return self.is_mixed or self.data_augmentation != "none"

    def num_frozen(self, num_units: int) -> int:
        """How many of a network's units are not trained."""
        return num_units if self.linear_probing else round(self.pct_to_freeze * num_units)


def fine_tuning(settings: Mapping[str, Any]) -> FineTuning:
    """Settings from a configuration of the space; what is missing or None is as in ``FineTuning()``.

    Raises:
        UserError: there is no such setting, or it has no such value.
    """
    known = {field.name: field.default for field in dataclasses.fields(FineTuning)}
    given = {name: value for name, value in settings.items() if value is not None}
    for name, value in given.items():
        if name not in known:
            raise UserError(f"fine-tuning has no setting {name!r}: choose from {', '.join(known)}")
        if name in CHOICES:
            if value not in CHOICES[name] and name != "model":
                raise UserError(f"{name} is one of {', '.join(map(str, CHOICES[name]))}, not {value!r}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise UserError(f"{name} is a number from 0 on, not {value!r}")
    for name in ("batch_size", "resolution", "decay_epochs"):
        if not isinstance(value := given.get(name, 1), int) or value < 1:
            raise UserError(f"{name} is a whole number from 1 on, not {value!r}")
    for name in ("pct_to_freeze", "mixup_prob", "drop", "smoothing"):
        if given.get(name, 0) > 1:
            raise UserError(f"{name} is a share from 0 to 1, not {given[name]!r}")
    return FineTuning(**given)


def fine_tuning_space(
    models: tuple[str, ...] = CHOICES["model"], resolutions: tuple[int, ...] = (32, 48, 64)
) -> SearchSpace:
    """The space of settings, with the conditions among them.

    Args:
        models: networks to choose from.
        resolutions: the same for resolutions.

    Raises:
        UserError: ConfigSpace is not installed.
    """
    try:
        import ConfigSpace as library
    except ImportError:
        raise UserError("search spaces need ConfigSpace: pip install 'synthenv[select]'") from None
    default = FineTuning()
    space = library.ConfigurationSpace()
    for name, values in {**CHOICES, "model": models}.items():
        first = getattr(default, name)
        space.add(
            library.CategoricalHyperparameter(
                name, values, default_value=first if first in values else values[0]
            )
        )
    for name, values in {**LEVELS, "resolution": resolutions}.items():
        first = getattr(default, name)
        space.add(
            library.OrdinalHyperparameter(
                name, values, default_value=first if first in values else values[-1]
            )
        )
    space.add(
        [
            library.InCondition(space[name], space[other], list(values))
            for name, (other, values) in CONDITIONS.items()
        ]
    )
    return search_space(space)
