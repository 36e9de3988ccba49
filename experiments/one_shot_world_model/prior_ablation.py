"""What does the prior of the small world model contribute? Models of several mixtures of families, beside the experts.

Every model is an ``oswm pretrain`` with as many gradient steps on as many tasks, but of other families. All are asked
the same questions about the same contexts: held-out tasks of all ten families, and steps of the real tasks. The experts
are part of each model, and what counts is what it adds to them.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, table 2 (left): networks as the only prior.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from experiments.command_line import execute, parse
from experiments.one_shot_world_model import prior_measures
from experiments.one_shot_world_model.prior_measures import Pretrained
from synthenv.core.errors import UserError
from synthenv.core.files import plain, to_json, write_atomic
from synthenv.runs.oswm.pretrain import run as pretrain
from synthenv.runs.oswm.pretrain.presets import PRESETS as PRETRAININGS
from synthenv.runs.oswm.pretrain.presets import with_steps
from synthenv.runs.storage.csv_tables import read_csv, write_csv
from synthenv.worldmodel.small.prior.generic_families import GENERIC
from synthenv.worldmodel.small.prior.rigid_families import OVERLAPPING
from synthenv.worldmodel.small.prior.sample import FAMILIES
from synthenv.worldmodel.small.train_step import PretrainConfig

VARIANTS: dict[str, tuple[str, ...]] = {
    "all": tuple(FAMILIES),
    "generic": tuple(GENERIC),
    "network": ("network",),
    **{f"without-{left}": tuple(name for name in FAMILIES if name != left) for left in OVERLAPPING},
}


@dataclass(frozen=True)
class Config:
    """Pretrain small world models on different priors and ask them the same questions.

    ``python -m experiments.one_shot_world_model.prior_ablation --preset cpu --out runs/prior_ablation``

    Calling it again with the same flags goes on where it was stopped. ``--models small=runs/pretrain-small`` measures
    what is pretrained already beside the variants; the same name again, ``small=runs/pretrain-small-seed1``, is another
    seed of it. Cost: cpu 34 CPU-minutes, 27 of them for its 1,500 steps; paper is 24 times ``synthenv oswm
    pretrain``. Numbers to expect: none are published for this model.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of the pretrainings, prior_ablation.csv, prior_ablation.json and prior_ablation.png.
        variants: Priors: all ten families, the five generic ones that resemble no real task, network alone (the
            nearest to the paper's), or without-NAME, one of those left out that do resemble one.
        models: NAME=DIRECTORY of finished runs of ``synthenv oswm pretrain``.
        pretraining: Preset of ``synthenv oswm pretrain`` that gives all but families and steps.
        context_sizes: Context rows at most, batch by batch in turn, in training and in held-out tasks; those of the
            pretraining if not given.
        num_steps: Gradient steps of each variant.
        num_seeds: Pretrainings of each variant.
        num_batches: Held-out tasks of each family.
        num_contexts: Contexts of each real task.
        num_rows: Steps of a real context, and as many questions.
        real_tasks: Ids of the compiled tasks.
        num_workers: Threads that prepare batches.
        seed: Of the first pretraining of each variant, and of all questions.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/prior_ablation")
    variants: tuple[str, ...] = ("all", "generic", "network")
    models: tuple[str, ...] = ()
    pretraining: Literal["small", "smoke"] = "small"
    context_sizes: tuple[int, ...] = (64,)
    num_steps: int = 250
    num_seeds: int = 2
    num_batches: int = 20
    num_contexts: int = 8
    num_rows: int = 256
    real_tasks: tuple[str, ...] = ("GridWorld", "SimpleEnv", "CartPole-v0", "MountainCar-v0", "Pendulum-v1")
    num_workers: int = 2
    seed: int = 0

    @property
    def base(self) -> PretrainConfig:
        """The pretraining of the variant "all"."""
        config = PRETRAININGS[self.pretraining].config
        prior = replace(config.prior, families=VARIANTS["all"], tasks_per_family=1)
        sizes = self.context_sizes or config.context_sizes
        return with_steps(replace(config, prior=prior, context_sizes=sizes), self.num_steps)


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        preset="paper",
        variants=tuple(VARIANTS),
        context_sizes=(),
        num_steps=PRETRAININGS["small"].config.num_steps,
        num_seeds=3,
        num_batches=50,
        num_contexts=20,
    ),
    "smoke": Config(
        preset="smoke",
        variants=("all", "network"),
        pretraining="smoke",
        context_sizes=(),
        num_steps=2,
        num_seeds=1,
        num_batches=2,
        num_contexts=2,
        num_rows=32,
        real_tasks=("SimpleEnv",),
        num_workers=1,
    ),
}


