"""Make a finished pretraining into the world model that the package ships, with what its benchmark measured."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.command_line import execute, parse
from synthenv.core.errors import UserError
from synthenv.core.files import make_directory, to_json, write_atomic

_KEPT = ("final_return", "ci95_return", "num_seeds", "strategy")
_HELD_OUT = ("steps", "held_out_nats", "held_out_gain", "real_gain")


@dataclass(frozen=True)
class Config:
    """Copy the weights of a finished pretraining into the zoo under a name, in the place of what it has of that name.

    ``python -m experiments.ship_world_model --run runs/pretrain-small``

    A benchmark takes models by name, so ship a model first, benchmark it, and ship it again with ``--benchmark``: the
    weights stay as they are, and the returns go into the list of shipped models.

    Attributes:
        preset: Named configuration that the other flags override.
        run: Directory of the finished ``synthenv oswm pretrain``.
        name: What the model is to be called.
        benchmark: Directory of a ``synthenv oswm benchmark`` whose table 1 has a row of that name.
        out: The zoo to write into; the package's own if not given.
    """

    preset: Literal["small", "paper"] = "small"
    run: Path = Path("runs/pretrain-small")
    name: str = "small"
    benchmark: Path | None = None
    out: Path | None = None


PRESETS = {
    "small": Config(),
    "paper": Config(preset="paper", run=Path("runs/pretrain-paper"), name="paper"),
}


def run(config: Config) -> None:
    """Write the file, then the list that names it.

    Raises:
        UserError: the pretraining is not finished, or the benchmark has no row of that model.
    """
    from synthenv.zoo import registry, world_models

    world_models.load(str(config.run))  # refuses what is no finished world model
    asked, result = (json.loads((config.run / name).read_bytes()) for name in ("config.json", "result.json"))
    out = config.out or registry.ROOT
    make_directory(out)
    file = out / f"{config.name}.safetensors"
    write_atomic(file, (config.run / world_models.FILE).read_bytes())
    entry = {
        "file": file.name,
        "sha256": registry.sha256(file),
        "preset": asked["config"]["preset"],
        "seed": asked["config"]["seed"],
        "pretraining": {name: result[name] for name in _HELD_OUT if name in result},
        "scores": scores_of(config.benchmark, config.name) if config.benchmark else {},
    }
    shipped = out / "world_models.json"
    others = json.loads(shipped.read_bytes()) if shipped.exists() else {}
    write_atomic(shipped, (to_json({**others, config.name: entry}, indent=1) + "\n").encode())
    print(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB) and {shipped}")


def scores_of(benchmark: Path, name: str) -> dict[str, Any]:
    """Returns by task of the rows of one model, of what is done of a benchmark's table 1.

    Raises:
        UserError: there are none.
    """
    try:
        rows = json.loads((benchmark / "benchmark.json").read_bytes())["tables"]["1"]
    except (OSError, ValueError, KeyError):
        raise UserError(f"{benchmark} holds no table 1: pass the directory of an oswm benchmark") from None
    found = {task: row for task, of_task in rows.items() for row in of_task if row["method"] == name}
    if not found:
        raise UserError(f"table 1 of {benchmark} has no row of {name}: benchmark it with --models {name}")
    return {task: {key: row[key] for key in _KEPT} for task, row in found.items()}


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run))
