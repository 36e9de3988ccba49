"""Say in one line what is wrong with words that tyro refuses, and name the nearest right one. Imports are light."""

import re
from collections import deque
from collections.abc import Mapping, Sequence

from synthenv.core.registry import nearest
from synthenv.runs.flags import Flag, any_of

Flags = Sequence[Flag]


def no_command(words: Sequence[str], names: Sequence[str]) -> str:
    """Say what is wrong with words that begin with none of these commands."""
    first, second = [*words, "", ""][:2]
    if not first or first.startswith("-"):
        place = f" before {first}" if first else ""
        return f"pass a command{place}: {any_of(names)} (synthenv --help says what each does)"
    inner = [name.split()[1] for name in names if name.startswith(f"{first} ")]
    if inner and (not second or second.startswith("-")):
        return (
            f"{first} alone does nothing: pass {first} {any_of(inner)} (synthenv --help says what each does)"
        )
    asked = f"{first} {second}" if inner else first
    close = next((name for name in names if name.endswith(f" {first}")), None)
    close = close or nearest(asked, names) or nearest(f"{first} {second}", names)
    return f"there is no command {asked}: " + (f"did you mean {close}?" if close else f"pass {any_of(names)}")


def wrong_word(name: str, flags: Flags, words: Sequence[str], others: Mapping[str, Flags]) -> str | None:
    """Say what is wrong with the words behind a command; None if the flags show nothing.

    Args:
        name: of the command.
        flags: those that it has.
        words: of the command line, without the command.
        others: the flags of other commands, by what to type for these.
    """
    spellings = {spelling: flag for flag in flags for spelling in flag.spellings}
    room = sum(len(words) if flag.repeats else 1 for flag in flags if flag.is_positional)
    rest, passed, bare = deque(words), [], 0
    while rest:
        word = rest.popleft()
        key, equals, attached = word.partition("=")
        flag = spellings.get(key.replace("_", "-"))
        if flag is not None:
            if (group := _group_of(flag, flags)) and group not in passed:
                return f"{key} needs {group.names[0]} before it"
            passed.append(flag)
            values = [attached] if equals else _values_of(flag, rest)
            if fault := _wrong_value(key, flag, values):
                return fault
        elif _is_flag(word):
            return _unknown_flag(name, key, list(spellings), others)
        else:
            bare += word != "--"
            if bare > room:
                return _bare_word(name, word, spellings)
    for flag in flags:
        if flag.is_required and flag not in passed and not (flag.is_positional and bare):
            return f"{name} needs {flag.names[0]}: {flag.text[0].lower()}{flag.text[1:].rstrip('.')}"
    return None


def in_one_line(box: str) -> str:
    """Return tyro's own message in one line, for errors that the flags do not show."""
    return " ".join(re.sub(r"[\u2500-\u257f]|-{4,}", " ", box).split())


def _group_of(flag: Flag, flags: Flags) -> Flag | None:
    """Return the word that a flag needs before it, such as ``agent.curiosity:icm-config``."""
    path = flag.names[0].removeprefix("--")
    return next((word for word in flags if path.startswith(f"{word.names[0].partition(':')[0]}.")), None)


def _values_of(flag: Flag, rest: deque[str]) -> list[str]:
    """Take the values of a flag off the words that follow it."""
    values: list[str] = []
    while rest and not _is_flag(rest[0]) and (flag.repeats or len(values) < len(flag.kinds)):
        values.append(rest.popleft())
        if flag.is_optional and values == ["None"]:
            break
    return values


def _wrong_value(key: str, flag: Flag, values: Sequence[str]) -> str | None:
    wrong = values[0] if values and not flag.kinds else flag.misfit(values)
    if wrong is not None:
        close = nearest(wrong, flag.choices)
        return f"{key} takes {flag.wants}, not {wrong!r}" + (f": did you mean {close}?" if close else "")
    if len(values) < len(flag.kinds) and not flag.repeats and list(values) != ["None"]:
        return f"{key} takes {flag.wants}: pass {'more' if values else 'one'} after it"
    return None


def _unknown_flag(name: str, key: str, own: Sequence[str], others: Mapping[str, Flags]) -> str:
    spelling = f"--{key.lstrip('-').replace('_', '-')}"
    owners = [other for other, flags in others.items() if any(spelling in flag.spellings for flag in flags)]
    owners = [] if spelling in own else owners
    close = _like(spelling, own)
    if any(owner.startswith(f"{name} ") for owner in owners):  # the same command has it in another form
        close = []
    said = f"{name} has no flag {key}"
    if close:
        return f"{said}: did you mean {any_of(close)}?" + (
            f" ({any_of(owners)} has {spelling})" if owners else ""
        )
    if owners:
        return f"{said}, but {any_of(owners)} has: synthenv {name} --help lists its own"
    return f"{said}: synthenv {name} --help lists those that it has"


def _like(spelling: str, own: Sequence[str]) -> list[str]:
    """The flags that may have been meant, by the last parts of their names; of an unknown place by the whole."""
    place, _, asked = spelling[2:].lower().rpartition(".")
    lasts = {word: word[2:].rpartition(".")[2] for word in own if word.startswith("--")}
    near = {word: last for word, last in lasts.items() if not place or word == f"--{place}.{last}"}
    elsewhere = [word for word, last in lasts.items() if last == asked]
    shortened = [word for word, last in near.items() if len(asked) > 1 and _shortens(asked, last)]
    for found in (elsewhere, shortened):
        outermost = min((word.count(".") for word in found), default=0)
        found = [word for word in found if word.count(".") == outermost]
        if 0 < len(found) < 4:
            return found
    if place and near:
        last = nearest(asked, near.values())
        return [f"--{place}.{last}"] if last else []
    close = nearest(spelling, own)
    return [close] if close else []


def _shortens(asked: str, last: str) -> bool:
    """Whether it is the beginning of the last part of a flag's name, or its initials, as ``lr`` of learning-rate."""
    return last.startswith(asked) or asked == "".join(part[0] for part in last.split("-"))


def _bare_word(name: str, word: str, own: Mapping[str, Flag]) -> str:
    close = f"--{word}" if f"--{word}" in own else nearest(word, [name for name in own if ":" in name])
    if close:
        return f"no flag takes {word!r}: did you mean {close}?"
    return f"no flag takes {word!r}: put its own flag before it (synthenv {name} --help lists them)"


def _is_flag(word: str) -> bool:
    """Return whether a word is meant as a flag; ``-5`` and ``-inf`` are numbers."""
    return re.match(r"--?[a-zA-Z]", word) is not None and word.lower() not in ("-inf", "-nan", "-infinity")