def config_of(variant: str, base: PretrainConfig) -> PretrainConfig:
    """The pretraining on a variant's families, with as many tasks in a batch, or as near as their number allows.

    Raises:
        UserError: there is no such variant.
    """
    if variant not in VARIANTS:
        raise UserError(f"unknown variant {variant!r}: choose from {', '.join(VARIANTS)}")
    families = VARIANTS[variant]
    num_each = max(1, round(len(VARIANTS["all"]) / len(families)))
    return replace(base, prior=replace(base.prior, families=families, tasks_per_family=num_each))


def run(config: Config) -> None:
    """Pretrain what is missing, then write ``prior_ablation.csv``, a line per model, task and context, and its summary.

    Raises:
        UserError: a variant or a model is not there, OUT holds runs of other flags, or there is nothing to measure.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    configs = {variant: config_of(variant, config.base) for variant in config.variants}
    models = [prior_measures.load(*named(text)) for text in config.models]
    for variant, seed in ((name, config.seed + i) for i in range(config.num_seeds) for name in configs):
        path = finish(configs[variant], seed, config.out / f"{variant}_{seed}", config.num_workers)
        models.append(prior_measures.load(variant, path))
    refuse_twins(models)
    lines: list[dict[str, Any]] = []
    for group in alike(models):
        lines += measure(config, group)
    write_csv(config.out / "prior_ablation.csv", lines)
    results = prior_measures.summarise(read_csv(config.out / "prior_ablation.csv"))
    text = to_json({"config": config, "results": results}, indent=1)
    write_atomic(config.out / "prior_ablation.json", f"{text}\n".encode())


def named(text: str) -> tuple[str, Path]:
    """NAME=DIRECTORY.

    Raises:
        UserError: it is something else, or the name is a variant's.
    """
    name, equals, path = text.partition("=")
    if not (name and equals and path) or name in VARIANTS:
        raise UserError(f"{text!r} names no model: pass NAME=DIRECTORY, with a name that is no variant's")
    return name, Path(path)


def refuse_twins(models: list[Pretrained]) -> None:
    """Two models of a name must differ in their seeds.

    Raises:
        UserError: if two do not, or there are no models.
    """
    seen = [(model.name, model.seed) for model in models]
    if not seen:
        raise UserError("there is nothing to measure: pass --variants or --models")
    for name, seed in seen:
        if seen.count((name, seed)) > 1:
            raise UserError(f"two models are called {name} and have seed {seed}: name one of them otherwise")


def finish(config: PretrainConfig, seed: int, path: Path, num_workers: int) -> Path:
    """Begin a pretraining, go on with it, or leave it alone if it is finished.

    Raises:
        UserError: if the directory holds a run of another config.
    """
    stored = path / "config.json"
    if (path / "result.json").exists():
        begun = json.loads(stored.read_bytes())["config"]
        if (begun["pretrain"], begun["seed"]) != (plain(config), seed):
            raise UserError(f"{path} holds a finished run of another config: choose another --out")
        return path

    def show(line: dict[str, Any]) -> None:
        told = f"step {line['step']}/{config.num_steps}  held-out gain {line['held_out_gain']:+.3f}"
        print(f"{path.name}  {told}  {line['cpu_seconds']:.0f} CPU-seconds", flush=True)

    pretrain.run(config, seed, path, resume=True, num_workers=num_workers, on_line=show)
    return path


def alike(models: list[Pretrained]) -> Iterator[list[Pretrained]]:
    """Models that can be asked in the same columns, together: these share contexts, questions and experts."""
    for size in sorted({model.sizes.max_obs for model in models}):
        yield [model for model in models if model.sizes.max_obs == size]


def measure(config: Config, models: list[Pretrained]) -> Iterator[dict[str, Any]]:
    """Ask models that are alike everything; see ``prior_measures.lines_of``."""
    sizes = models[0].sizes
    base = replace(config.base, model=sizes)
    for asked in itertools.chain(
        prior_measures.held_out(base, config.seed, config.num_batches),
        prior_measures.real(config.seed, config.real_tasks, config.num_contexts, config.num_rows, sizes),
    ):
        yield from prior_measures.lines_of(asked, models)


def plot(config: Config) -> None:
    """Draw ``prior_ablation.png``."""
    from experiments.one_shot_world_model.prior_ablation_plot import draw

    results = json.loads((config.out / "prior_ablation.json").read_text())["results"]
    draw(results, config.out / "prior_ablation.png")
    print(f"wrote {config.out / 'prior_ablation.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
