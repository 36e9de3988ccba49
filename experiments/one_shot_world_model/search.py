"""Tables 6 and 7: a search over the networks of the paper's prior, and over the encoder and decoder of its model.

The paper had 45 evaluations of HpBandSter, which is no longer maintained, without its early stopping: BO by kernel
density estimates. Here the like in Optuna, multivariate TPE, proposes. Asking and telling happen in this process, the
study is on disk at any moment, and a trial is a run directory of ``synthenv oswm pretrain``, which can be gone on with.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, appendix F.
"""

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from experiments.command_line import execute, parse
from experiments.one_shot_world_model import search_judges
from experiments.one_shot_world_model.search_space import SPACES, SpaceName, Tables, config_of, tables_of
from synthenv.core.errors import UserError
from synthenv.core.files import plain, to_json, write_atomic
from synthenv.core.programs import forget_programs
from synthenv.nets.transformer import TransformerConfig
from synthenv.runs.oswm.pretrain import run as pretrain
from synthenv.runs.oswm.pretrain.run import PAPER
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.storage.csv_tables import read_csv, write_csv
from synthenv.runs.tune.plan import suggest
from synthenv.runs.tune.results import best_of, ped_anova
from synthenv.runs.tune.spaces import drawn
from synthenv.runs.tune.study import sampler, storage_in
from synthenv.worldmodel.paper import network as paper_model
from synthenv.worldmodel.paper.optimizer import OptimizerConfig
from synthenv.worldmodel.paper.train_step import PaperPretrainConfig
from synthenv.zoo import world_models

_JUDGED = "judged.json"


def _smaller(width: int, num_layers: int, **changes: Any) -> PaperPretrainConfig:
    stack = TransformerConfig(width, 4, 2 * width, num_layers, "post", zero_init_residual=True)
    model = replace(paper_model.PAPER, transformer=stack)
    return PaperPretrainConfig(model, optimizer=OptimizerConfig(learning_rate=1e-3), **changes)


SIZES = {
    "paper": PaperPretrainConfig(),
    "small": _smaller(64, 2, batch_size=4, num_rows=101, num_steps=200),
    "tiny": _smaller(8, 1, batch_size=1, num_rows=24, num_steps=2),
}


@dataclass(frozen=True)
class Config:
    """Search the hyperparameters of the paper's prior and model, its final values being the first trial.

    ``python -m experiments.one_shot_world_model.search --preset cpu --out runs/search``

    Calling it again with the same flags goes on where it was stopped; a larger --num-trials adds some. The paper's two
    searches are ``--space prior`` and ``--space model`` with ``--preset paper --objective real``. Trials share a seed,
    so differences between them hold for that seed alone. Cost: cpu 20 CPU-minutes, 35
    to 88 CPU-seconds a trial; paper is 45 times ``synthenv oswm pretrain --preset paper`` and wants a GPU.
    Numbers to expect: none are published but the final values.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of trials, study.db, search.csv, search.json and search.png.
        objective: held_out judges by random tasks and sees nothing real. real judges by the tasks that the model is
            to be measured on afterwards, as the paper did: what it finds has been fitted to them, so the world models
            are not of synthetic origin alone any more.
        held_out: The random tasks: the generic families of our prior, all of them (half of which resemble the real
            tasks), or the paper's prior with its final values, which favours those if the prior is searched.
        space: prior is table 6, model is table 7.
        size: What a trial trains.
        num_trials: How many, those that fail among them.
        num_steps: Gradient steps of a trial; those of its size if not given.
        num_tasks: To judge by, at least: random tasks, or contexts of the real ones.
        num_rows: Transitions of each, three quarters of them context.
        seed: Randomness.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/search")
    objective: Literal["held_out", "real"] = "held_out"
    held_out: Literal["generic", "all", "released"] = "generic"
    space: SpaceName = "both"
    size: Literal["paper", "small", "tiny"] = "small"
    num_trials: int = 20
    num_steps: int | None = None
    num_tasks: int = 60
    num_rows: int = 128
    seed: int = 0

    @property
    def base(self) -> PaperPretrainConfig:
        """Every trial but for the parameters."""
        base = SIZES[self.size]
        return base if self.num_steps is None else replace(base, num_steps=self.num_steps)


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper", size="paper", num_trials=45, num_tasks=200, num_rows=1001),
    "smoke": Config(preset="smoke", space="model", size="tiny", num_trials=2, num_tasks=5, num_rows=24),
}


def run(config: Config) -> None:
    """Carry the trials out, and write ``search.csv`` and ``search.json`` after each of them.

    Raises:
        UserError: if OUT holds a search of other flags, or no trial has a value.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    study = open_study(config)
    source = config.held_out if config.objective == "held_out" else "real"
    key = jax.random.fold_in(jax.random.key(config.seed), pretrain.REAL)
    questions = search_judges.draw(key, source, config.num_tasks, config.num_rows)
    while (asked := next_trial(study, config)) is not None:
        found = measure(config, *asked, questions)
        is_sound = np.isfinite(found["value"])  # one that diverged has failed
        study.tell(asked[0], found["value"] if is_sound else None, None if is_sound else TrialState.FAIL)
        write(study, config)
        print(f"trial {asked[0]}  " + "  ".join(f"{k} {v:.4g}" for k, v in found.items()), flush=True)
        forget_programs()
    if best_of(study.get_trials()) is None:
        raise UserError(f"no trial in {config.out} has a value: choose another --size or --out")


