"""What ``--help`` prints, of all commands or of one. Imports nothing heavy."""

import dataclasses
import inspect
import shutil
import textwrap
from collections.abc import Mapping, Sequence

from synthenv.runs.flags import Flag

_MARGIN = 22
_MOST_COLUMNS = 110


def of_several(words: Sequence[str], kinds: Mapping[str, type]) -> str | None:
    """Each command in a line: all of them, or those of a group; None if the words name no group.

    Args:
        words: of the command line, ``--help`` among them.
        kinds: the arguments of the commands by their names.
    """
    group = "" if words[0].startswith("-") else f"{words[0]} "
    chosen = {name: kind for name, kind in kinds.items() if name.startswith(group)}
    if not chosen or len(words) > bool(group) + 1:
        return None
    lines = [f"  {name:<{_MARGIN - 4}}{_description(kind).splitlines()[0]}" for name, kind in chosen.items()]
    foot = "synthenv COMMAND --help lists what a command can be told, with an example."
    return "\n".join([f"usage: synthenv {group}COMMAND [flags]", "", *lines, "", foot])


def of_one(kind: type, name: str, example: str, flags: Sequence[Flag], is_all: bool) -> str:
    """What a command does and can be told.

    Args:
        kind: its arguments.
        name: the words that call it.
        example: words to pass to it.
        flags: everything that it can be told.
        is_all: list the fields of its configs, too, whose flags have a dot in their names.
    """
    shown = [flag for flag in flags if is_all or any("." not in word for word in flag.names)]
    values = "".join(f" {flag.names[0]}" for flag in flags if flag.is_positional)
    lines = [f"usage: synthenv {name}{values} [flags]", "", _description(kind), ""]
    lines += [f"  synthenv {name} {example}", ""]
    lines += [line for flag in shown for line in _lines(flag)]
    if len(shown) < len(flags):
        lines += [
            "",
            f"synthenv {name} --help-all lists {len(flags) - len(shown)} more, one for every field of the preset.",
        ]
    return "\n".join(lines)


def _description(kind: type) -> str:
    """The docstring of a command's arguments without what it says of each."""
    return inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:")[0]


def _lines(flag: Flag) -> list[str]:
    """A flag, what it takes, what it is and what holds without it."""
    width = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
    head = " ".join(
        [", ".join(sorted(flag.spellings or flag.names, key=lambda word: "." in word)), flag.metavar]
    ).rstrip()
    shown = flag.default if isinstance(flag.default, tuple) else (flag.default,)
    is_told = not any(flag.default is nothing for nothing in (None, False, dataclasses.MISSING, ()))
    default = f" (default: {' '.join(map(str, shown))})" if is_told else ""
    margin = " " * _MARGIN
    lines = textwrap.wrap(flag.text + default, width, initial_indent=margin, subsequent_indent=margin)
    if lines and len(head) + 4 <= _MARGIN:
        return [f"  {head:<{_MARGIN - 2}}{lines[0].lstrip()}", *lines[1:]]
    wrapped = textwrap.wrap(
        head, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )
    return [*wrapped, *lines]
