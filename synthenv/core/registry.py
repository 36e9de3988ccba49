"""Things by name, and the one door through which ours and a user's come in.

    register(Task("Tank-v0", build=Tank, max_steps=200, solved_return=150.0))

Every kind of thing that can be added has a type with a name (``Task``, ``AgentConfig``, ``WorldModel``, ...) and a
:class:`Registry` beside it. ``register`` finds the registry by the type, so one word serves all of them. A file of a
user's is made known by :func:`load_extension`, which ``--import`` calls before a command looks up any name.
"""

import difflib
import hashlib
import importlib
import importlib.util
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from synthenv.core.errors import UserError

Entry = TypeVar("Entry")
_REGISTRIES: dict[type, "Registry[Any]"] = {}
_loaded: dict[str, str] = {}  # modules whose files are among the extensions
_typed_in: set[str] = set()  # names that a session has registered, of which no other process can know
_extensions: list[str] = []  # what was imported for what it registers
# Where the registries stand; imported by name when an entry comes before its registry.
_HOMES = (
    "synthenv.agents.presets",
    "synthenv.envs.tasks",
    "synthenv.nets.registry",
    "synthenv.outer.strategy",
    "synthenv.proxies.config",
    "synthenv.selection.search.methods",
    "synthenv.selection.surrogates.registry",
    "synthenv.selection.readers.registry",
    "synthenv.worldmodel.registry",
    "synthenv.worldmodel.small.prior.sample",
)


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The things of one kind by name, in the order in which they came.

    Args:
        what: how errors call one of them, such as "task".
        kind: the type of an entry; entries may be of a type derived from it.
        ours: what the package brings along; a user cannot put something else in its place.
        name_of: what an entry goes by.
        others: what errors say of names that need no entry.
    """

    def __init__(
        self,
        what: str,
        kind: type[Entry],
        ours: Iterable[Entry] = (),
        name_of: Callable[[Entry], Any] = attrgetter("name"),
        others: str = "",
    ):
        self.what, self._name_of, self._others = what, name_of, others
        self._entries: dict[str, Entry] = {}
        _REGISTRIES[kind] = self
        for entry in ours:
            self.add(entry)
        self._ours = frozenset(self._entries)

    def add(self, entry: Entry) -> None:
        """Add one. The same name again replaces a user's own, as when a cell of a notebook is run twice.

        Raises:
            UserError: the name is one of ours, or no name.
        """
        name = self._name_of(entry)
        if not isinstance(name, str) or not name or name != name.strip():
            raise UserError(f"a {self.what} needs a name to be registered by, not {name!r}")
        if name in getattr(self, "_ours", ()):
            raise UserError(
                f"synthenv has a {self.what} called {name!r} of its own: register yours by another name"
            )
        self._entries[name] = entry

    def find(self, name: str) -> Entry:
        """Look one up.

        Raises:
            UserError: the name is unknown; the message gives the closest known one and all of them.
        """
        if name not in self._entries:
            known = unknown(self.what, name, self._entries)
            raise UserError(f"{known}{self._others}; one of your own needs --import FILE")
        return self._entries[name]

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """What to say of a name that nothing answers to: the nearest one, and all."""
    known = list(known)
    close = nearest(str(name), known)
    hint = f"; did you mean {close!r}?" if close else ";"
    return f"unknown {what} {name!r}{hint} known ones: {', '.join(known)}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, upper and lower case being one; None if none is like it."""
    folded = {name.lower(): name for name in reversed(list(known))}
    close = difflib.get_close_matches(word.lower(), folded, n=1)
    return folded[close[0]] if close else None


def register(entry: Any) -> Any:
    """Make a thing of yours known by its name to every command and function; returns it.

    Args:
        entry: a ``Task``, an agent's or a proxy's config, a ``StrategyKind``, ``Shaping``, ``WorldModel``, ``Family``
            (of random systems to pretrain on), ``NetworkKind`` or ``Reader`` (of meta-data sets).

    Raises:
        UserError: nothing of this type can be registered, or the name is one of ours.
    """
    for home in ("", *_HOMES):
        if home:
            importlib.import_module(home)
        kind = next((kind for kind in type(entry).__mro__ if kind in _REGISTRIES), None)
        if kind is not None:
            _REGISTRIES[kind].add(entry)
            _keep_source(sys._getframe(1).f_globals, _REGISTRIES[kind]._name_of(entry))
            return entry
    kinds = ", ".join(sorted(kind.__name__ for kind in _REGISTRIES))
    raise UserError(f"register does not know what a {type(entry).__name__} is: pass one of {kinds}")


def _keep_source(module: dict[str, Any], entry: str) -> None:
    """Remember the file that has registered something, for processes that have to know of it, too."""
    name, file = module.get("__name__", "__main__"), module.get("__file__")
    if not file:
        _typed_in.add(entry)
        return
    _typed_in.discard(entry)
    if name != "__main__" and name not in _loaded and not name.startswith("synthenv."):
        _loaded[name] = str(file)
        _extensions.append(str(file))


def load_extension(place: str) -> None:
    """Run a file or import a module that registers things; a second time does nothing.

    Args:
        place: the path of a Python file (with a slash or ``.py``), or the dotted name of a module on the path.

    Raises:
        UserError: it is not there, or does not run.
    """
    is_file = place.endswith(".py") or "/" in place
    if is_file and not Path(place).is_file():
        raise UserError(
            f"there is no file {place} to import: pass the path of a Python file, or a module's name"
        )
    if place not in _extensions:
        _extensions.append(place)
    try:
        if is_file:
            _run_once(Path(place).resolve())
        else:
            _loaded[place] = place
            importlib.import_module(place)
    except Exception as error:
        _extensions.remove(place)
        _loaded.pop(place, None)  # so that it counts once it is mended and imported
        if isinstance(error, UserError):
            raise
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"--import {place} failed ({line}): see that it runs by itself") from error


def extensions() -> tuple[str, ...]:
    """What :func:`load_extension` has loaded, as it was asked for; a process that we start needs the same."""
    return tuple(_extensions)


def check_known_elsewhere(*names: str) -> None:
    """See that processes of their own can know of these names.

    Raises:
        UserError: one was registered in a cell of a notebook or at a prompt.
    """
    for name in set(names) & _typed_in:
        raise UserError(
            f"{name} was registered in this session, and processes of their own know nothing of it: put it into a file"
            " and import that"
        )


def import_words() -> str:
    """The words that load the same extensions, with a space before each; empty if there are none."""
    return "".join(f" --import {shlex.quote(place)}" for place in _extensions)


def _run_once(path: Path) -> None:
    """Import a file as a module of its own, beside which its neighbours can be imported."""
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name], _loaded[name] = module, str(path)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name], _loaded[name]
        raise
