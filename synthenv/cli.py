"""The ``synthenv`` command: thin subcommands over ``synthenv.runs``.

Nothing heavy is imported before the arguments are parsed, so ``--help`` prints at once, and JAX is configured (devices,
compilation cache) before it is first imported.
"""

import contextlib
import dataclasses
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError, told_of
from synthenv.core.files import check_place, disk_error, is_special, to_json, write_atomic
from synthenv.runs import command_line, interruption
from synthenv.runs.command_line import Row
from synthenv.runs.demo.arguments import Demo
from synthenv.runs.evaluate.arguments import Evaluate, Plot, Train
from synthenv.runs.jax_setup import configure_jax
from synthenv.runs.list_names.arguments import List
from synthenv.runs.meta_train.arguments import MetaTrain
from synthenv.runs.oswm.arguments import OswmPlot
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark
from synthenv.runs.oswm.pretrain.arguments import OswmPretrain
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.select.rank.arguments import SelectRank
from synthenv.runs.select.run.arguments import SelectRun
from synthenv.runs.select.simulate.arguments import SelectSimulate
from synthenv.runs.storage import locked_directory
from synthenv.runs.tune.arguments import Tune

COMMANDS = {
    MetaTrain: Row(
        "meta-train", "meta_train.command:carry_out", "--task CartPole-v0 --seed 1 --out runs/cartpole"
    ),
    Train: Row("train", "evaluate.command:train", "--env synthetic/CartPole-v0 --agent dueling_ddqn"),
    Evaluate: Row(
        "evaluate", "evaluate.command:evaluate", "--proxy runs/cartpole --num-agents 40 --baselines"
    ),
    Plot: Row("plot", "evaluate.plot_command:plot", "synthetic/CartPole-v0 --out plots"),
    Demo: Row("demo", "demo.command:carry_out", "--seed 1"),
    Tune: Row("tune", "tune.command:tune", "--task CliffWalking --num-trials 20 --num-workers 4"),
    List: Row("list", "list_names.command:list_names", "--json names.json"),
    OswmRun: Row("oswm run", "oswm.run.command:run", "--task CartPole-v0 --seeds 3 --out runs/dream"),
    OswmPretrain: Row("oswm pretrain", "oswm.pretrain.command:pretrain", "--preset smoke --out runs/small"),
    OswmBenchmark: Row("oswm benchmark", "oswm.benchmark.command:benchmark_with_bars", "--preset smoke"),
    OswmPlot: Row("oswm plot", "oswm.plot_command:plot", "runs/dream"),
    SelectSimulate: Row(
        "select simulate",
        "select.simulate.command:simulate",
        "--data runs/past --methods asha random --seeds 10",
    ),
    SelectRun: Row(
        "select run",
        "select.run.command:run",
        "--objective my_objective.py --space space.json --budget-evaluations 50 --num-workers 2 --out runs/mine",
    ),
    SelectRank: Row(
        "select rank", "select.rank.command:rank", "--data runs/past --meta-features classes=10 samples=5000"
    ),
}
OnOneMachine = Demo | Tune | OswmRun | OswmPretrain | OswmBenchmark | SelectRun | SelectSimulate
Resumable = MetaTrain | OnOneMachine
Command = Resumable | Train | Evaluate | Plot | List | OswmPlot | SelectRank


def parse(argv: list[str]) -> Command:
    """Parse a command line; presets and resumed runs decide which defaults it shows and takes.

    Raises:
        UserError: it cannot be understood; the message names the wrong word and the nearest right one.
        SystemExit: help or the version was asked for and printed.
    """
    return command_line.read(argv, COMMANDS)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status (2 after a user's error, 130 after Ctrl-C, 143 after SIGTERM)."""
    command = None
    with interruption.heard():
        try:
            command = parse(sys.argv[1:] if argv is None else argv)
            with prepared(command) as command:
                run(command)
        except UserError as error:
            print(f"synthenv: {error}", file=sys.stderr)
            return 2
        except Exception as error:
            if (told := told_of(error)) is None or "JAX_TRACEBACK_FILTERING" in os.environ:
                raise
            print(f"synthenv: {told} (JAX_TRACEBACK_FILTERING=off shows the traceback)", file=sys.stderr)
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
def prepared(command: Command) -> Iterator[Command]:
    """Check a command, configure JAX for it, and give it its directory: what ``run`` needs.

    Raises:
        UserError: the command makes no sense, or there is no place for what it writes.
    """
    _check(command)
    if isinstance(command, Tune | SelectRun):
        # It needs an accelerator only to name it: its workers shall have the memory.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    configure_jax(command.common.devices, command.common.distributed)
    with _placed(command) as placed:
        yield placed


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
    if not isinstance(command, Resumable | Train | Evaluate) or command.out is not None:
        yield command
    elif jax.process_index() > 0:
        yield dataclasses.replace(command, out=Path("runs", command.stem()))
    else:
        with locked_directory.claimed(command.stem()) as out:
            yield dataclasses.replace(command, out=out)


def _how_to_go_on(command: Command | None) -> str:
    """What to add to a search's command line to finish it; other commands have nothing to lose."""
    if not isinstance(command, Resumable) or command.out is None:
        return ""
    works_when_finished = isinstance(command, Demo | OswmBenchmark | SelectRun)
    return interruption.how_to_go_on(COMMANDS[type(command)].name, command.out, works_when_finished)


def _check(command: Command) -> None:
    """Refuse at once what would fail only after the work is done, or never be noticed."""
    command.common.check()
    if isinstance(command, Resumable) and command.resume and command.out is None:
        raise UserError("--resume goes on with which run? Pass its directory with --out")
    if isinstance(command, OnOneMachine) and command.common.distributed:
        name = COMMANDS[type(command)].name
        raise UserError(f"{name} runs on one machine: drop --distributed, or use meta-train")
    if not isinstance(command, Demo | List | OswmPlot):
        command.check()


def run(command: Command) -> dict[str, Any]:
    """Carry out a command that is prepared, write its results where ``--json`` says, and return them."""
    from synthenv.runs import shipped_names
    from synthenv.runs.display import terminal

    terminal.speak_once()
    shipped_names.tell_twins(command)
    module, _, function = COMMANDS[type(command)].carried_out_by.partition(":")
    results = getattr(importlib.import_module(f"synthenv.runs.{module}"), function)(command)
    _write_json(command, results)
    return results


def _write_json(command: Command, results: dict[str, Any]) -> None:
    """Write the results where ``--json`` asks for them; the first of several processes does it."""
    import jax

    if command.common.json is None or jax.process_index() > 0:
        return
    payload = {"command": COMMANDS[type(command)].name, "config": command, "results": results}
    data = f"{to_json(payload, indent=2)}\n".encode()
    if not is_special(command.common.json):
        write_atomic(command.common.json, data)
        return
    try:
        command.common.json.write_bytes(data)
    except OSError as error:
        raise disk_error(error, command.common.json) from error
