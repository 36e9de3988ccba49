"""What every experiment's command shares: presets that flags override, JAX set up like ``synthenv``, clear errors."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import tyro

from synthenv.cli import configure_jax
from synthenv.core.errors import UserError
from synthenv.core.files import check_place
from synthenv.runs import interruption

Config = TypeVar("Config")


def parse(presets: Mapping[str, Config], argv: Sequence[str] | None = None) -> Config:
    """Parse a command line; ``--preset`` decides which defaults the other flags override.

    Args:
        presets: configs by name, the default one first; each knows its name as its field ``preset``.
        argv: arguments, those of the process if None.
    """
    argv = sys.argv[1:] if argv is None else argv
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default=next(iter(presets)))
    name = first.parse_known_args(argv)[0].preset
    default = presets.get(name, next(iter(presets.values())))  # tyro refuses an unknown name with its choices
    return tyro.cli(type(default), args=argv, default=default)


def execute(config: Config, *stages: Callable[[Config], Any]) -> int:
    """Configure JAX and carry out the stages, once ``config.out`` is known to be a place that can be written.

    Returns:
        the exit status: 2 after a user's error, 130 after Ctrl-C, 143 after SIGTERM.
    """
    with interruption.heard():
        try:
            configure_jax(None)
            if (out := getattr(config, "out", None)) is not None:
                check_place(out)
            for stage in stages:
                stage(config)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as interrupt:
            print("\ninterrupted", file=sys.stderr)
            return interruption.status(interrupt)
    return 0
