"""From keyword arguments to the words of the command line, and from these to results."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from synthenv import cli
from synthenv.runs import interruption
from synthenv.runs.meta_train.arguments import MetaTrain
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.storage.locked_directory import CONFIG
from synthenv.runs.tune.arguments import Tune

_RESUMED_BY = {MetaTrain: "meta_train", OswmRun: "dream", Tune: "tune"}
_SETTINGS = (
    "jax_enable_x64",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_random_seed_offset",
)


Place = str | os.PathLike[str]  # a name, the path of a directory, or the result whose directory it is


def words_of(flags: Mapping[str, Any]) -> list[str]:
    """Flags as the command line has them; what is None is not said.

    ``{"num_agents": 3, "outer__num_generations": 5, "baselines": True}`` becomes
    ``--num-agents 3 --outer.num-generations 5 --baselines``.
    """
    words = []
    for name, value in flags.items():
        *path, last = name.replace("__", ".").replace("_", "-").split(".")
        if isinstance(value, bool):
            words.append("--" + ".".join([*path, last if value else f"no-{last}"]))
        elif value is not None:
            values = value if isinstance(value, list | tuple) else [value]
            words += ["--" + ".".join([*path, last]), *map(place_of, values)]
    return words


def place_of(value: Any) -> str:
    """A word of the command line: a result or a path stands for its directory, whatever is shipped by that name."""
    if not isinstance(value, os.PathLike):
        return str(value)
    path = os.fspath(value)
    return path if os.path.isabs(path) else os.path.join(".", path)


def carry_out(*words: str) -> tuple[cli.Command, dict[str, Any]]:
    """Carry out a command line, and show how it goes.

    Returns:
        the command, all defaults and its directory filled in, and its results.

    Raises:
        UserError: what the command line would have answered, in one line.
        KeyboardInterrupt: after a line that tells how to go on.
    """
    with interruption.heard(), _settings_kept(), cli.prepared(cli.parse(list(words))) as command:
        try:
            return command, cli.run(command)
        except KeyboardInterrupt:
            _tell_how_to_go_on(command)
            raise


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """Commands choose how JAX computes; afterwards it is as the caller had it."""
    import jax

    # Read in a thread of its own: a context of the caller's, such as jax.enable_x64, is not to become everybody's.
    with ThreadPoolExecutor(1) as thread:
        before = thread.submit(lambda: {name: getattr(jax.config, name) for name in _SETTINGS}).result()
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def _tell_how_to_go_on(command: cli.Command) -> None:
    from synthenv.runs.display.terminal import say

    out = getattr(command, "out", None)
    if type(command) in _RESUMED_BY and out is not None and (out / CONFIG).exists():
        say(f"interrupted; synthenv.{_RESUMED_BY[type(command)]}(out={str(out)!r}, resume=True) goes on")
