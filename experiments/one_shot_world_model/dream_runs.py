"""``oswm run`` directories that an experiment begins, goes on with after a stop, or leaves alone if finished."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.runs.oswm.run import run as oswm_run
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.storage import metrics
from synthenv.runs.storage.locked_directory import RESULT
from synthenv.runs.storage.stored_config import stored_config, with_contents


def finish(command: OswmRun, path: Path) -> list[dict[str, Any]]:
    """Bring a run to its end; returns its lines, a dict a seed.

    Args:
        command: what to do; where, and whether to resume, is decided here.
        path: the run directory.

    Raises:
        UserError: if ``path`` holds a finished run of other arguments, or see ``runs.oswm.run.run``.
    """
    if (path / RESULT).exists():
        _refuse_another(path, oswm_run.asked_for(command, path))
    else:
        oswm_run.run(
            replace(command, out=path, resume=True), path, tell=lambda line: _show(path, line), notify=print
        )
    return metrics.read(path)


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a run was asked for, and its lines so far.

    Raises:
        UserError: if it is no ``oswm run``, or none of its seeds is done.
    """
    if not (asked := stored_config(path)):
        raise UserError(f"{path} holds no run that can be read: pass directories of synthenv oswm run")
    if asked.get("command") != "oswm run":
        raise UserError(f"{path} holds a run of another command: pass directories of synthenv oswm run")
    lines = metrics.read(path)
    if not lines:
        raise UserError(f"no seed of {path} is done yet: wait for the first one")
    return asked, lines


def _refuse_another(path: Path, wanted: dict[str, Any]) -> None:
    wanted = plain(wanted)
    stored = with_contents(stored_config(path), wanted)
    for name, value in wanted.items():
        if stored.get(name) != value:
            raise UserError(
                f"{path} holds a finished run with {name} = {stored.get(name)}, not {value}: choose another --out"
            )


def _show(path: Path, line: dict[str, Any]) -> None:
    """Tell how a run goes."""
    print(
        f"{path.name}  seed {line['generation']}  return {line['final_return']:.4g}"
        f"  {line['encode_seconds'] + line['train_seconds']:.1f} s",
        flush=True,
    )
