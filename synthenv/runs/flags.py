"""The flags of a command, read off its arguments dataclass: what ``--help`` lists and what errors reason about.

Tyro alone decides what is accepted and makes the arguments of it. Imports nothing heavy.
"""

import dataclasses
import inspect
import re
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import tyro

# How a value is called in a list of flags and in a sentence.
_KINDS = {int: ("INT", "an integer"), float: ("NUMBER", "a number"), Path: ("PATH", "a path")}
_TEXT = ("TEXT", "a value")


class Flag(NamedTuple):
    """One thing that a command can be told.

    Attributes:
        names: its spellings, the one with the path in the config first; of a positional what stands for its values.
        kinds: type of each value; none of a switch.
        repeats: whether it takes any number of values, all of the one kind.
        is_optional: whether it takes None.
        is_positional: whether its values stand by themselves.
        default: what holds if it is not passed; ``dataclasses.MISSING`` if it has to be.
        text: what it is.
    """

    names: tuple[str, ...]
    kinds: tuple[Any, ...]
    repeats: bool
    is_optional: bool
    is_positional: bool
    default: Any
    text: str

    @property
    def metavar(self) -> str:
        """Its values in a list of flags, such as ``INT INT``."""
        shown = [
            f"{{{','.join(get_args(kind))}}}" if get_origin(kind) is Literal else _KINDS.get(kind, _TEXT)[0]
            for kind in self.kinds
        ]
        return " ".join(shown) + " ..." * self.repeats

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that there are, if they can be told."""
        return get_args(self.kinds[0]) if self.kinds and get_origin(self.kinds[0]) is Literal else ()

    @property
    def is_required(self) -> bool:
        """Whether it has to be passed; of values that repeat there may be none."""
        return self.default is dataclasses.MISSING and not self.repeats

    @property
    def spellings(self) -> tuple[str, ...]:
        """What to type for it; a switch can be turned off, too."""
        if self.is_positional:
            return ()
        head, _, tail = self.names[0].rpartition(".")
        off = f"{head}.no-{tail}" if head else f"--no-{tail[2:]}"
        return (*self.names, off) if self.names[0].startswith("--") and not self.kinds else self.names

    @property
    def wants(self) -> str:
        """Its values in a sentence, such as ``an integer`` or ``plateau, solved or none``."""
        if not self.kinds:
            return "no value"
        one = any_of(self.choices) if self.choices else _KINDS.get(self.kinds[0], _TEXT)[1]
        return f"{len(self.kinds)} values, each {one}" if len(self.kinds) > 1 else one

    def misfit(self, values: Sequence[str]) -> str | None:
        """The first of the values that is of the wrong kind."""
        if self.is_optional and values == ["None"]:
            return None
        kinds = self.kinds * len(values) if self.repeats else self.kinds
        return next((word for word, kind in zip(values, kinds, strict=False) if not _is_a(kind, word)), None)


def flags_of(kind: type, default: Any = None) -> list[Flag]:
    """Every flag of an arguments dataclass.

    Args:
        kind: the dataclass.
        default: an instance that flags override, which decides what nested configs there are; its defaults if None.
    """
    return list(_flags(kind, default, ""))


def any_of(words: Sequence[str]) -> str:
    """``a, b or c``."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _flags(kind: type, default: Any, prefix: str) -> Iterator[Flag]:
    texts = _texts(kind)
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if get_origin(hint) is ClassVar:
            continue
        value = _default(kind, name) if default is None else getattr(default, name)
        text, name = texts.get(name, ""), _said(hint, "name") or name
        path = f"{prefix}{name.replace('_', '-')}"
        configs = [part for part in get_args(_bare(hint)) if _is_config(part)]
        if configs and tyro.conf.AvoidSubcommands not in _marks(hint):
            words = tuple(f"{path}:{_word(part)}" for part in get_args(_bare(hint)))
            yield Flag(words, (), False, False, False, value, text)
        if _is_config(type(value)) or configs:
            inner, value = (type(value), value) if _is_config(type(value)) else (configs[0], None)
            yield from _flags(inner, value, prefix if _said(hint, "name") == "" else f"{path}.")
        else:
            yield _flag(path, hint, value, text)


def _flag(path: str, hint: Any, default: Any, text: str) -> Flag:
    """The flag of one field."""
    is_positional = tyro.conf.Positional in _marks(hint)
    names = (f"--{path}", *(_said(hint, "aliases") or ()))
    if is_positional:
        names = (_said(hint, "metavar") or path.upper(),)
    bare = _bare(hint)
    parts = get_args(bare) if get_origin(bare) in (Union, types.UnionType) else (bare,)
    kind = next(_bare(part) for part in parts if part is not types.NoneType)
    kinds = get_args(kind) if get_origin(kind) is tuple else () if kind is bool else (kind,)
    bare_kinds = tuple(_bare(part) for part in kinds if part is not Ellipsis)
    repeats = Ellipsis in kinds and tyro.conf.UseAppendAction not in _marks(hint)
    return Flag(names, bare_kinds, repeats, types.NoneType in parts, is_positional, default, text)


def _texts(kind: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of their attributes."""
    texts = {}
    for base in reversed(kind.__mro__):
        section = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")[2]
        for name, text in re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", section, re.MULTILINE):
            texts[name] = " ".join(text.split())
    return texts


def _default(kind: type, name: str) -> Any:
    """What a field holds if nobody says otherwise."""
    if not dataclasses.is_dataclass(kind):
        return kind._field_defaults.get(name, dataclasses.MISSING)  # type: ignore[attr-defined]
    field = next(field for field in dataclasses.fields(kind) if field.name == name)
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _is_a(kind: Any, word: str) -> bool:
    """Whether a word can be read as a value of this type."""
    if get_origin(kind) is Literal:
        return word in get_args(kind)
    if kind not in (int, float):
        return True
    try:
        kind(word)
    except ValueError:
        return False
    return True


def _is_config(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or hasattr(kind, "_field_defaults")


def _word(kind: type) -> str:
    """How tyro calls a part of a union, such as ``icm-config``."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*", kind.__name__)
    return "none" if kind is types.NoneType else "-".join(words).lower()


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _marks(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__metadata__", ())


def _said(hint: Any, what: str) -> Any:
    """What ``tyro.conf.arg`` says of a field."""
    return next((getattr(mark, what) for mark in _marks(hint) if hasattr(mark, what)), None)
