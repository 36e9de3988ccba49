"""The smallest whole run: the smoke preset with one shape of agent, and what two runs must have in common."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from synthenv.agents.config import Variation
from synthenv.core.checkpoint import load_arrays
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.meta_train.synthetic_presets import SMOKE
from synthenv.runs.storage import metrics

REPO = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "import sys; from synthenv.cli import main; sys.exit(main())", "meta-train"]
FLAGS = [
    *("--preset", "smoke", "--agent.buffer-size", "64"),
    *("--agent.variation.depth", "1", "1"),
    *("--agent.variation.hidden-size", "32", "32"),
    *("--agent.variation.batch-size", "32", "32"),
]
TINY = replace(
    SMOKE,
    agent=replace(
        SMOKE.agent,
        buffer_size=64,
        variation=Variation(depth=(1, 1), hidden_size=(32, 32), batch_size=(32, 32)),
    ),
)
TIMING = {"seconds", "cpu_seconds", "busy_share"}


def of_length(num_generations: int) -> MetaTrainConfig:
    """``TINY`` with another number of generations."""
    return replace(TINY, outer=TINY.outer._replace(num_generations=num_generations))


def environment() -> dict[str, str]:
    """Environment variables of a run in a process of its own, which sets its devices itself."""
    return os.environ | {"JAX_PLATFORMS": "cpu", "COLUMNS": "200"}


def story(run: Path) -> dict:
    """All that a run says about its search: metrics without timing, checkpoints bit for bit, the best proxy."""
    lines = [{k: v for k, v in line.items() if k not in TIMING} for line in metrics.read(run)]
    proxy = load_arrays(run / "best_proxy.safetensors")[0]
    return {
        "metrics": lines,
        "checkpoints": {p.name: p.read_bytes() for p in sorted((run / "checkpoints").glob("*.safetensors"))},
        "best_proxy": {name: (array.shape, array.tobytes()) for name, array in proxy.items()},
    }
