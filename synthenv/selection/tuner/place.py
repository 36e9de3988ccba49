"""Functions in files, which every process that needs them imports by itself. Imports nothing heavy."""

import hashlib
import importlib.util
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from synthenv.core.errors import UserError


class Place(NamedTuple):
    """A function in a file, which every process that needs it imports by itself."""

    file: str
    name: str = "objective"


def parse_place(text: str) -> Place:
    """``my_objective.py[:function]``."""
    file, _, name = text.rpartition(":") if ":" in text and not text.endswith(".py") else (text, "", "")
    return Place(str(Path(file or text).resolve()), name or "objective")


def load(objective: Any) -> Callable[..., Any]:
    """The function itself.

    Raises:
        UserError: its file is not there, does not run, or has no such function.
    """
    if not isinstance(objective, Place):
        return objective
    function = load_named(Path(objective.file), objective.name)
    if not callable(function):
        raise UserError(f"{objective.name} of {objective.file} is no function: name one as FILE:NAME")
    return function


def load_named(path: Path, name: str) -> Any:
    """What a Python file calls by a name.

    Raises:
        UserError: the file is not there, does not run, or has nothing of this name.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}: check the path")
    module = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if module not in sys.modules:
        _run_file(path, module)
    if not hasattr(sys.modules[module], name):
        raise UserError(f"{path} has no {name}: write one, or name another as {path.name}:NAME")
    return getattr(sys.modules[module], name)


def _run_file(path: Path, name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # its neighbours
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception):
            raise
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{path} does not run ({line}): see that it runs by itself") from error


def name_of(objective: Any) -> str:
    """What an objective goes by."""
    if isinstance(objective, Place):
        return f"{objective.file}:{objective.name}"
    return getattr(objective, "__qualname__", type(objective).__name__)


def not_portable(objective: Any) -> str:
    """Why another process could not have it; nothing if it could."""
    if isinstance(objective, Place):
        return ""
    import __main__

    if getattr(objective, "__module__", None) == "__main__" and not hasattr(__main__, "__file__"):
        return "it was typed in"
    module = sys.modules.get(getattr(objective, "__module__", None) or "")
    if module is not None and module is not __main__ and module.__spec__ is None:
        return "its module cannot be imported"
    try:
        pickle.dumps(objective)
    except Exception as error:
        return str(error).splitlines()[0]
    return ""
