"""Reading a command line: which command it names, what it is told, and its help. Imports nothing heavy."""

import contextlib
import functools
import io
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from synthenv import __version__
from synthenv.core.errors import UserError
from synthenv.core.registry import load_extension
from synthenv.runs import argument_errors, help_text
from synthenv.runs.arguments import resumed
from synthenv.runs.demo.arguments import Demo
from synthenv.runs.flags import flags_of
from synthenv.runs.meta_train.arguments import MetaTrain, meta_train_defaults
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark, benchmark_defaults
from synthenv.runs.oswm.pretrain.arguments import OswmPretrain
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.select.run.arguments import SelectRun
from synthenv.runs.select.simulate.arguments import SelectSimulate
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.stored_config import stored_config
from synthenv.runs.tune.arguments import Tune

_HELP = {"-h", "--help", "--help-all"}
# Flags that do not say what is to be done.
_AROUND = {
    "--resume",
    "--out",
    "--json",
    "--devices",
    "--distributed",
    "--workers",
    "--num-workers",
    "--import",
}


class Row(NamedTuple):
    """One command.

    Attributes:
        name: the words that call it.
        carried_out_by: a function of the parsed command that returns its results, by its place under synthenv.runs.
        example: words to pass to it.
    """

    name: str
    carried_out_by: str
    example: str


Rows = Mapping[type, Row]


def read(argv: list[str], rows: Rows) -> Any:
    """Parse a command line; presets and resumed runs decide which defaults it shows and takes.

    Args:
        argv: its words.
        rows: all commands by their arguments.

    Raises:
        UserError: it cannot be understood; the message names the wrong word and the nearest right one.
        SystemExit: help or the version was asked for and printed.
    """
    if argv == ["--version"]:
        print(f"synthenv {__version__}")
        raise SystemExit(0)
    names = {row.name: kind for kind, row in rows.items()}
    name = next((name for name in names if argv[: name.count(" ") + 1] == name.split()), None)
    is_help = not _HELP.isdisjoint(argv)
    if name is None:
        text = help_text.of_several(argv, names) if is_help else None
        if text is None:
            raise UserError(argument_errors.no_command(argv, list(names)))
        print(text)
        raise SystemExit(0)
    kind, words = names[name], argv[name.count(" ") + 1 :]
    _load_imports(words)
    default = _default(kind, words, rows)
    if is_help:
        print(
            help_text.of_one(kind, name, rows[kind].example, flags_of(kind, default), "--help-all" in words)
        )
        raise SystemExit(0)
    _check_resume(words)
    return _parsed(kind, words, default, rows)


def _load_imports(words: list[str]) -> None:
    """Make known what files and modules of the user's register, before any name is looked up."""
    # They import JAX, and NumPy with it; what has to be set before that comes here first.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for flag, place in itertools.pairwise([*words, ""]):
        if flag == "--import":
            load_extension(place)
        elif flag.startswith("--import="):
            load_extension(flag.partition("=")[2])


def _parsed(kind: type, words: list[str], default: Any, rows: Rows) -> Any:
    """The arguments that tyro makes of the words; what is wrong with these is said in a line instead of its box."""
    given = {} if default is None else {"default": default}
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=words, **given)
    except SystemExit as stop:
        if not stop.code:
            raise
    others = {row.name: flags_of(other) for other, row in rows.items() if other is not kind}
    if kind is MetaTrain:
        others |= {
            f"meta-train --proxy {form}": flags_of(kind, _default(kind, ["--proxy", form], rows))
            for form in ("se", "rn")
        }
    wrong = argument_errors.wrong_word(rows[kind].name, flags_of(kind, default), words, others)
    raise UserError(wrong or argument_errors.in_one_line(said.getvalue()))


def _default(kind: type, words: list[str], rows: Rows) -> Any:
    """What holds where no flag says otherwise, if that is more than what the fields say."""
    option, stored = functools.partial(_option, words), _stored(kind, words, rows)
    if kind is MetaTrain:
        return meta_train_defaults(option, stored, "--resume" in words)
    if kind is OswmBenchmark:
        return benchmark_defaults(option("--preset"), stored)
    if stored is not None and issubclass(kind, Tune | OswmRun | OswmPretrain | SelectRun | SelectSimulate):
        return kind.resumed(stored)
    return resumed(Demo, stored) if stored is not None and kind is Demo else None


def _stored(kind: type, words: list[str], rows: Rows) -> dict[str, Any] | None:
    """The config of the run that ``--resume --out DIR`` names; None if there is none, or none that can be read."""
    out = _option(words, "--out")
    if "--resume" not in words or out is None:
        return None
    if not (stored := stored_config(Path(out))):
        return None  # the run directory itself will say what is wrong
    owner = stored.get("command")
    if owner == rows[MetaTrain if kind is Demo else kind].name:
        return stored
    if owner in [row.name for row in rows.values()]:
        what = {"tune": "a study", "oswm benchmark": "a benchmark"}.get(str(owner), f"a run of {owner}")
        raise UserError(f"{out} holds {what}: go on with synthenv {owner}")
    return None


def _option(argv: list[str], flag: str) -> str | None:
    """The value of ``--flag value`` or ``--flag=value``."""
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(flag + "="):
            return word.split("=", 1)[1]
    return None


def _check_resume(words: list[str]) -> None:
    """Refuse ``--resume`` alone where nothing was begun: defaults would begin that nobody has asked for."""
    out = _option(words, "--out")
    if "--resume" not in words or out is None:
        return
    said = {word.split("=")[0].replace("_", "-") for word in words if word.startswith("--")}
    if said <= _AROUND and not locked_directory.is_begun(Path(out)):
        raise UserError(
            f"there is nothing to resume in {out}: check the path, or pass the flags that are to begin it"
        )
