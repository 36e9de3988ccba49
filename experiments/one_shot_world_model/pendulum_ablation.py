"""What holds agents of a dream back: the learner's settings, or the dream? And does its surface matter?

The same learners train on the real task, in dreams, and in dreams that may leave the surface of their context, from
equal keys, and are tested on the real task.

References:
    Stable-Baselines3's tuned PPO for Pendulum has a discount of 0.9.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.command_line import execute, parse
from synthenv.core.files import to_json, write_atomic
from synthenv.runs.oswm.run.real_tasks import contents_of
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.csv_tables import read_csv, write_csv

Place = Literal["real", "dream", "dream off its surface"]
SETTINGS: dict[str, dict[str, Any]] = {
    "32 copies, discount 0.95": {},
    "16 copies, discount 0.95": {"num_envs": 16, "num_minibatches": 8},
    "32 copies, discount 0.9": {"discount": 0.9},
    "16 copies, discount 0.9": {"num_envs": 16, "num_minibatches": 8, "discount": 0.9},
}


@dataclass(frozen=True)
class Config:
    """Train PPO with several settings on the real pendulum and in dreams of it, and test it on the real one.

    ``python -m experiments.one_shot_world_model.pendulum_ablation --out runs/pendulum_ablation``

    Called again with the same flags it goes on where it was stopped.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of pendulum_ablation.csv and pendulum_ablation.json.
        places: Where agents train.
        settings: How; names of SETTINGS.
        model: Who dreams.
        num_seeds: Contexts, with an agent of each kind each.
        context: Transitions of a context.
        max_steps: Training steps; the task's preset if not given.
        test_episodes: Real episodes that an agent is judged by at its end.
        seed: Randomness.
    """

    preset: Literal["cpu", "smoke"] = "cpu"
    out: Path = Path("runs/pendulum_ablation")
    places: tuple[Place, ...] = ("real", "dream", "dream off its surface")
    settings: tuple[str, ...] = tuple(SETTINGS)
    model: str = "experts"
    num_seeds: int = 10
    context: int = 1000
    max_steps: int | None = None
    test_episodes: int = 100
    seed: int = 0


PRESETS = {
    "cpu": Config(),
    "smoke": Config(
        preset="smoke", settings=tuple(SETTINGS)[:1], num_seeds=1, context=60, max_steps=2048, test_episodes=2
    ),
}


def run(config: Config) -> None:
    """Train all agents that are missing; write ``pendulum_ablation.csv`` after each, the summary at the end.

    Raises:
        UserError: OUT holds lines of other flags, or the model is not there.
    """
    asked = {
        name: getattr(config, name) for name in ("model", "context", "max_steps", "test_episodes", "seed")
    }
    with locked_directory.held(config.out, asked | {"contents": contents_of(config.model)}):
        file = config.out / "pendulum_ablation.csv"
        lines: list[dict[str, Any]] = list(read_csv(file)) if file.exists() else []
        done = {(line["place"], line["settings"], int(line["seed"])) for line in lines}
        for line in trained(config, done):
            lines.append(line)
            write_csv(file, lines)
            print(*line.values(), flush=True)
        write_atomic(
            config.out / "pendulum_ablation.json", f"{to_json(summarise(lines), indent=1)}\n".encode()
        )


def trained(config: Config, done: set[tuple[str, str, int]]) -> Iterator[dict[str, Any]]:
    """One agent after the other; those in ``done`` are left out."""
    from synthenv.runs.arguments import Common
    from synthenv.runs.oswm.run.arguments import OswmRun
    from synthenv.runs.oswm.run.run import encode
    from synthenv.runs.oswm.run.setup import Dreams, context_of_seed
    from synthenv.runs.oswm.run.training import Trainer, keys_of_seed

    common = Common(seed=config.seed)
    command = OswmRun(
        "Pendulum-v1", config.context, model=config.model, max_steps=config.max_steps, common=common
    )
    dreams = Dreams(command)
    assert dreams.task is not None and dreams.task.spec is not None
    spec, trainers = dreams.task.spec, {}
    for seed in range(config.num_seeds):
        keys, dream = keys_of_seed(config.seed, seed), None
        for place in config.places:
            for name in config.settings:
                if (place, name, seed) in done:
                    continue
                if place != "real" and dream is None:
                    context, _ = context_of_seed(dreams, keys.context)
                    dream = dreams.dream(encode(dreams.model, context)[0], context)
                env, params = (spec.env, spec.env_params) if place == "real" else (dreams.env, dream)
                if place == "dream off its surface":
                    params = params.replace(surface=None)
                if (trainer := trainers.get((name, env))) is None:
                    learner: Any = replace(dreams.agent, **SETTINGS[name])
                    trainer = trainers[name, env] = Trainer(learner, env, params)
                policy, _ = trainer.train(keys.train, params)
                returns = dreams.task.play(keys.judge, trainer.act, policy, config.test_episodes).returns
                yield {"place": place, "settings": name, "seed": seed, "return": f"{np.mean(returns):.5g}"}


def summarise(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean real return over seeds with a 95 % bootstrap interval, and the worst, for every place and settings."""
    from synthenv.runs.statistics.intervals import bootstrap_interval

    found: dict[tuple[str, str], list[float]] = {}
    for line in lines:
        found.setdefault((line["place"], line["settings"]), []).append(float(line["return"]))
    return [
        {
            "place": place,
            "settings": name,
            "num_seeds": len(returns),
            "mean_return": float(np.mean(returns)),
            "ci95_return": list(bootstrap_interval(np.array(returns))),
            "worst_return": min(returns),
        }
        for (place, name), returns in found.items()
    ]


def show(config: Config) -> None:
    """Print the summary."""
    for each in json.loads((config.out / "pendulum_ablation.json").read_text()):
        low, high = each["ci95_return"]
        print(
            f"{each['place']:22} {each['settings']:26} {each['mean_return']:7.1f} [{low:.1f}, {high:.1f}],"
            f" worst {each['worst_return']:.1f}, {each['num_seeds']} seeds"
        )


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, show))
