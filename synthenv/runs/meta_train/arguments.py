"""What ``synthenv meta-train`` can be told. Imports nothing heavy."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from synthenv.core.errors import UserError
from synthenv.runs.arguments import Common, Shared
from synthenv.runs.meta_train import presets
from synthenv.runs.meta_train.config import MetaTrainConfig, from_stored


@dataclasses.dataclass(frozen=True)
class MetaTrain:
    """Evolve a proxy of a task: a synthetic environment, bandit or reward network.

    Every field of the preset has a flag that overrides it.

    Attributes:
        out: Run directory to write; a new one under runs/ if not given.
        preset: Named configuration that the other flags override; synthenv list tells which there are.
        agent: The learner, on the preset's schedule; one that fits the task's actions if not given.
        proxy: Form of the proxy: se (MDP), scb (contextual bandit), rn (reward network, whose flags
            --proxy rn --help-all lists), or one of your own.
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
    common: Shared = dataclasses.field(default_factory=Common)

    def stem(self) -> str:
        """What its directory under runs/ is called if --out is not given."""
        return f"{self.proxy}-{self.config.task}-{self.preset}-seed{self.common.seed}"

    def check(self) -> None:
        """Refuse two forms of proxy at once.

        Raises:
            UserError: the two flags contradict each other.
        """
        if self.proxy != self.config.proxy.kind:
            raise UserError(
                f"--proxy {self.proxy} and --proxy.form contradict each other: pass --proxy se, scb or rn alone"
            )


def meta_train_defaults(
    option: Callable[[str], str | None], stored: Mapping[str, Any] | None, is_resumed: bool
) -> MetaTrain:
    """What holds where no flag says otherwise: the fields of the run to resume, or of the preset.

    Args:
        option: what the command line says behind a flag, if anything.
        stored: the config of the run to resume, if there is one.
        is_resumed: whether --resume is passed.

    Raises:
        UserError: there is no such preset, or --variant without a reward network.
    """
    name, said, agent = (option(flag) for flag in ("--preset", "--proxy", "--agent"))
    if option("--variant") and said != "rn" and not is_resumed:
        raise UserError("--variant is for reward networks: add --proxy rn")
    if stored and (name, said, agent) == (None, None, None):
        config = from_stored(stored)
        return MetaTrain(proxy=config.proxy.kind, config=config, common=Common(seed=stored.get("seed", 0)))
    form = said or "se"
    return MetaTrain(proxy=form, config=presets.preset(form, name, option("--task"), agent))
