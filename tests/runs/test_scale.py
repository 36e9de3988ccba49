"""Many devices and several processes arrive at the numbers of one device."""

import os
import socket
import subprocess

import jax
import pytest

from synthenv.runs.meta_train.run import meta_train
from tests.tiny_run import COMMAND, FLAGS, REPO, TINY, environment, story

pytestmark = [pytest.mark.rank_promotion_ok, pytest.mark.long]
TIMEOUT = 240  # a hang, not a slow machine


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """What the run says on one device."""
    assert jax.device_count() == 1
    path = tmp_path_factory.mktemp("one") / "run"
    with jax.numpy_rank_promotion("allow"):
        meta_train(TINY, 0, path)
    return story(path)


def run_together(*options_of_each, **variables):
    """Start a command for each list of options, all at once; returns (status, output, errors) of each."""
    processes = [
        subprocess.Popen(
            [*COMMAND, *FLAGS, *map(str, options)],
            cwd=REPO,
            env=environment() | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for options in options_of_each
    ]
    try:
        outputs = [process.communicate(timeout=TIMEOUT) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(p.returncode, *output) for p, output in zip(processes, outputs, strict=True)]


def run_in_processes(num, *options):
    """One run by several processes that meet on a free local port."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    return run_together(
        *([*options, "--devices", 1, "--distributed", f"{address},{num},{rank}"] for rank in range(num))
    )


def test_eight_devices_equal_one(tmp_path):
    """XLA has a thread per core, or per device if they are more, and jax 0.11 rounds noise by their number: fix it.

    Nor may there be programs in the cache that were compiled for another number.
    """
    variables = {"NPROC": "8", "SYNTHENV_CACHE_DIR": str(tmp_path / "cache"), "XLA_FLAGS": ""}
    for num in (1, 8):
        ((status, _, errors),) = run_together(["--devices", num, "--out", tmp_path / f"{num}"], **variables)
        assert status == 0, errors
        assert f'"num_devices": {num}' in (tmp_path / f"{num}" / "config.json").read_text()
    assert story(tmp_path / "8") == story(tmp_path / "1")


def test_two_processes_equal_one(tmp_path, one_device):
    """Both train; the first one writes and speaks."""
    path, file = tmp_path / "run", tmp_path / "result.json"
    first, second = run_in_processes(2, "--out", path, "--json", file)
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert '"num_devices": 2' in (path / "config.json").read_text()
    assert story(path) == one_device
    assert file.exists() and "report:" in first[1] and "report:" not in second[1]


def test_two_processes_go_on_from_what_the_first_one_finds(tmp_path, one_device):
    """A run that one process has begun; the second process sees neither its state nor its damaged checkpoint."""
    path = tmp_path / "run"

    def stop(line):
        if line["generation"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        meta_train(TINY, 0, path, on_generation=stop)
    newest = path / "checkpoints" / "step_00000002.safetensors"
    os.truncate(newest, newest.stat().st_size - 1)
    first, second = run_in_processes(2, "--out", path, "--resume")
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert "going on from step 1" in first[1] and "going on" not in second[1]
    assert story(path) == one_device


def test_no_process_waits_for_one_that_cannot_begin(tmp_path):
    """The directory is refused by process 0, and process 1 ends too."""
    (tmp_path / "thesis.tex").write_text("x")
    first, second = run_in_processes(2, "--out", tmp_path)
    assert first[0] == second[0] == 2, first[2] + second[2]
    assert "holds no run (thesis.tex): choose another --out" in first[2]
    assert "process 0 has stopped: see its message" in second[2]
    assert "Traceback" not in first[2] + second[2]
