"""What ``synthenv meta-train`` can be told. Imports nothing heavy."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from synthenv.runs.arguments import Common
from synthenv.runs.meta_train import presets
from synthenv.runs.meta_train.config import MetaTrainConfig


@dataclasses.dataclass(frozen=True)
class MetaTrain:
    """Evolve a proxy of a task: a synthetic environment (se), a synthetic bandit (scb), a reward network (rn), yours.

    Any field of the preset can be overridden by its flag below.

    Attributes:
        out: Run directory to write; a new one under runs/ if not given.
        preset: Named configuration that the other flags override; synthenv list tells which there are.
        agent: The learner, on the preset's schedule; one that fits the task's actions if not given.
        proxy: Form of the proxy: se (MDP), scb (contextual bandit) or rn (reward network, whose flags --proxy rn
            --help lists).
        resume: Go on with the unfinished run in --out, whose flags need not be repeated, or with a finished one that is
            asked for more with a larger --outer.num-generations; where there is none, begin what the flags say.
        config: The preset's fields.
    """

    out: Path | None = None
    preset: str = presets.DEFAULT
    proxy: str = "se"
    agent: str | None = None
    resume: bool = False
    config: Annotated[MetaTrainConfig, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=presets.preset
    )
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"{self.proxy}-{self.config.task}-{self.preset}-seed{self.common.seed}"
