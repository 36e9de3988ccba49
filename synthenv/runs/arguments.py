"""What every command can be told. Imports nothing heavy, so that ``--help`` prints at once."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro


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
