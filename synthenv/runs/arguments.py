"""What every command can be told, and the names of agents. Imports nothing heavy, so that ``--help`` prints at once."""

import dataclasses
from pathlib import Path
from typing import Literal

AgentName = Literal[
    "ddqn",
    "dueling_ddqn",
    "td3",
    "td3_discrete",
    "ppo",
    "ppo_monte_carlo",
    "q_learning",
    "sarsa",
    "ddqn_icm",
    "dueling_ddqn_icm",
    "td3_icm",
    "td3_discrete_icm",
    "ppo_icm",
    "ppo_monte_carlo_icm",
    "as_evolved",
]


@dataclasses.dataclass(frozen=True)
class Common:
    """Options of every command.

    Attributes:
        seed: The only source of randomness.
        json: Write {"command", "config", "results"} to this file.
        devices: CPU devices to simulate, for trying out sharding; all cores are used either way.
        distributed: Be one of several processes: auto under SLURM or on a TPU pod, else
            HOST:PORT,NUM_PROCESSES,PROCESS_ID, where HOST is that of process 0.
    """

    seed: int = 0
    json: Path | None = None
    devices: int | None = None
    distributed: str | None = None
