"""What happens to the images of a batch before a network sees them in training, on the host.

Everything is drawn from the generator that is passed, so that an epoch that is trained again sees the same images.

References:
    Müller & Hutter, "TrivialAugment", 2021: one operation an image, of a strength drawn evenly.
    Zhang et al., "mixup", 2018; Yun et al., "CutMix", 2019.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from synthenv.selection.vision.settings import FineTuning


def augmented(images: np.ndarray, settings: FineTuning, random: np.random.Generator) -> np.ndarray:
    """Change each image by itself. uint8 [B, H, W, C] to the same"""
    if settings.data_augmentation == "flip_crop":
        return _flip_crop(images, random)
    if settings.data_augmentation == "trivial":
        return np.stack([_trivial(image, random) for image in images])
    return images


def mixed(
    images: np.ndarray, targets: np.ndarray, settings: FineTuning, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mix the images of a batch and their targets with those of a shuffled one.

    Args:
        images: [B, H, W, C].
        targets: probabilities of classes. [B, K]
        settings: how.
        random: what is drawn from.
    """
    if not settings.is_mixed or random.random() >= settings.mixup_prob:
        return images.astype(np.float32), targets
    order = random.permutation(len(images))
    cuts = settings.cutmix > 0 and (settings.mixup == 0 or random.random() < 0.5)
    strength = settings.cutmix if cuts else settings.mixup
    kept = random.beta(strength, strength)
    images = images.astype(np.float32)
    if cuts:
        rows, columns = (_span(size, np.sqrt(1 - kept), random) for size in images.shape[1:3])
        pasted = images.copy()
        pasted[:, rows, columns] = images[order][:, rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        images, kept = pasted, 1 - area / (images.shape[1] * images.shape[2])
    else:
        images = kept * images + (1 - kept) * images[order]
    return images.astype(np.float32), (kept * targets + (1 - kept) * targets[order]).astype(np.float32)


def _span(size: int, share: float, random: np.random.Generator) -> slice:
    """A random stretch, cut off at the rim."""
    middle, half = random.integers(size), int(size * share) // 2
    return slice(max(middle - half, 0), min(middle + half, size))


def _flip_crop(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mirror every other image, and shift each by up to an eighth."""
    count, height, width = images.shape[:3]
    rows, columns = max(height // 8, 1), max(width // 8, 1)
    padded = np.pad(images, ((0, 0), (rows, rows), (columns, columns), (0, 0)), mode="reflect")
    down, right = random.integers(2 * rows + 1, size=count), random.integers(2 * columns + 1, size=count)
    flips = random.random(count) < 0.5
    shifted = (image[i : i + height, j : j + width] for image, i, j in zip(padded, down, right, strict=True))
    return np.stack([image[:, ::-1] if flip else image for image, flip in zip(shifted, flips, strict=True)])


def _trivial(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    from PIL import Image

    picture = Image.fromarray(np.repeat(image, 3, -1) if image.shape[-1] == 1 else image)
    operation, strength = random.integers(len(_OPERATIONS)), random.integers(31) / 30
    strength = strength if random.random() < 0.5 else -strength
    changed = np.asarray(_OPERATIONS[operation](picture, float(strength)))
    return changed[..., :1] if image.shape[-1] == 1 else changed


def _affine(row: Callable[[Any, float], tuple[float, ...]]) -> Callable[[Any, float], Any]:
    def apply(picture: Any, strength: float) -> Any:
        from PIL import Image

        data = row(picture, strength)
        return picture.transform(picture.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)

    return apply


def _enhanced(name: str) -> Callable[[Any, float], Any]:
    def apply(picture: Any, strength: float) -> Any:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, name)(picture).enhance(1 + 0.9 * strength)

    return apply


def _operation(name: str, *arguments: Callable[[float], int]) -> Callable[[Any, float], Any]:
    def apply(picture: Any, strength: float) -> Any:
        from PIL import ImageOps

        return getattr(ImageOps, name)(picture, *(argument(abs(strength)) for argument in arguments))

    return apply


_OPERATIONS: tuple[Callable[[Any, float], Any], ...] = (
    lambda picture, _: picture,
    _affine(lambda _, s: (1, 0.3 * s, 0, 0, 1, 0)),
    _affine(lambda _, s: (1, 0, 0, 0.3 * s, 1, 0)),
    _affine(lambda picture, s: (1, 0, 0.3 * s * picture.size[0], 0, 1, 0)),
    _affine(lambda picture, s: (1, 0, 0, 0, 1, 0.3 * s * picture.size[1])),
    lambda picture, s: picture.rotate(30 * s),
    *map(_enhanced, ("Brightness", "Color", "Contrast", "Sharpness")),
    _operation("posterize", lambda s: 8 - round(4 * s)),
    _operation("solarize", lambda s: 256 - round(256 * s)),
    _operation("autocontrast"),
    _operation("equalize"),
)
