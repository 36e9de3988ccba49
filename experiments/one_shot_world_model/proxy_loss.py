"""Table 3: one-step errors of world models, simple regressions among them, by how their context was collected."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.command_line import execute, parse
from synthenv.runs.oswm.benchmark import errors_plot, one_step_errors


@dataclass(frozen=True)
class Config(one_step_errors.ProxyLoss):
    """Show models 1,000 transitions of a task and ask them about others, of random to expert behaviour.

    ``python -m experiments.one_shot_world_model.proxy_loss --preset cpu --out runs/proxy_loss``

    Calling it again with the same flags goes on where it was stopped; contexts and test sets are kept in OUT/contexts.
    Cost: 5 CPU-minutes for one random context of every task, nearly all of it the Gaussian processes' (4 to 30
    CPU-seconds a context) and the experts' (11 to 25); cpu has six such sets, paper 48, neither measured as a whole.
    Numbers to expect: the paper's model has between 8.5e-6 (MountainCar) and 0.3 (Reacher) with its best contexts.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of proxy_loss.csv, proxy_loss.json and proxy_loss.png.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/proxy_loss")


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        preset="paper",
        strategies=("random", "repeat", "expert", "p-expert", "mixture", "held"),
        num_contexts=8,
    ),
    "smoke": Config(
        preset="smoke",
        tasks=("SimpleEnv", "MountainCar-v0"),
        strategies=("random", "mixture"),
        models=("persistence", "ridge"),
        num_contexts=2,
        num_context_rows=60,
        num_test_rows=80,
        num_drawn=40,
        expert_steps=1024,
    ),
}


def run(config: Config) -> None:
    """Measure what is not measured yet."""
    one_step_errors.run(
        config,
        config.out,
        lambda line: print("{task}  {strategy}  {model}  {raw}  {relative}".format(**line), flush=True),
    )


def plot(config: Config) -> None:
    """Draw ``proxy_loss.png`` from the summary."""
    results = json.loads((config.out / "proxy_loss.json").read_text())["results"]
    errors_plot.draw(results, config.out / "proxy_loss.png")
    print(f"wrote {config.out / 'proxy_loss.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
