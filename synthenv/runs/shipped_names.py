"""A notice before any command begins: a name stands for what is shipped, and not for a path of that name."""

from pathlib import Path
from typing import Any

from synthenv.runs.display.terminal import say
from synthenv.runs.evaluate.arguments import Evaluate, Plot, Train
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark
from synthenv.runs.oswm.run import real_tasks
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.training import places


def tell_twins(command: Any) -> None:
    """Tell the user where a name stands for what is shipped though there is a path of that name, too."""
    match command:
        case Train():
            names, is_shipped = (command.env,), places.is_shipped
        case Evaluate() | Plot():
            names, is_shipped = command.proxy, places.is_shipped
        case OswmRun():
            names, is_shipped = (command.model,), real_tasks.is_shipped
        case OswmBenchmark():
            names, is_shipped = command.models, real_tasks.is_shipped
        case _:
            return
    for name in names:
        if is_shipped(name) and Path(name).exists():
            say(
                f"{name} is what synthenv ships under this name: pass ./{name} for what lies here",
                style="yellow",
            )
