"""What a search was asked, on record in its directory, and whether a directory is free for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import plain, remove
from synthenv.runs.storage import locked_directory, stored_config
from synthenv.runs.storage.locked_directory import RESULT
from synthenv.runs.storage.stored_config import CONFIG

NAME = "select run"
POOL, SELECTOR = "pool.json", "selector.safetensors"


def check_free(out: Path, resume: bool) -> None:
    """Refuse a directory that is not free for this search.

    Raises:
        UserError: it holds something else, or a search that is not to be resumed.
    """
    if not (out / CONFIG).exists():
        if locked_directory.is_begun(out) and not _is_half_begun(out):
            raise UserError(f"{out} is not empty and holds no search: choose another --out")
        return
    if stored_config.read(out)["config"].get("command") != NAME:
        raise UserError(f"{out} holds something else than a search: choose another --out")
    if not resume:
        state = "a finished" if (out / RESULT).exists() else "an unfinished"
        raise UserError(f"{out} holds {state} search: pass --resume to go on, or choose another --out")


def _is_half_begun(out: Path) -> bool:
    """Whether a search was killed there before its first decision."""
    return {entry.name for entry in out.iterdir() if not entry.name.startswith(".")} <= {POOL, SELECTOR}


def hold(out: Path, fixed: Mapping[str, Any], may_change: Mapping[str, Any]) -> None:
    """Hold a directory to what its search was begun with, or put that on record.

    Args:
        out: the directory, which is locked.
        fixed: what decides the outcome.
        may_change: what may be another when a search is taken up again, such as its budget.

    Raises:
        UserError: the search was begun with something else.
    """
    same, free = plain({"command": NAME, **fixed}), plain(may_change)
    stored = stored_config.read(out)["config"] if (out / CONFIG).exists() else None
    if stored is not None:
        before = {name: value for name, value in stored.items() if name not in free}
        stored_config.check_same(f"the search in {out} was", before, same)
    asked = same | free
    if stored != asked:
        remove(out / RESULT)
        stored_config.write(out, asked)
