"""Small tasks of image classification: a few classes, a few images of each, split by a seed.

    image_task(ImageSource("cifar10/train.zip", classes=("cat", "dog"), num_train=300, num_valid=200))

Sources are a folder or zip file ``CLASS/IMAGE``, an ``.npz`` with ``x`` [N, H, W(, C)] and ``y`` [N], a directory with
the four files of Fashion-MNIST, and ``digits``, which come with scikit-learn.
"""

import dataclasses
import gzip
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error
from synthenv.selection.tables.meta_features import IMAGES

FASHION_CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle-boot"),
)


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """Where images come from, and which of them make a task.

    Attributes:
        path: a folder, a zip file, an ``.npz``, a directory of Fashion-MNIST, or "digits".
        classes: names of the classes; None for all.
        num_train: images to train on.
        num_valid: images to validate on.
        size: height and width that files are scaled to.
    """

    path: str
    classes: tuple[str, ...] | None = None
    num_train: int = 300
    num_valid: int = 200
    size: int = 32


class ImageTask(NamedTuple):
    """A task; images are uint8 [N, H, W, 1 or 3], labels int32 [N] from 0 on."""

    train_images: np.ndarray
    train_labels: np.ndarray
    valid_images: np.ndarray
    valid_labels: np.ndarray
    classes: tuple[str, ...]

    @property
    def meta_features(self) -> dict[str, float]:
        """As those of Quick-Tune, of the training images."""
        count, height, width, channels = self.train_images.shape
        return {
            "samples": float(count),
            "classes": float(len(self.classes)),
            "resolution": (height + width) / 2,
            "channels": float(channels),
        }


class _Pool(NamedTuple):
    """All images of a source: their classes, and how the chosen ones are read."""

    names: np.ndarray
    read: Callable[[np.ndarray], np.ndarray]


def image_task(source: ImageSource, seed: int = 0) -> ImageTask:
    """Draw a task from a source; the same seed draws the same images.

    Classes are as frequent in both parts as in the source, up to one image.

    Raises:
        UserError: the source cannot be read, has no such class, or too few images.
    """
    pool = _pool(source)
    known = sorted(set(pool.names.tolist()))
    classes = tuple(known) if source.classes is None else source.classes
    for name in classes:
        if name not in known:
            raise UserError(f"{source.path} has no class {name!r}: choose from {', '.join(known)}")
    if len(classes) < 2:
        raise UserError(f"{source.path}: a task needs two classes, not {len(classes)}")
    random = np.random.default_rng([seed, len(classes)])
    wanted = source.num_train + source.num_valid
    rows = [random.permutation(np.flatnonzero(pool.names == name)) for name in classes]
    if min(source.num_train, source.num_valid) < 1 or sum(map(len, rows)) < wanted:
        raise UserError(
            f"{source.path} has {sum(map(len, rows))} images of these classes, where {source.num_train} to train and "
            f"{source.num_valid} to validate are asked for"
        )
    # An image's rank within its class, as a share, orders all of them such that every stretch holds all classes.
    share = np.concatenate([(np.arange(len(group)) + random.random()) / len(group) for group in rows])
    labels = np.concatenate([np.full(len(group), i, np.int32) for i, group in enumerate(rows)])
    order = np.argsort(share, kind="stable")[:wanted]
    images, labels = pool.read(np.concatenate(rows)[order]), labels[order]
    cut = source.num_train
    return ImageTask(images[:cut], labels[:cut], images[cut:], labels[cut:], classes)


def _pool(source: ImageSource) -> _Pool:
    if source.path == "digits":
        return _digits()
    path = Path(source.path)
    try:
        if path.suffix.lower() == ".npz":
            return _arrays(path)
        if path.is_dir() and any(path.glob("train-images-idx3-ubyte*")):
            return _fashion(path)
        if path.is_dir():
            names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
            return _files(
                path, names, lambda names: ((path / name).read_bytes() for name in names), source.size
            )
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
        return _files(path, names, lambda names: _members(path, names), source.size)
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is no zip file, or a part of one ({error}): copy it again") from None
    except OSError as error:
        raise disk_error(error, path) from error


def _members(path: Path, names: list[str]) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:  # once: its table of contents may be long
        yield from map(archive.read, names)


def _files(path: Path, names: list[str], read: Callable[[list[str]], Iterable[bytes]], size: int) -> _Pool:
    from PIL import Image

    images = [name for name in names if PurePosixPath(name).suffix.lower() in IMAGES and "/" in name]
    if not images:
        raise UserError(f"{path} has no images in folders of classes: lay them out as CLASS/IMAGE.png")

    def decoded(name: str, data: bytes) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(data)) as image:
                small = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
                return np.asarray(small)
        except (OSError, Image.DecompressionBombError) as error:
            raise UserError(f"{path}: {name} is no image ({error}): mend it or remove it") from None

    def chosen(rows: np.ndarray) -> np.ndarray:
        files = [images[i] for i in rows]
        return np.stack([decoded(name, data) for name, data in zip(files, read(files), strict=True)])

    return _Pool(np.array([PurePosixPath(name).parent.name for name in images]), chosen)


def _arrays(path: Path) -> _Pool:
    try:
        with np.load(path, allow_pickle=False) as stored:
            x, y = stored["x"], stored["y"]
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is damaged or lacks x or y ({error}): save plain arrays x and y") from None
    x = x[..., None] if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[3] not in (1, 3) or x.dtype != np.uint8 or y.shape != x.shape[:1]:
        raise UserError(
            f"{path} has x of {x.dtype} {x.shape} and y of shape {y.shape}: images are uint8 [N, height, width, 1 or "
            "3] with a label each"
        )
    return _Pool(y.astype(str), lambda rows: x[rows])


def _digits() -> _Pool:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError("digits come with scikit-learn: pip install 'synthenv[select]'") from None
    digits: Any = load_digits()
    x, y = digits.data, digits.target
    images = np.minimum(x.reshape(-1, 8, 8, 1) * 16, 255).astype(np.uint8)
    return _Pool(y.astype(str), lambda rows: images[rows])


def _fashion(path: Path) -> _Pool:
    images, labels = (
        _idx(next(iter(sorted(path.glob(f"train-{what}-ubyte*"))))) for what in ("images-idx3", "labels-idx1")
    )
    if images.ndim != 3 or labels.shape != images.shape[:1] or labels.max() >= len(FASHION_CLASSES):
        raise UserError(
            f"{path} holds no Fashion-MNIST: its images are {images.shape}, its labels {labels.shape}"
        )
    return _Pool(np.array(FASHION_CLASSES)[labels], lambda rows: images[rows][..., None])


def _idx(path: Path) -> np.ndarray:
    """An array of the MNIST family: two zeros, the type, the number of axes, their lengths, the bytes."""
    data = path.read_bytes()
    try:
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        shape = np.frombuffer(data, ">u4", data[3], 4)
        if data[:3] != b"\0\0\x08":
            raise ValueError("it does not begin as such a file")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (ValueError, EOFError, IndexError, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is no idx file, or a part of one ({error}): copy it again") from None