def open_study(config: Config) -> optuna.Study:
    """The study in OUT, or a new one.

    Raises:
        UserError: if it was asked for other things than this one.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    asked = {
        name: value for name, value in plain(config).items() if name not in ("preset", "out", "num_trials")
    }
    file = config.out / "study.db"
    try:
        storage = storage_in(file)
        study = optuna.create_study(study_name="search", storage=storage, load_if_exists=True)
        begun = study.user_attrs
    except (SQLAlchemyError, optuna.exceptions.OptunaError, AssertionError):
        raise UserError(f"{file} is damaged: put back a copy of it, or choose another --out") from None
    for name, value in begun.items():
        if asked[name] != value:
            raise UserError(
                f"the search in {config.out} was begun with {name} = {value}, not {asked[name]}:"
                " pass the old value to go on, or choose another --out"
            )
    for name, value in asked.items():
        study.set_user_attr(name, value)
    trials = study.get_trials(deepcopy=False)
    if not any(t.state == TrialState.WAITING or "is_drawn" in t.user_attrs for t in trials):
        study.enqueue_trial(drawn(SPACES[config.space], Tables()))
    return study


def next_trial(study: optuna.Study, config: Config) -> tuple[int, Tables] | None:
    """A trial that was interrupted, or else a new one; None if there are enough."""
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state == TrialState.RUNNING and "is_drawn" in trial.user_attrs:
            return trial.number, tables_of(trial.params)
        if trial.state == TrialState.RUNNING:  # stopped while it was drawn
            study.tell(trial.number, state=TrialState.FAIL)
    if sum("is_drawn" in trial.user_attrs for trial in trials) >= config.num_trials:
        return None
    study.sampler = sampler(config.seed, len(trials))
    trial = study.ask()
    tables = suggest(trial, SPACES[config.space], Tables())
    trial.set_user_attr("is_drawn", True)
    return trial.number, tables


def measure(
    config: Config, number: int, tables: Tables, questions: search_judges.Questions
) -> dict[str, float]:
    """Train a model, or go on with it, and judge it.

    Returns:
        ``value``, the mean of ``search_judges.log_errors``, its 95 % bootstrap interval over tasks from ``low`` to
        ``high``, and ``cpu_seconds`` of this call. NaN if the training diverged.
    """
    began = time.process_time()
    out, trained = config.out / "trials" / f"{number:03d}", config_of(tables, config.base)
    if (out / _JUDGED).exists():
        return json.loads((out / _JUDGED).read_bytes())
    try:
        if not (out / "result.json").exists():
            pretrain.run(trained, config.seed, out, resume=True, method=PAPER, notify=lambda line: None)
        errors = search_judges.log_errors(world_models.load(str(out)).params, trained.model, questions)
    except pretrain.Diverged:
        errors = np.array([np.nan])
    low, high = bootstrap_interval(errors)
    seconds = time.process_time() - began
    found = {"value": float(errors.mean()), "low": low, "high": high, "cpu_seconds": seconds}
    write_atomic(out / _JUDGED, json.dumps(found).encode())
    shutil.rmtree(out / "checkpoints", ignore_errors=True)  # 0.2 GB each of the paper's model
    return found


def lines_of(study: optuna.Study, config: Config) -> list[dict[str, Any]]:
    """Lines of ``search.csv``: the trials that have ended, NaN where one has no value."""
    names = [param.name for param in SPACES[config.space]]
    lines = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished() and "is_drawn" in trial.user_attrs:
            found = json.loads((config.out / "trials" / f"{trial.number:03d}" / _JUDGED).read_bytes())
            shown = {name: float(f"{value:.5g}") for name, value in found.items()}
            head = {"trial": trial.number, "state": trial.state.name.lower()}
            lines.append(head | shown | {name: trial.params.get(name, "") for name in names})
    return lines


def write(study: optuna.Study, config: Config) -> None:
    """Write ``search.csv`` and ``search.json``: the best trial, the first, which has the final values, importances."""
    lines = lines_of(study, config)
    write_csv(config.out / "search.csv", lines)
    best = best_of(study.get_trials(deepcopy=False))
    results = {
        "num_trials": len(lines),
        "best": best and next(line for line in lines if line["trial"] == best.number),
        "final_values_of_the_paper": lines[0],
        "importances": ped_anova(study),
        "cpu_seconds": sum(line["cpu_seconds"] for line in lines),
    }
    text = to_json({"config": config, "results": results}, indent=1)
    write_atomic(config.out / "search.json", f"{text}\n".encode())


def plot(config: Config) -> None:
    """Draw ``search.png``."""
    from experiments.one_shot_world_model.search_plot import draw

    results = json.loads((config.out / "search.json").read_text())["results"]
    draw(read_csv(config.out / "search.csv"), results, config.objective, config.out / "search.png")
    print(f"wrote {config.out / 'search.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
