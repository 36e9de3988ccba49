"""The queue of trainings: order, grouping, errors, several devices and several processes."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.outer.population import Workload, make_jobs, serve

REPO = Path(__file__).resolve().parents[2]
NUM = 11
BUCKETS = ["sin" if i % 3 else "cos" for i in range(NUM)]
COSTS = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0])


def iterate(function):
    """A program whose length depends on its task; results of three types, one of them a matrix."""

    def one(task):
        total = jax.lax.fori_loop(0, task["length"], lambda i, x: function(x + 0.1 * i), task["start"])
        return {"total": total, "length": task["length"], "positive": total[0] > 0}

    return jax.jit(lambda tasks: jax.lax.map(one, tasks))


PROGRAMS = {"sin": iterate(jnp.sin), "cos": iterate(jnp.cos)}


def toy_workload():
    start = np.random.default_rng(0).normal(size=(NUM, 2, 3)).astype(np.float32)
    return Workload({"start": start, "length": np.arange(NUM, dtype=np.int32) + 1}, BUCKETS, COSTS)


def in_turn():
    """What every task gives by itself."""
    tasks = toy_workload().tasks
    each = [
        PROGRAMS[BUCKETS[i]](jax.tree.map(lambda x: x[i : i + 1], tasks))  # noqa: B023
        for i in range(NUM)
    ]
    return jax.tree.map(lambda *xs: np.concatenate(xs), *each)


def as_json(results):
    """Results bit by bit, with their types."""
    return json.dumps({k: [str(v.dtype), v.shape, v.tobytes().hex()] for k, v in sorted(results.items())})


def within(seconds, function):
    """Call in a thread, so that a hang fails one test only; returns the exception raised, if any."""
    raised = []

    def call():
        try:
            function()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "hangs"
    return raised[0] if raised else None


# ---------------------------------------------------------------- jobs


@pytest.mark.parametrize("group_size", [1, 2, 3, 100])
def test_jobs_partition_the_tasks(group_size):
    """Every index once, one bucket per job, no job too large, at most one incomplete job per bucket."""
    indices = np.array([9, 0, 4, 5, 2, 7, 8])
    jobs = make_jobs(toy_workload(), indices, group_size)
    assert sorted(np.concatenate(jobs)) == sorted(indices)
    buckets = [{BUCKETS[i] for i in job} for job in jobs]
    assert all(len(bucket) == 1 for bucket in buckets)
    assert all(len(job) <= group_size for job in jobs)
    incomplete = Counter(
        b for bucket, job in zip(buckets, jobs, strict=True) if len(job) < group_size for b in bucket
    )
    assert set(incomplete.values()) <= {1}


def test_jobs_start_with_the_dearest():
    """Alone: by cost, equals in order of appearance."""
    singles = make_jobs(toy_workload(), np.arange(NUM), 1)
    np.testing.assert_array_equal(np.concatenate(singles), [5, 7, 4, 8, 10, 2, 0, 9, 6, 1, 3])


def test_groups_start_with_the_dearest():
    """Dear tasks share a group, and an incomplete group may be the dearest."""
    workload = Workload(None, ["a", "a", "b", "a", "a"], np.array([1.0, 4.0, 9.0, 2.0, 3.0]))
    assert [job.tolist() for job in make_jobs(workload, np.arange(5), 2)] == [[2], [1, 4], [3, 0]]


# ---------------------------------------------------------------- one process


@pytest.mark.parametrize("group_size", [1, 3, 100])
def test_results_in_task_order(group_size):
    """Mixed buckets, whatever the grouping: the results stand where their tasks stood."""
    served = serve(PROGRAMS.__getitem__, toy_workload(), group_size)
    assert as_json(served.results) == as_json(in_turn())
    assert 0.0 < served.busy_share <= 1.0


def test_busy_share_of_one_sleeper():
    """One worker that works all the time is busy most of the time, whatever else the machine does."""

    def sleep(tasks):
        time.sleep(0.1)
        return tasks

    workload = Workload(np.arange(4.0), [0] * 4, np.ones(4))
    assert 0.5 < serve(lambda bucket: sleep, workload).busy_share <= 1.0


def test_exception_propagates():
    """The caller sees what the program raised, and no job is started after it."""
    started = []

    def program(bucket):
        def run(tasks):
            started.append(bucket)
            if bucket == "bad":
                raise RuntimeError("out of paper")
            return tasks

        return run

    workload = Workload(np.arange(4), ["a", "bad", "b", "c"], np.array([4, 3, 2, 1]))
    error = within(30, lambda: serve(program, workload))
    assert isinstance(error, RuntimeError) and str(error) == "out of paper"
    assert started == ["a", "bad"]


# ---------------------------------------------------------------- several devices

ON_DEVICES = """
import threading, time
import jax
from synthenv.outer.population import serve
from tests.outer.test_population import PROGRAMS, as_json, toy_workload, within

used = set()

def program(bucket):
    def run(tasks):
        used.update(tasks["start"].devices())
        time.sleep(0.05)
        return PROGRAMS[bucket](tasks)
    return run

served = serve(program, toy_workload())
assert 0.0 < served.busy_share <= 1.0
assert len(used) == jax.device_count() == 8, used

started = []

def failing(bucket):
    def run(tasks):
        started.append(bucket)
        if tasks["length"][0] == 6:  # the dearest, hence among the first
            raise RuntimeError("out of paper")
        time.sleep(0.5)
        return PROGRAMS[bucket](tasks)
    return run

error = within(60, lambda: serve(failing, toy_workload()))
assert str(error) == "out of paper", error
assert len(started) <= 8, "jobs started after the error"
assert threading.active_count() == 1, "workers still run"
print(as_json(served.results))
"""


def test_eight_devices_equal_one(run_on_devices):
    """Bit for bit; every device gets work, and an exception on one of them stops all."""
    assert run_on_devices(ON_DEVICES).splitlines()[-1] == as_json(in_turn())


# ---------------------------------------------------------------- several processes

IN_PROCESSES = """
import sys
import jax

jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]), initialization_timeout=60)

from synthenv.outer.population import Workload, serve
from tests.outer.test_population import PROGRAMS, as_json, toy_workload

ran = []

def program(bucket):
    def run(tasks):
        ran.extend(tasks["length"].tolist())
        return PROGRAMS[bucket](tasks)
    return run

served = serve(program, toy_workload(), group_size=2)
print(sorted(ran))
print(as_json(served.results))
workload = toy_workload()
alone = serve(program, Workload(jax.tree.map(lambda x: x[:1], workload.tasks), ["cos"], workload.costs[:1]))
print(as_json(alone.results))
"""


def run_in_processes(code, num_processes=2, timeout=90):
    """Start processes that find each other on a free local port; returns the lines each printed."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, address, str(rank)],
            cwd=REPO,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(num_processes)
    ]
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors
    return [output.splitlines() for output, _ in outputs]


def test_two_processes_equal_one():
    """Each of two hosts runs its share and gets all results in task order, even of a single task."""
    first, second = run_in_processes(IN_PROCESSES)
    shares = [json.loads(lines[-3]) for lines in (first, second)]
    assert sorted(shares[0] + shares[1]) == list(range(1, NUM + 1))
    assert abs(len(shares[0]) - len(shares[1])) == 1
    assert first[-2] == second[-2] == as_json(in_turn())
    assert first[-1] == second[-1] == as_json(jax.tree.map(lambda x: x[:1], in_turn()))
