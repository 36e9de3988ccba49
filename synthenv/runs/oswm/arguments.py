"""The subcommands of ``synthenv oswm`` together, and how they are resumed. Imports nothing heavy."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from synthenv.runs.arguments import Common
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark
from synthenv.runs.oswm.pretrain.arguments import OswmPretrain
from synthenv.runs.oswm.run.arguments import OswmRun


@dataclasses.dataclass(frozen=True)
class OswmPlot:
    """Draw the curves of an oswm run or oswm pretrain again, or of what is done of it.

    Attributes:
        run: Its directory.
    """

    run: Annotated[Path, tyro.conf.Positional]
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)


@dataclasses.dataclass(frozen=True)
class Oswm:
    """One-shot world models: policies from a thousand real steps, learnt in a dream of the task.

    Attributes:
        command: What to do.
    """

    command: Annotated[
        Annotated[OswmRun, tyro.conf.subcommand("run")]
        | Annotated[OswmPretrain, tyro.conf.subcommand("pretrain")]
        | Annotated[OswmBenchmark, tyro.conf.subcommand("benchmark")]
        | Annotated[OswmPlot, tyro.conf.subcommand("plot")],
        tyro.conf.arg(name=""),
    ]


def resumed(word: str, stored: Mapping[str, Any]) -> OswmRun | OswmPretrain:
    """The arguments of the run to resume; those of another command's run are left to its directory to refuse.

    Args:
        word: which command goes on, run or pretrain.
        stored: the config of the run.
    """
    is_own = stored.get("command") == f"oswm {word}"
    common = Common(seed=stored.get("seed", 0))
    if word == "pretrain":
        return _resumed_pretrain(stored, common) if is_own else OswmPretrain()
    if not is_own:
        return OswmRun()
    asked = {field.name: stored[field.name] for field in dataclasses.fields(OswmRun) if field.name in stored}
    if asked.get("context_file") is not None:
        asked["context_file"] = Path(asked["context_file"])
    return OswmRun(**asked, common=common)


def _resumed_pretrain(stored: Mapping[str, Any], common: Common) -> OswmPretrain:
    return OswmPretrain(
        preset=stored.get("preset"),
        steps=stored.get("pretrain", {}).get("num_steps"),
        steps_per_line=stored.get("steps_per_line"),
        common=common,
    )
