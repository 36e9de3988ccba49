"""Draw the curves of a run again, as ``synthenv oswm plot`` does."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.registry import import_words
from synthenv.runs.display.terminal import counted, say
from synthenv.runs.oswm.arguments import OswmPlot
from synthenv.runs.oswm.pretrain import plot as pretrain_plot
from synthenv.runs.oswm.run import plot as oswm_plot
from synthenv.runs.oswm.run.real_tasks import real_task
from synthenv.runs.storage import metrics
from synthenv.runs.storage.stored_config import stored_config


def told_of(config: Mapping[str, Any]) -> tuple[str, float | None]:
    """Return what an oswm run dreams of, and the return from which on that is solved, if there is one."""
    if config["task"] is None:
        return Path(config["context_file"]).name, None
    return config["task"], real_task(config["task"], config.get("episode_steps")).solved_return


def plot(command: OswmPlot) -> dict[str, Any]:
    """Draw the curves of a run, of either command, again."""
    path: Path = command.run
    config = stored_config(path)
    kind = config.get("command")
    if kind not in ("oswm run", "oswm pretrain"):
        raise UserError(f"{path} holds no oswm run and no oswm pretrain: pass the directory of one")
    lines = metrics.read(path)
    if not lines:
        named = f"{shlex.quote(str(path))}{import_words()}"
        raise UserError(f"nothing of {path} is done: go on with synthenv {kind} --resume --out {named}")
    if kind == "oswm pretrain":
        file = pretrain_plot.write(lines, path / "plots", config["preset"] or "a world model")
        count = {"num_lines": len(lines)}
    else:
        file = oswm_plot.write(lines, path / "plots", *told_of(config))
        count = {"num_seeds": len(lines)}
        say(f"{len(lines)} of {counted(config['seeds'], 'seed')} done")
    say(f"curves: {file}")
    return {"file": str(file), **count}
