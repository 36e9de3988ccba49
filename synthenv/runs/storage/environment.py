"""The environment of a run, which decides its last bits beside its config, and how it was started."""

import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from synthenv import __version__

_WATCHED = ("synthenv", "jax", "device_kind", "num_devices")


def environment() -> dict[str, Any]:
    """Return versions, device, flags and command line of this process."""
    device = jax.devices()[0]
    return {
        "synthenv": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device_kind": f"{device.platform}: {device.device_kind}",
        "num_devices": jax.device_count(),
        "flags": {name: value for name, value in os.environ.items() if name.startswith(("JAX_", "XLA_"))},
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%d %H:%M:%S%z"),
    }


def changes_since(then: Mapping[str, Any]) -> list[str]:
    """Describe in a line each difference from the environment that began a run."""
    now = environment()
    return [
        f"{name} was {then.get(name)} and is {now[name]}: results may differ from those of an uninterrupted run"
        for name in _WATCHED
        if then.get(name) != now[name]
    ]
