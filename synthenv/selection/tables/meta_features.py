"""Numbers that describe a data set, by which selectors tell which past data sets are like it.

An image folder, a zip file of one, and an ``.npz`` with the arrays ``x`` and ``y`` have ``samples``, ``classes``,
``resolution`` and ``channels``, as Quick-Tune has them. A table of questions and answers (csv, or JSON lines) has the
``token_size`` of the whole, the mean ``sample_length``, the ``vocab_size`` and the ``ratio_qa_length``; tokens are
words and marks.
"""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error
from synthenv.selection.tables.text_files import read_table, read_text

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
_MOST_OPENED = 500  # images whose size is looked at
_TOKEN = re.compile(r"\w+|[^\w\s]")


def meta_features(path: str | Path) -> dict[str, float]:
    """Meta-features of a data set by their names; NaN for one that it does not have.

    Args:
        path: a folder or zip file ``[train/]CLASS/IMAGE``, an ``.npz``, a ``.csv`` or a ``.jsonl``.

    Raises:
        UserError: it is none of them, or damaged; the message names the file.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(
            f"there is no {path}: pass a folder of images, an .npz, or a table of questions and answers"
        )
    kinds: dict[str, Callable[[Path], dict[str, float]]] = {
        ".zip": of_images,
        ".npz": of_arrays,
        ".csv": of_questions,
        ".jsonl": of_questions,
    }
    kind = of_images if path.is_dir() else kinds.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path} is no data set that we know: pass a folder, or one of {', '.join(kinds)}")
    return kind(path)


def of_images(path: Path) -> dict[str, float]:
    """Of images in a folder for each class, in a directory or a zip file; below ``train`` if there is such a folder.

    The resolution is the mean of widths and heights, the channels those of most images, both of at most 500 images
    spread evenly.

    Raises:
        UserError: there is no image in a class's folder, or one cannot be read.
    """
    if path.is_dir():
        names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        return _of_named(path, names, lambda name: (path / name).read_bytes())
    try:
        with zipfile.ZipFile(path) as archive:
            return _of_named(path, sorted(archive.namelist()), archive.read)
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is no zip file, or a part of one ({error}): copy it again") from None


def _of_named(path: Path, names: list[str], read: Callable[[str], bytes]) -> dict[str, float]:
    from PIL import Image

    images = [PurePosixPath(name) for name in names if PurePosixPath(name).suffix.lower() in IMAGES]
    train = [name for name in images if "train" in name.parts[:-2]]
    images = [name for name in train or images if len(name.parts) > 1]
    if not images:
        raise UserError(f"{path} has no images in folders of classes: lay them out as CLASS/IMAGE.png")
    sizes, channels = [], Counter[int]()
    for name in images[:: -(-len(images) // _MOST_OPENED)]:
        try:
            with Image.open(io.BytesIO(read(str(name)))) as image:
                sizes.append(sum(image.size) / 2)
                channels[3 if image.mode == "P" else len(image.getbands())] += 1
        except (OSError, Image.DecompressionBombError) as error:
            raise UserError(f"{path}: {name} is no image ({error}): mend it or remove it") from None
    return _vision(
        len(images), len({name.parent for name in images}), np.mean(sizes), channels.most_common(1)[0][0]
    )


def of_arrays(path: Path) -> dict[str, float]:
    """Of an ``.npz`` with samples ``x`` [N, height, width, channels] or [N, height, width] and labels ``y`` [N].

    Rows of numbers [N, F] have neither a resolution nor channels.

    Raises:
        UserError: an array is missing, holds objects, or they are not equally long.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            x, y = stored["x"], stored["y"]
    except KeyError as error:
        raise UserError(
            f"{path} has no array {str(error.args[0]).split()[0]}: save it with x and y"
        ) from None
    except OSError as error:
        raise disk_error(error, path) from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged or holds objects ({error}): save plain arrays x and y") from None
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or not len(x):
        raise UserError(
            f"{path} has x of shape {x.shape} and y of shape {y.shape}: a label for each sample belongs there"
        )
    is_image = x.ndim in (3, 4)
    resolution = (x.shape[1] + x.shape[2]) / 2 if is_image else np.nan
    channels = x.shape[3] if x.ndim == 4 else 1.0 if is_image else np.nan
    return _vision(len(x), len(np.unique(y)), resolution, channels)


def of_questions(path: Path, question: str = "question", answer: str = "answer") -> dict[str, float]:
    """Of a table with a question and an answer in every row.

    Raises:
        UserError: a column is missing, a line is no JSON, or all answers are empty.
    """
    pairs = list(
        _pairs_of_csv(path, question, answer) if path.suffix == ".csv" else _pairs(path, question, answer)
    )
    tokens = [(_TOKEN.findall(asked), _TOKEN.findall(told)) for asked, told in pairs]
    asked, told = (sum(len(pair[i]) for pair in tokens) for i in (0, 1))
    if not told:
        raise UserError(f"{path} has only empty answers: fill in its column {answer}")
    words = {word.lower() for pair in tokens for part in pair for word in part}
    return {
        "token_size": float(asked + told),
        "sample_length": (asked + told) / len(pairs),
        "vocab_size": float(len(words)),
        "ratio_qa_length": asked / told,
    }


def _pairs_of_csv(path: Path, question: str, answer: str) -> Iterator[tuple[str, str]]:
    return ((row.cells[question], row.cells[answer]) for row in read_table(path, (question, answer)).rows)


def _pairs(path: Path, question: str, answer: str) -> Iterator[tuple[str, str]]:
    for count, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            yield str(row[question]), str(row[answer])
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}, line {count} is no JSON object with {question} and {answer}: mend or remove it"
            ) from None


def _vision(samples: float, classes: float, resolution: Any, channels: float) -> dict[str, float]:
    return {
        "samples": float(samples),
        "classes": float(classes),
        "resolution": float(resolution),
        "channels": float(channels),
    }
