"""The ``synthenv`` command: thin subcommands over ``synthenv.runs``.

Nothing heavy is imported before the arguments are parsed, so ``--help`` prints at once, and JAX is configured (devices,
compilation cache) before it is first imported.
"""

import contextlib
import dataclasses
import importlib
import itertools
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import tyro

from synthenv.core.errors import UserError
from synthenv.core.files import check_place, disk_error, is_special, to_json, write_atomic
from synthenv.core.registry import load_extension
from synthenv.runs import interruption
from synthenv.runs.arguments import Common
from synthenv.runs.command_line import CARRIED_OUT_BY, NAMES, Command
from synthenv.runs.demo.arguments import Demo
from synthenv.runs.evaluate.arguments import Evaluate, Plot, Train
from synthenv.runs.jax_setup import configure_jax
from synthenv.runs.list_names.arguments import List
from synthenv.runs.meta_train.arguments import MetaTrain
from synthenv.runs.meta_train.config import from_stored
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.oswm.arguments import Oswm, resumed
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark, benchmark_defaults
from synthenv.runs.oswm.pretrain.arguments import OswmPretrain
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.storage import locked_directory
from synthenv.runs.tune.arguments import Tune

_RESUMABLE = (MetaTrain, Demo, Tune, OswmRun, OswmPretrain, OswmBenchmark)
# Flags that do not say what is to be done.
_AROUND = {"--resume", "--out", "--json", "--devices", "--distributed", "--workers", "--num-workers"}


def parse(argv: list[str]) -> Command:
    """Parse a command line; presets and resumed runs decide which defaults it shows and takes."""
    load_imports(argv)
    meta_train, demo, tune, oswm = MetaTrain, Demo, Tune, Oswm
    if argv[:1] == ["meta-train"]:
        meta_train = Annotated[MetaTrain, tyro.conf.subcommand(default=_meta_train_defaults(argv))]
    elif argv[:1] == ["demo"] and (stored := _stored(argv)):
        demo = Annotated[Demo, tyro.conf.subcommand(default=Demo(common=Common(seed=stored.get("seed", 0))))]
    elif argv[:1] == ["tune"] and (stored := _stored(argv)):
        tune = Annotated[Tune, tyro.conf.subcommand(default=_tune_defaults(stored))]
    elif argv[:2] == ["oswm", "benchmark"]:
        defaults = benchmark_defaults(_option(argv, "--preset"), _stored(argv))
        oswm = Annotated[Oswm, tyro.conf.subcommand(default=Oswm(defaults))]
    elif argv[:1] == ["oswm"] and (stored := _stored(argv)):
        oswm = Annotated[Oswm, tyro.conf.subcommand(default=Oswm(resumed(argv[1], stored)))]
    commands = meta_train | Train | Evaluate | Plot | demo | tune | oswm | List
    command = tyro.cli(commands, args=argv, prog="synthenv")  # type: ignore[arg-type]
    command = command.command if isinstance(command, Oswm) else command
    _check_resume(command, argv)
    return command


def load_imports(argv: list[str]) -> None:
    """Make known what files and modules of the user's register, before any name is looked up."""
    # They import JAX, and NumPy with it; what has to be set before that comes here first.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for flag, place in itertools.pairwise([*argv, ""]):
        if flag == "--import":
            load_extension(place)
        elif flag.startswith("--import="):
            load_extension(flag.partition("=")[2])


def _check_resume(command: Command, argv: list[str]) -> None:
    """Refuse ``--resume`` alone where nothing was begun: defaults would begin that nobody has asked for."""
    if not isinstance(command, _RESUMABLE) or not command.resume or command.out is None:
        return
    said = {word.split("=")[0].replace("_", "-") for word in argv if word.startswith("--")}
    if said <= _AROUND and not locked_directory.is_begun(command.out):
        raise UserError(
            f"there is nothing to resume in {command.out}: check the path, or pass the flags that are to begin it"
        )


def _meta_train_defaults(argv: list[str]) -> MetaTrain:
    """What holds where no flag says otherwise: the fields of the run to resume, or of the preset."""
    name, task, agent = (_option(argv, flag) for flag in ("--preset", "--task", "--agent"))
    said = _option(argv, "--proxy")
    if _option(argv, "--variant") and said != "rn" and "--resume" not in argv:
        raise UserError("--variant is for reward networks: add --proxy rn")
    if name is None and said is None and (stored := _stored(argv)):
        config = from_stored(stored)
        return MetaTrain(proxy=config.proxy.kind, config=config, common=Common(seed=stored.get("seed", 0)))
    return MetaTrain(proxy=said or "se", config=preset(said or "se", name, task, agent))


def _tune_defaults(stored: dict[str, Any]) -> Tune:
    """The arguments of the study to resume; those of no study are left to the directory to refuse."""
    if stored.get("command") != "tune":
        return Tune()
    asked = {field.name: stored[field.name] for field in dataclasses.fields(Tune) if field.name in stored}
    asked["strategies"] = tuple(asked.get("strategies", ()))
    return Tune(**asked, common=Common(seed=stored.get("seed", 0)))


