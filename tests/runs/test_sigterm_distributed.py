"""SIGTERM ends a process that has met others, too: JAX's runtime installs a handler of its own when they meet."""

import socket
import subprocess
import sys

from tests.tiny_run import REPO, environment

PROGRAM = """
import os, signal, sys, time
from synthenv.runs import interruption
from synthenv.runs.jax_setup import configure_jax
with interruption.heard():
    configure_jax(1, sys.argv[1])
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
        print("went on")
    except KeyboardInterrupt as interrupt:
        print("ended with", interruption.status(interrupt))
"""


def test_sigterm_is_heard_after_processes_have_met():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"{address},1,0"],
        cwd=REPO,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "ended with 143\n"), done.stderr
