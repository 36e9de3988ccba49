"""What ``synthenv oswm pretrain`` does, with a progress bar on the terminal."""

import os
import shlex
from typing import Any

from synthenv.runs.display.terminal import bars, say
from synthenv.runs.oswm.pretrain import plot as pretrain_plot
from synthenv.runs.oswm.pretrain import run as small
from synthenv.runs.oswm.pretrain.arguments import OswmPretrain
from synthenv.runs.oswm.pretrain.presets import PRESETS, Preset, preset, with_families, with_steps
from synthenv.runs.oswm.pretrain.real_task_errors import RealConfig
from synthenv.runs.storage.stored_config import stored_config
from synthenv.zoo.world_models import config_from_stored


def pretrain(command: OswmPretrain) -> dict[str, Any]:
    """Train a world model on random tasks and leave it in a run directory."""
    name, out = command.preset or "small", command.out
    assert out is not None
    asked = asked_for(command)
    num_steps = asked.config.num_steps
    with bars() as make_bar:
        bar = make_bar("step", num_steps, "drawing tasks, fitting experts, compiling")
        last = ""

        def show(step: int, loss: float) -> None:
            bar.show(f"loss {loss:.4f}  {last}", completed=step)

        def tell(line: dict[str, Any]) -> None:
            nonlocal last
            last = progress_numbers(line)
            told = f"loss {line['train_loss']:.4f}  {last}"
            bar.show(told, f"step {line['step']:,}/{num_steps:,}  {told}", completed=line["step"])

        result = small.run(
            asked.config,
            command.common.seed,
            out,
            command.resume,
            asked.steps_per_line,
            command.workers or os.cpu_count() or 1,
            on_line=tell,
            notify=say,
            preset=name,
            real=asked.real,
            on_step=show,
            method=asked.method,
        )
    say(verdict(result))
    say(f"curves: {out / 'plots' / pretrain_plot.FILE}")
    say(f"next: synthenv oswm run --task Pendulum-v1 --model {shlex.quote(str(out))}")
    return result | {"out": str(out)}


def asked_for(command: OswmPretrain) -> Preset:
    """Return the preset, changed by the flags.

    A run that is resumed keeps what it was begun with wherever no flag says otherwise.
    """
    found = preset(command.preset or "small")
    stored = _stored(command)
    kept = stored and {
        "preset": command.preset or "small",
        "steps_per_line": command.steps_per_line or found.steps_per_line,
        "num_steps": command.steps or found.config.num_steps,
    } == {
        "preset": stored.get("preset"),
        "steps_per_line": stored.get("steps_per_line"),
        "num_steps": stored["pretrain"].get("num_steps"),
    }
    # Presets may change from version to version, but a run must not.
    if stored and kept and command.families in ((), _families(stored)):
        real = RealConfig(tuple(stored["real"]["tasks"]), stored["real"]["num_rows"])
        steps_per_line = stored["steps_per_line"]
        return found._replace(config=config_from_stored(stored), real=real, steps_per_line=steps_per_line)
    config = found.config if command.steps is None else with_steps(found.config, command.steps)
    if command.families:
        config = with_families(config, command.families)
    return found._replace(config=config, steps_per_line=command.steps_per_line or found.steps_per_line)


def _families(stored: dict[str, Any]) -> tuple[str, ...]:
    return tuple(stored["pretrain"]["prior"].get("families", ()))


def _stored(command: OswmPretrain) -> dict[str, Any] | None:
    """Return the config of the run to resume; None if there is none, or one that its directory will refuse."""
    if not command.resume or command.out is None:
        return None
    stored = stored_config(command.out)
    is_own = stored.get("command") == "oswm pretrain" and stored.get("preset") in PRESETS
    return stored if is_own else None


def progress_numbers(line: dict[str, Any]) -> str:
    """Write what a person wants to see of a line."""
    told = [f"held out: loss {line['held_out_loss']:.4f}"]
    if "held_out_nats" in line:
        told.append(f"nats {line['held_out_nats']:+.3f}  gain {line['held_out_gain']:+.3f}")
    if "real_gain" in line:
        told.append(f"real gain {line['real_gain']:+.3f}")
    share = f"{line['flops_share']:.0%} of the arithmetic"
    return "  ".join(
        [*told, f"{line['step_seconds']:.1f} s of steps ({share}), {line['wait_seconds']:.1f} s of waiting"]
    )


def verdict(result: dict[str, Any]) -> str:
    """Say what the transformer adds to the experts, on tasks that it was not trained on."""
    added = f"{result['steps']:,} steps: {progress_numbers(result)}"
    if "real" not in result:
        return added
    tasks = (f"{task} {pair['model']:.2g} ({pair['experts']:.2g})" for task, pair in result["real"].items())
    return f"{added}\none-step error on real tasks as a share of the variance (experts alone): {', '.join(tasks)}"