def _stored(argv: list[str]) -> dict[str, Any] | None:
    """The config of the run that ``--resume --out DIR`` names; None if there is none, or none that can be read."""
    out = _option(argv, "--out")
    if "--resume" not in argv or out is None:
        return None
    try:
        stored = dict(json.loads((Path(out) / locked_directory.CONFIG).read_bytes())["config"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the run directory itself will say what is wrong
    asked = " ".join(argv[: 1 + (argv[0] == "oswm")])
    owner = str(stored.get("command"))
    if owner in NAMES.values() and owner != ("meta-train" if asked == "demo" else asked):
        what = {"tune": "a study", "oswm benchmark": "a benchmark"}.get(owner, f"a run of {owner}")
        raise UserError(f"{out} holds {what}: go on with synthenv {owner}")
    return stored


def _option(argv: list[str], flag: str) -> str | None:
    """The value of ``--flag value`` or ``--flag=value``."""
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(flag + "="):
            return word.split("=", 1)[1]
    return None


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status (2 after a user's error, 130 after Ctrl-C, 143 after SIGTERM)."""
    command = None
    with interruption.heard():
        try:
            command = parse(sys.argv[1:] if argv is None else argv)
            _check(command)
            if isinstance(command, Tune):
                # It needs an accelerator only to name it: its workers shall have the memory.
                os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
            configure_jax(command.common.devices, command.common.distributed)
            with _placed(command) as command:
                _write_json(command, run(command))
        except UserError as error:
            print(f"synthenv: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as interrupt:
            print(f"\nsynthenv: interrupted{_how_to_go_on(command)}", file=sys.stderr)
            status = interruption.status(interrupt)
            if argv is None and threading.active_count() > 1:
                # Workers inside compiled programs cannot be stopped, and the interpreter would crash under them on
                # its way out.
                sys.stdout.flush()
                os._exit(status)
            return status
    return 0


@contextlib.contextmanager
def _placed(command: Command) -> Iterator[Command]:
    """Try where the command is to write before it works for hours; give it a directory if it was given none.

    With several processes this is the business of the first one.
    """
    import jax

    from synthenv.runs.storage.first_process import on_first

    for place in (getattr(command, "out", None), command.common.json):
        if place is not None:
            on_first(check_place, place)
    if not isinstance(command, _RESUMABLE) or command.out is not None:
        yield command
    elif jax.process_index() > 0:
        yield dataclasses.replace(command, out=Path("runs", command.stem()))
    else:
        with locked_directory.claimed(command.stem()) as out:
            yield dataclasses.replace(command, out=out)


def _how_to_go_on(command: Command | None) -> str:
    """What to add to a search's command line to finish it; other commands have nothing to lose."""
    if not isinstance(command, _RESUMABLE) or command.out is None:
        return ""
    works_when_finished = isinstance(command, Demo | OswmBenchmark)
    return interruption.how_to_go_on(NAMES[type(command)], command.out, works_when_finished)


def _check(command: Command) -> None:
    """Refuse at once what would fail only after the work is done, or never be noticed."""
    common = command.common
    if common.devices is not None and common.devices < 1:
        raise UserError(f"--devices {common.devices} leaves nothing to compute on: pass 1 or more")
    if not 0 <= common.seed < 2**32:
        raise UserError(f"--seed {common.seed} is no seed: pass an integer from 0 to {2**32 - 1}")
    if (
        isinstance(command, Train | Evaluate | Plot)
        and command.max_steps is not None
        and command.max_steps < 1
    ):
        raise UserError(f"--max-steps {command.max_steps} trains nobody: pass 1 or more")
    if isinstance(command, Evaluate) and command.out is not None and not command.curves:
        raise UserError("--out is where --curves draws: add --curves, or write the numbers with --json FILE")
    if isinstance(command, _RESUMABLE) and command.resume and command.out is None:
        raise UserError("--resume goes on with which run? Pass its directory with --out")
    if isinstance(command, MetaTrain) and command.proxy != command.config.proxy.kind:
        raise UserError(
            f"--proxy {command.proxy} and --proxy.form contradict each other: pass --proxy se, scb or rn alone"
        )
    if isinstance(command, Demo | Tune | OswmRun | OswmPretrain | OswmBenchmark) and common.distributed:
        name = NAMES[type(command)]
        raise UserError(f"{name} runs on one machine: drop --distributed, or use meta-train")
    if isinstance(command, OswmRun | OswmPretrain | OswmBenchmark):
        command.check()
    if isinstance(command, Tune):
        for name in ("num_trials", "num_workers", "num_searches", "num_generations"):
            if (number := getattr(command, name)) is not None and number < 1:
                raise UserError(f"--{name.replace('_', '-')} {number} does nothing: pass 1 or more")
    if common.json is not None and (common.json.is_dir() or not common.json.parent.is_dir()):
        cause = "it is a directory" if common.json.is_dir() else f"{common.json.parent} is no directory"
        raise UserError(f"cannot write {common.json}, because {cause}: pass another --json FILE")


def run(command: Command) -> dict[str, Any]:
    """Carry out a parsed command, which has an ``out`` if it can be resumed; returns its results."""
    from synthenv.runs import shipped_names
    from synthenv.runs.display import terminal

    terminal.speak_once()
    shipped_names.tell_twins(command)
    module, _, function = CARRIED_OUT_BY[type(command)].partition(":")
    return getattr(importlib.import_module(f"synthenv.runs.{module}"), function)(command)


def _write_json(command: Command, results: dict[str, Any]) -> None:
    """Write the results where ``--json`` asks for them; the first of several processes does it."""
    import jax

    if command.common.json is None or jax.process_index() > 0:
        return
    payload = {"command": NAMES[type(command)], "config": command, "results": results}
    data = f"{to_json(payload, indent=2)}\n".encode()
    if not is_special(command.common.json):
        write_atomic(command.common.json, data)
        return
    try:
        command.common.json.write_bytes(data)
    except OSError as error:
        raise disk_error(error, command.common.json) from error
