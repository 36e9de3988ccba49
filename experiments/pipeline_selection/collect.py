"""Make a meta-data set of our own: fine-tune pretrained networks on small image tasks with random settings.

Every configuration is run on every task, one configuration after the other, so that a budget that ends early leaves a
table without holes but for its last rows. What a step costs are seconds of one processor core, without compilation,
which do not depend on what else the machine does; what frozen units make of images is computed once, in the first
epoch, if no image changes between epochs.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments.command_line import execute, parse
from synthenv.core.files import make_directory, to_json, write_atomic
from synthenv.nets.efficientnet_lite import EfficientNetLiteConfig
from synthenv.selection.readers.from_runs import Run, from_runs
from synthenv.selection.readers.write import write_meta_dataset
from synthenv.selection.tables.space import SearchSpace
from synthenv.selection.vision.fine_tune import DivergedError, fine_tune
from synthenv.selection.vision.hub import HUB, Weights
from synthenv.selection.vision.image_tasks import ImageSource, ImageTask, image_task
from synthenv.selection.vision.settings import fine_tuning_space


@dataclass(frozen=True)
class Config:
    """Fine-tune on small image tasks with random settings, and keep every learning curve.

    ``python -m experiments.pipeline_selection.collect --cifar10 CIFAR/train.zip --fashion FASHION --out runs/collect``

    Calling it again with the same flags goes on where it was stopped; a run that was interrupted begins anew.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of a file for each run, and of meta_dataset.
        cifar10: Zip file or folder CLASS/IMAGE.png of CIFAR-10; tasks made of it are left out without it.
        fashion: Directory with the files of Fashion-MNIST; tasks made of it are left out without it.
        num_configs: Random configurations.
        epochs: Epochs of each run.
        models: Networks to choose from.
        resolutions: What images are scaled to.
        hours: Budget in hours of a processor core, compilation included; no run begins behind it.
        size_factor: By which the numbers of images are multiplied.
        seed: Randomness.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/collect")
    cifar10: Path | None = None
    fashion: Path | None = None
    num_configs: int = 60
    epochs: int = 10
    models: tuple[str, ...] = field(default=tuple(HUB))
    resolutions: tuple[int, ...] = (32, 48, 64)
    hours: float = 8.0
    size_factor: float = 1.0
    seed: int = 0


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        preset="paper", num_configs=300, epochs=50, resolutions=(64, 96, 128), hours=1e4, size_factor=4.0
    ),
    "smoke": Config(
        preset="smoke",
        num_configs=2,
        epochs=2,
        models=("efficientnet_lite0",),
        resolutions=(16,),
        size_factor=0.1,
    ),
}
# classes, images to train on, images to validate on
_CIFAR10: dict[str, tuple[tuple[str, ...] | None, int, int]] = {
    "cifar-all": (None, 400, 300),
    "cifar-all-few": (None, 100, 300),
    "cifar-animals": (("bird", "cat", "deer", "dog", "frog", "horse"), 300, 200),
    "cifar-vehicles": (("airplane", "automobile", "ship", "truck"), 200, 200),
    "cifar-pets": (("cat", "dog"), 200, 200),
    "cifar-road": (("automobile", "truck"), 100, 200),
    "cifar-hooves": (("deer", "horse"), 150, 200),
    "cifar-wings": (("airplane", "bird"), 60, 200),
}
_DIGITS: dict[str, tuple[tuple[str, ...] | None, int, int]] = {
    "digits": (None, 300, 300),
    "digits-few": (None, 60, 300),
}
_FASHION: dict[str, tuple[tuple[str, ...] | None, int, int]] = {
    "fashion": (None, 300, 300),
    "fashion-tops": (("t-shirt", "pullover", "dress", "coat", "shirt"), 150, 200),
}
# Not collected: the task that tuners are compared on.
HELD_OUT = {"cifar-sky-and-sea": (("airplane", "bird", "ship", "frog"), 200, 300)}


def sources(config: Config) -> dict[str, ImageSource]:
    """The tasks by name, as far as their images are there."""
    places = {config.cifar10: _CIFAR10, "digits": _DIGITS, config.fashion: _FASHION}
    return {
        name: source(config, str(path), *drawn)
        for path, tasks in places.items()
        if path is not None
        for name, drawn in tasks.items()
    }


def source(
    config: Config, path: str, classes: tuple[str, ...] | None, num_train: int, num_valid: int
) -> ImageSource:
    """A task of images at ``path``, with the numbers of images that the preset wants."""
    train, valid = (max(int(count * config.size_factor), 20) for count in (num_train, num_valid))
    return ImageSource(path, classes, train, valid)


def run(config: Config, network: tuple[EfficientNetLiteConfig, Weights] | None = None) -> None:
    """Run what has not been run, and write ``meta_dataset``.

    Args:
        config: what to do.
        network: a network and its weights, in place of those of the hub.

    Raises:
        UserError: images or weights are missing.
    """
    make_directory(config.out / "runs")
    space = fine_tuning_space(config.models, config.resolutions)
    configs = {f"c{i:03d}": drawn for i, drawn in enumerate(space.sample(config.num_configs, config.seed))}
    tasks = {name: image_task(one, config.seed) for name, one in sources(config).items()}
    for config_name, settings in configs.items():
        for task_name, task in tasks.items():
            file = config.out / "runs" / f"{task_name}_{config_name}.json"
            if file.exists():
                continue
            if sum(line["spent"] for line in done(config)) > config.hours * 3600:
                return write(config, space, configs, tasks)
            line = run_one(task, settings, config, network)
            line = {"task": task_name, "config": config_name, **line}
            write_atomic(file, f"{to_json(line)}\n".encode())
            print(f"{task_name}  {config_name}  best {line['best']}  {line['spent']:.0f} s", flush=True)
    return write(config, space, configs, tasks)


def run_one(
    task: ImageTask,
    settings: dict[str, Any],
    config: Config,
    network: tuple[EfficientNetLiteConfig, Weights] | None = None,
) -> dict[str, Any]:
    """The learning curve of a configuration, None where the loss was no number any more."""
    begin = time.process_time()
    curve: list[float | None] = []
    costs: list[float | None] = []
    crashed = False
    try:
        for epoch in fine_tune(task, settings, config.epochs, config.seed, network=network):
            curve.append(epoch.accuracy)
            costs.append(round(epoch.cpu_seconds, 4))
    except DivergedError:
        crashed = True
        curve.append(None)
        costs.append(None)
    best = max((score for score in curve if score is not None), default=None)
    spent = time.process_time() - begin
    return {"curve": curve, "costs": costs, "crashed": crashed, "best": best, "spent": spent}


def done(config: Config) -> Iterator[dict[str, Any]]:
    """What has been run."""
    for file in sorted((config.out / "runs").glob("*.json")):
        yield json.loads(file.read_text())


def write(
    config: Config, space: SearchSpace, configs: dict[str, dict[str, Any]], tasks: dict[str, ImageTask]
) -> None:
    """Write ``meta_dataset`` of all runs on these tasks."""
    runs = [
        Run(line["task"], line["config"], _numbers(line["curve"]), _numbers(line["costs"]), line["crashed"])
        for line in done(config)
        if line["task"] in tasks and line["config"] in configs
    ]
    about = {name: task.meta_features for name, task in tasks.items()}
    meta = from_runs(runs, configs, about, columns=space.columns, score_name="validation accuracy")
    write_meta_dataset(meta, config.out / "meta_dataset")
    print(f"wrote {config.out / 'meta_dataset'}: {len(runs)} runs on {len(meta.datasets)} tasks")


def _numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run))
