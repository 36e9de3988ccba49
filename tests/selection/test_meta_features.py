"""Numbers that describe a data set, from images, arrays and tables of questions."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from synthenv.core.errors import UserError
from synthenv.selection.tables.meta_features import meta_features
from tests.selection.real_data import real_data


def image(size: tuple[int, int], mode: str = "RGB") -> bytes:
    """A picture as PNG."""
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, "png")
    return stream.getvalue()


FILES = {
    "cats/1.png": image((10, 20)),
    "cats/2.PNG": image((30, 40)),
    "dogs/1.png": image((20, 20), "P"),
    "dogs/2.png": image((20, 20), "L"),
    "dogs/notes.txt": b"of no interest",
    "readme.png": image((900, 900)),
}
WANT = {"samples": 4.0, "classes": 2.0, "resolution": 22.5, "channels": 3.0}


def test_image_folders(tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert meta_features(tmp_path) == WANT
    (tmp_path / "train" / "all").mkdir(parents=True)
    (tmp_path / "train" / "all" / "1.png").write_bytes(image((8, 8), "L"))
    assert meta_features(tmp_path) == {"samples": 1, "classes": 1, "resolution": 8, "channels": 1}


def test_zip_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    assert meta_features(tmp_path / "pets.zip") == WANT


def test_arrays(tmp_path):
    y = np.array([0, 1, 1, 7])
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 8, 6, 3), np.uint8), y=y)
    assert meta_features(tmp_path / "a.npz") == {"samples": 4, "classes": 3, "resolution": 7, "channels": 3}
    np.savez(tmp_path / "b.npz", x=np.zeros((4, 8, 8)), y=y)
    assert meta_features(tmp_path / "b.npz")["channels"] == 1
    np.savez(tmp_path / "c.npz", x=np.zeros((4, 5)), y=y)
    found = meta_features(tmp_path / "c.npz")
    assert found["classes"] == 3 and np.isnan([found["resolution"], found["channels"]]).all()


PAIRS = [("Who wrote it?", "Ada"), ("Who read it, and when?", "Ada did.")]
QUESTIONS = {"token_size": 15.0, "sample_length": 7.5, "vocab_size": 11.0, "ratio_qa_length": 11 / 4}


def test_questions_and_answers(tmp_path):
    rows = [{"question": asked, "answer": told} for asked, told in PAIRS]
    (tmp_path / "qa.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert meta_features(tmp_path / "qa.jsonl") == QUESTIONS
    lines = [f'"{asked}",{told}' for asked, told in PAIRS]
    (tmp_path / "qa.csv").write_text("\n".join(["question,answer", *lines]))
    assert meta_features(tmp_path / "qa.csv") == QUESTIONS


def write_broken(path, name, content):
    """A file, or the arrays of an ``.npz``."""
    if isinstance(content, dict):
        np.savez(path / name, **content)
    else:
        (path / name).write_bytes(content)
    return path / name


BROKEN = {
    "no zip": ("pets.zip", b"torn", "pets.zip is no zip file"),
    "no labels": ("a.npz", {"x": np.zeros((2, 3))}, "a.npz has no array y"),
    "too few labels": (
        "a.npz",
        {"x": np.zeros((2, 3)), "y": np.zeros(3)},
        "x of shape .2, 3. and y of shape .3,.",
    ),
    "no samples": ("a.npz", {"x": np.zeros((0, 3)), "y": np.zeros(0)}, "a label for each sample"),
    "objects": ("a.npz", {"x": np.array([[None]]), "y": np.zeros(1)}, "a.npz is damaged or holds objects"),
    "no arrays": ("a.npz", b"torn", "a.npz is damaged or holds objects"),
    "no answers": ("qa.csv", b"question,reply\na,b\n", "qa.csv has no column 'answer'"),
    "empty answers": ("qa.csv", b"question,answer\na,\n", "qa.csv has only empty answers"),
    "half a line": (
        "qa.jsonl",
        b'{"question": "a", "answer": "b"}\n{"ques',
        "qa.jsonl, line 2 is no JSON object",
    ),
    "a list": ("qa.jsonl", b"[1, 2]\n", "qa.jsonl, line 1 is no JSON object with question and answer"),
    "another kind": ("data.parquet", b"?", "data.parquet is no data set that we know"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_data_sets(tmp_path, what):
    name, content, message = BROKEN[what]
    with pytest.raises(UserError, match=message) as caught:
        meta_features(write_broken(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_folders_without_images(tmp_path):
    with pytest.raises(UserError, match="has no images in folders of classes"):
        meta_features(tmp_path)
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.png").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"cats/1.png is no image"):
        meta_features(tmp_path)
    with pytest.raises(UserError, match=r"there is no .*dogs"):
        meta_features(tmp_path / "dogs")


def test_real_one():
    found = meta_features(real_data("cifar10") / "test.zip")
    assert found == {"samples": 10_000, "classes": 10, "resolution": 32, "channels": 3}
