"""Tasks from folders, zip files, arrays, digits and Fashion-MNIST's files."""

import gzip
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from synthenv.core.errors import UserError
from synthenv.selection.tables.meta_features import meta_features
from synthenv.selection.vision.augmentation import augmented, mixed
from synthenv.selection.vision.image_tasks import ImageSource, image_task
from synthenv.selection.vision.settings import FineTuning


def picture(grey: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (10, 10), (grey, grey, grey)).save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures of each of three classes; the brightness says which one of which class."""
    for i, kind in enumerate(("cat", "dog", "elk")):
        (tmp_path / kind).mkdir()
        for n in range(12):
            (tmp_path / kind / f"{n}.png").write_bytes(picture(20 * n + i))
    return tmp_path


def test_a_folder_and_its_zip_file_are_one_task(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    wanted = {"classes": ("elk", "cat"), "num_train": 12, "num_valid": 8, "size": 6}
    ours, theirs = (image_task(ImageSource(str(place), **wanted), seed=3) for place in (folder, path))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert ours.train_images.shape == (12, 6, 6, 3) and ours.train_images.dtype == np.uint8
    np.testing.assert_array_equal(ours.train_images[:, 0, 0, 0] % 20, np.where(ours.train_labels, 0, 2))
    assert np.bincount(ours.train_labels).tolist() == [6, 6] and np.bincount(ours.valid_labels).tolist() == [
        4,
        4,
    ]
    seen = np.concatenate([ours.train_images, ours.valid_images])[:, 0, 0, 0]
    assert len(set(seen.tolist())) == 20, "an image is in both parts"
    other = image_task(ImageSource(str(folder), **wanted), seed=4)
    assert (other.train_images != ours.train_images).any()
    assert ours.meta_features == {"samples": 12, "classes": 2, "resolution": 6, "channels": 3}


def test_arrays_and_digits(tmp_path):
    x, y = np.arange(20 * 16, dtype=np.uint8).reshape(20, 4, 4), np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y)
    task = image_task(ImageSource(str(tmp_path / "a.npz"), num_train=10, num_valid=10))
    assert task.train_images.shape == (10, 4, 4, 1) and task.classes == ("0", "1")
    assert task.meta_features == {**meta_features(tmp_path / "a.npz"), "samples": 10}
    digits = image_task(ImageSource("digits", classes=("3", "8"), num_train=20, num_valid=10))
    assert digits.valid_images.shape == (10, 8, 8, 1) and digits.train_images.max() > 200


def test_fashion(tmp_path):
    images, labels = np.arange(20 * 9, dtype=np.uint8).reshape(20, 3, 3), np.arange(20, dtype=np.uint8) % 10
    for what, array in (("images-idx3", images), ("labels-idx1", labels)):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (tmp_path / f"train-{what}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    task = image_task(ImageSource(str(tmp_path), ("bag", "coat"), num_train=2, num_valid=2))
    rows = [int(image[0, 0, 0]) // 9 for image in np.concatenate([task.train_images, task.valid_images])]
    assert sorted(rows) == [4, 8, 14, 18]
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte\.gz is no idx file"):
        image_task(ImageSource(str(tmp_path)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"classes": ("cat", "cow")}, "no class 'cow': choose from cat, dog, elk"),
        ({"classes": ("cat",)}, "two classes, not 1"),
        ({"num_train": 30, "num_valid": 10}, "has 36 images of these classes, where 30"),
        ({"path": "/no/such/place"}, "cannot use /no/such/place"),
    ],
)
def test_sources_that_make_no_task(folder, changed, said):
    with pytest.raises(UserError, match=said):
        image_task(ImageSource(**{"path": str(folder), "num_train": 4, "num_valid": 4, **changed}))


IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["flip_crop", "trivial"])
@pytest.mark.parametrize("channels", [1, 3])
def test_augmented_images_are_the_same_from_the_same_generator(kind, channels):
    images = IMAGES[..., :channels]
    one, same, other = (
        augmented(images, FineTuning(data_augmentation=kind), np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert one.shape == images.shape and one.dtype == np.uint8
    np.testing.assert_array_equal(one, same)
    assert (one != other).any() and (one != images).any()


@pytest.mark.parametrize("how", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_targets_are_mixed_as_images_are(how):
    """Black and white images: the share of white is that of its target, up to the cut pixels of cutmix."""
    targets = np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    images = np.broadcast_to(255 * targets[:, 1, None, None, None], (40, 8, 8, 3)).astype(np.uint8)
    made, seen = mixed(images, targets, FineTuning(**how), np.random.default_rng(3))
    np.testing.assert_allclose(made.mean((1, 2, 3)) / 255, seen[:, 1], atol=1e-5)
    assert ((seen > 0) & (seen < 1)).any()
    never, same = mixed(images, targets, FineTuning(**how, mixup_prob=0.0), np.random.default_rng(3))
    np.testing.assert_array_equal(never, images)
    np.testing.assert_array_equal(same, targets)
