"""What every command can be told. Imports nothing heavy, so that ``--help`` prints at once."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from synthenv.agents.presets import AGENTS
from synthenv.core.errors import UserError

AS_EVOLVED = "as_evolved"  # the agent that a proxy was evolved with, hyperparameters and all


@dataclasses.dataclass(frozen=True)
class Common:
    """Options of every command.

    Attributes:
        seed: The only source of randomness.
        json: Write {"command", "config", "results"} to this file.
        devices: CPU devices to simulate, for trying out sharding; all cores are used either way.
        distributed: Be one of several processes: auto under SLURM or on a TPU pod, else
            HOST:PORT,NUM_PROCESSES,PROCESS_ID, where HOST is that of process 0.
        imports: Files (my_agent.py) or modules that register tasks, agents, proxies and more of your own; any number of
            times.
    """

    seed: int = 0
    json: Path | None = None
    devices: int | None = None
    distributed: str | None = None
    imports: tyro.conf.UseAppendAction[
        Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="FILE")]
    ] = ()

    def check(self) -> None:
        """Refuse at once what would fail only after the work is done, or never be noticed.

        Raises:
            UserError: a number makes no sense, or --json cannot be written.
        """
        if self.devices is not None and self.devices < 1:
            raise UserError(f"--devices {self.devices} leaves nothing to compute on: pass 1 or more")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed {self.seed} is no seed: pass an integer from 0 to {2**32 - 1}")
        if self.json is not None and (self.json.is_dir() or not self.json.parent.is_dir()):
            cause = "it is a directory" if self.json.is_dir() else f"{self.json.parent} is no directory"
            raise UserError(f"cannot write {self.json}, because {cause}: pass another --json FILE")


Shared = Annotated[Common, tyro.conf.arg(name="")]  # its flags are spelled without a prefix
Command = TypeVar("Command")


def resumed(kind: Callable[..., Command], stored: Mapping[str, Any], **own: Any) -> Command:
    """The command whose run has this config, as far as its fields stand there by name.

    Args:
        kind: the dataclass of what the command can be told.
        stored: the config.
        own: fields that stand there in another form.
    """
    names = inspect.signature(kind).parameters
    asked = {name: value for name, value in stored.items() if name in names}
    return kind(**asked | own, common=Common(seed=stored.get("seed", 0)))


def check_agents(*names: str | None) -> None:
    """Refuse unknown agents; None leaves the choice to others.

    Raises:
        UserError: naming the nearest agent that there is.
    """
    for name in names:
        if name not in (None, AS_EVOLVED):
            AGENTS.find(name)


def described(words: tuple[str, ...]) -> dict[str, float]:
    """Read what ``--meta-features`` says of a data set, each word as NAME=VALUE.

    Raises:
        UserError: one is no NAME=NUMBER.
    """
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = math.nan
        if not math.isfinite(found[name]):
            raise UserError(f"--meta-features {word} is no NAME=NUMBER, such as classes=10")
    return found


def check_counts(arguments: Any, *names: str, idle: str = "does nothing") -> None:
    """Refuse numbers below 1; None is none.

    Raises:
        UserError: naming the first such flag.
    """
    for name in names:
        if (number := getattr(arguments, name)) is not None and number < 1:
            raise UserError(f"--{name.replace('_', '-')} {number} {idle}: pass 1 or more")
