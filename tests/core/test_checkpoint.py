"""Checkpoints: what comes back is what was saved, damage never passes, and a kill leaves enough to go on with."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from typing import NamedTuple

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from synthenv.core.checkpoint import CheckpointStore, load_arrays, load_tree, save_tree
from synthenv.core.errors import UserError
from synthenv.core.files import plain, to_json, write_atomic
from synthenv.core.sealed_file import DamagedFileError


class Everything(NamedTuple):
    """One leaf of every kind that a search may hold."""

    floats: dict
    small: jax.Array
    ints: tuple
    flags: np.ndarray
    key: jax.Array
    number: float
    nothing: None = None


def everything(seed: int = 0) -> Everything:
    generator = np.random.default_rng(seed)
    return Everything(
        floats={"a": jnp.asarray(generator.normal(size=(2, 3)), jnp.float32), "e": jnp.zeros((0, 3))},
        small=jnp.asarray(generator.normal(size=4), jnp.bfloat16),
        ints=(jnp.int32(-7), jnp.asarray([1, 2**32 - 1], jnp.uint32), np.arange(3, dtype=np.int64)),
        flags=np.asfortranarray(generator.random((3, 2)) < 0.5),
        key=jax.random.split(jax.random.key(seed), 2),
        number=0.1 + seed,
    )


def bits(leaf) -> bytes:
    return np.asarray(
        jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    ).tobytes()


def assert_identical(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert type(a) is type(b)
        if isinstance(b, float):
            assert a == b
        else:
            assert (a.dtype, a.shape, bits(a)) == (b.dtype, b.shape, bits(b))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "tree.safetensors"
    save_tree(path, everything(), {"task": "CartPole-v0"})
    return path


def test_round_trip(sealed):
    tree, metadata = load_tree(sealed, everything(seed=1))
    assert_identical(tree, everything())
    assert metadata == {"task": "CartPole-v0"}


def test_a_restored_key_draws_the_same_numbers(sealed):
    key = load_tree(sealed, everything(seed=1))[0].key[1]
    assert jnp.array_equal(jax.random.normal(key, (5,)), jax.random.normal(everything().key[1], (5,)))


def test_a_bare_array_and_abstract_leaves(tmp_path):
    save_tree(tmp_path / "x", jnp.arange(3), {})
    like = jax.ShapeDtypeStruct((3,), jnp.int32)
    assert load_tree(tmp_path / "x", like)[0].tolist() == [0, 1, 2]


def test_equal_trees_make_equal_files(tmp_path, sealed):
    save_tree(tmp_path / "again", everything(), {"task": "CartPole-v0"})
    assert (tmp_path / "again").read_bytes() == sealed.read_bytes()


def test_load_arrays_names_leaves_by_path(sealed):
    arrays, metadata = load_arrays(sealed)
    assert metadata == {"task": "CartPole-v0"}
    assert arrays[".floats['a']"].tobytes() == bits(everything().floats["a"])
    assert arrays[".key"].dtype == np.uint32


def test_an_ordinary_safetensors_reader_opens_the_file(sealed):
    """The format is safetensors and nothing else: the library that defines it agrees."""
    from safetensors import safe_open

    with safe_open(str(sealed), framework="np") as file:
        assert json.loads(file.metadata()["metadata"]) == {"task": "CartPole-v0"}
        assert file.get_tensor(".flags").tolist() == everything().flags.tolist()


@hypothesis.settings(max_examples=150)
@hypothesis.given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_altered_byte_is_detected(sealed, position, flip):
    data = bytearray(sealed.read_bytes())
    data[int(position * len(data))] ^= flip
    altered = sealed.with_name("altered")
    altered.write_bytes(data)
    with pytest.raises(DamagedFileError, match="put back a copy"):
        load_tree(altered, everything())


@pytest.mark.parametrize("kept", [0, 1, 8, 9, 100, -64, -1])
def test_truncation_is_detected(sealed, tmp_path, kept):
    (tmp_path / "short").write_bytes(sealed.read_bytes()[:kept])
    for load in (load_arrays, lambda path: load_tree(path, everything())):
        with pytest.raises(DamagedFileError, match="short is"):
            load(tmp_path / "short")


def test_appended_bytes_are_detected(sealed, tmp_path):
    (tmp_path / "long").write_bytes(sealed.read_bytes() + b"\0")
    with pytest.raises(DamagedFileError):
        load_arrays(tmp_path / "long")


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"a": jnp.zeros(3), "k": jax.random.key(0)}, r"leaf \['a'\] is float32\[2\], not float32\[3\]"),
        ({"a": jnp.zeros(2, int), "k": jax.random.key(0)}, r"leaf \['a'\] is float32\[2\], not int32\[2\]"),
        ({"a": jnp.zeros(2), "k": jnp.zeros(2, jnp.uint32)}, r"leaf \['k'\] is key<fry>\[\], not uint32\[2\]"),
        ({"a": jnp.zeros(2), "k": jax.random.key(0, impl="rbg")}, r"key<fry>\[\], not key<rbg>\[\]"),
        ({"a": jnp.zeros(2)}, r"leaf \['k'\] is not expected"),
        ({"a": jnp.zeros(2), "b": jnp.zeros(2)}, r"leaf \['b'\] \(float32\[2\]\) is missing"),
    ],
)  # fmt: skip
def test_a_foreign_tree_is_named(tmp_path, like, message):
    save_tree(tmp_path / "x", {"a": jnp.zeros(2), "k": jax.random.key(0)}, {})
    with pytest.raises(UserError, match=f"foreign checkpoint: .*{message}") as caught:
        load_tree(tmp_path / "x", like)
    assert not isinstance(caught.value, DamagedFileError) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist: check the path"):
        load_arrays(tmp_path / "nowhere")


def tree(step: int) -> dict:
    return {"step": jnp.int32(step), "key": jax.random.key(step)}


def filled(tmp_path, steps=range(1, 6), **kwargs) -> CheckpointStore:
    store = CheckpointStore(tmp_path / "checkpoints", **kwargs)
    for step in steps:
        store.save(step, tree(step), {"finished": False})
    return store


def names(store: CheckpointStore) -> list[str]:
    return sorted(path.name for path in store.directory.iterdir())


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_store_keeps_the_newest(tmp_path):
    store = filled(tmp_path)
    assert names(store) == [f"step_0000000{i}.safetensors" for i in (3, 4, 5)]
    restored = store.restore(tree(0))
    assert (restored.step, restored.metadata, restored.skipped) == (5, {"finished": False}, [])
    assert_identical(restored.tree, tree(5))


def test_leftovers_of_killed_writers_go(tmp_path):
    store = filled(tmp_path, [1])
    (store.directory / ".step_00000002.safetensors.1.tmp").write_bytes(b"half")
    assert store.restore(tree(0)).step == 1
    store.save(2, tree(2), {})
    assert names(store) == ["step_00000001.safetensors", "step_00000002.safetensors"]


def test_an_empty_store_restores_nothing(tmp_path):
    assert CheckpointStore(tmp_path / "nothing").restore(tree(0)) is None


def test_damaged_checkpoints_fall_back_and_say_so(tmp_path):
    store = filled(tmp_path)
    damage(store.directory / "step_00000005.safetensors")
    (store.directory / "step_00000004.safetensors").write_bytes(b"")
    restored = store.restore(tree(0))
    assert restored.step == 3
    assert [line.split(" is damaged")[0] for line in restored.skipped] == [
        "checkpoint step_00000005.safetensors",
        "checkpoint step_00000004.safetensors",
    ]
    assert all("going on from step 3" in line for line in restored.skipped)
    assert names(store)[1:] == ["step_00000004.safetensors.damaged", "step_00000005.safetensors.damaged"]
    store.save(4, tree(4), {})
    assert store.restore(tree(0)).step == 4


def test_all_damaged_is_an_error_that_changes_nothing(tmp_path):
    store = filled(tmp_path)
    for path in store.directory.iterdir():
        damage(path)
    before = names(store)
    for _ in range(2):  # a second try must not find an empty store and start afresh
        with pytest.raises(UserError, match=r"all 3 checkpoints .* are damaged"):
            store.restore(tree(0))
    assert names(store) == before


def test_a_sound_checkpoint_of_another_run_is_refused(tmp_path):
    store = filled(tmp_path, owner="seed 0")
    with pytest.raises(UserError, match="another run"):
        CheckpointStore(store.directory, owner="seed 1").restore(tree(0))
    (store.directory / "step_00000005.safetensors").rename(store.directory / "step_00000009.safetensors")
    with pytest.raises(UserError, match=r"step_00000009.safetensors is a foreign checkpoint"):
        store.restore(tree(0))


def test_a_full_disk_leaves_the_old_files(tmp_path, monkeypatch):
    store = filled(tmp_path)
    real_write = os.write

    def write(descriptor, data):
        if len(data) > 100:
            return real_write(descriptor, data[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(UserError, match=r"No space left on device.*free some space .* --resume"):
            store.save(6, tree(6), {})
    assert names(store) == [f"step_0000000{i}.safetensors" for i in (3, 4, 5)]
    assert store.restore(tree(0)).step == 5


def test_a_real_size_limit_leaves_the_old_file(tmp_path):
    """The kernel refuses bytes beyond RLIMIT_FSIZE, as it does on a full disk."""
    save_tree(tmp_path / "x", jnp.zeros(4), {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(UserError, match="free some space"):
            save_tree(tmp_path / "x", jnp.ones(4096), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert load_tree(tmp_path / "x", jnp.ones(4))[0].tolist() == [0] * 4


def test_a_missing_directory_is_one_line(tmp_path):
    with pytest.raises(UserError, match="No such file or directory"):
        save_tree(tmp_path / "no" / "x", jnp.zeros(1), {})


def test_a_file_in_place_of_the_directory_is_one_line(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(UserError, match="check the path"):
        filled(tmp_path)


def test_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "x", b"1")
    assert list(tmp_path.iterdir()) == []


SAVE_FOR_EVER = """
import itertools, sys
import numpy as np
from synthenv.core.checkpoint import CheckpointStore
store = CheckpointStore(sys.argv[1])
for step in itertools.count(1):
    store.save(step, {"x": np.full(200_000, step)}, {})
    print(step, flush=True)
"""


def test_kill_in_the_middle_of_saves(tmp_path):
    """Every save that returned is there after kill -9, at whatever moment it strikes."""
    command = [sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(20):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines()
    reported = int(rest[-1]) if rest else 20
    store = CheckpointStore(tmp_path)
    restored = store.restore({"x": np.zeros(200_000, int)})
    assert restored.step in {reported, reported + 1} and restored.skipped == []
    assert (restored.tree["x"] == restored.step).all()
    store.save(restored.step + 1, restored.tree, {})
    assert len(names(store)) == 3  # the killed save's temporary file is gone


def test_plain_is_strict_json():
    value = {
        "tuple": Everything({}, jnp.float32("nan"), (), np.zeros(1), np.float32(2), float("inf")),
        3: [np.arange(2), np.float64("nan"), True],
    }
    expected = {
        "floats": {},
        "small": None,
        "ints": [],
        "flags": [0.0],
        "key": 2.0,
        "number": None,
        "nothing": None,
    }
    assert plain(value) == {"tuple": expected, "3": [[0, 1], None, True]}
    assert json.loads(to_json(value)) == plain(value)
