"""Running a peer's script with the interpreter of its own environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def run_peer(script: str, variable: str, seeds: list[int], **options: Any) -> dict[str, Any]:
    """The line that a script in ``peers/`` prints, or why there is none.

    Args:
        script: its name.
        variable: environment variable that names the interpreter.
        seeds: passed as ``--seeds``.
        options: passed as ``--name value``.
    """
    absent = {"peer": script, "config": {"settings": options.get("settings", "own")}}
    python = os.environ.get(variable)
    if not python:
        return absent | {"note": f"skipped: {variable} is not set"}
    words = [x for name, value in options.items() for x in (f"--{name.replace('_', '-')}", value)]
    command = [python, HERE / "peers" / script, *words, "--seeds", *seeds]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        return absent | {"note": f"failed: {done.stderr.strip().splitlines()[-1]}"}
    return json.loads(done.stdout.splitlines()[-1])
