"""Write what a study leaves: a table of trials, the best config with its command, importances, pictures, a summary."""

import shlex
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from synthenv.core.errors import UserError
from synthenv.core.files import plain, to_json, write_atomic
from synthenv.core.registry import import_words
from synthenv.runs.meta_train.config import MetaTrainConfig, put_all
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.storage import metrics
from synthenv.runs.storage.csv_tables import write_csv
from synthenv.runs.tune import plot as tune_plot
from synthenv.runs.tune.plan import Plan

BEST, TABLE = "best.json", "trials.csv"
# Share of the completed trials that is compared with the others, and the fewest trials that allow a comparison.
TOP_SHARE, FEWEST_COMPLETED = 0.25, 8


def state_of(trial: FrozenTrial) -> str:
    """Return complete, pruned, failed, running, waiting, or interrupted if its process was ended from outside."""
    if trial.state == TrialState.FAIL:
        return "failed" if "reason" in trial.user_attrs else "interrupted"
    return trial.state.name.lower()


def chosen(trial: FrozenTrial, plan: Plan) -> dict[str, Any]:
    """Return the parameters of a trial as the config has them, by path."""
    return {p.path: p.value(trial.params[p.name]) for p in plan.params if p.name in trial.params}


def first_attempt(trial: FrozenTrial | Trial) -> int:
    """Return the number of the interrupted trial that a trial goes on with, or its own if it goes on with none."""
    return trial.user_attrs.get("continues", trial.number)


def last_attempts(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials, without those that were gone on with."""
    return list({first_attempt(trial): trial for trial in trials}.values())


def best_of(trials: Iterable[FrozenTrial]) -> FrozenTrial | None:
    """Return the completed trial of the least value, the earliest of several; None if none was completed."""
    completed = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(completed, key=lambda trial: trial.values[0], default=None)


def news(study: optuna.Study, number: int) -> dict[str, Any]:
    """Return what a person wants to know when a trial has ended."""
    trials = study.get_trials(deepcopy=False)
    trial = trials[number]
    best = best_of(trials)
    return {
        "trial": first_attempt(trial),
        "state": state_of(trial),
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "generations": trial.last_step or 0,
        "reason": trial.user_attrs.get("reason", ""),
        "num_ended": sum(state_of(t) not in ("running", "waiting") for t in last_attempts(trials)),
        "best_trial": best and first_attempt(best),
        "best_value": best and best.value,
    }


def config_of(trial: FrozenTrial, plan: Plan) -> MetaTrainConfig:
    """The config of a trial's searches."""
    return put_all(plan.base, chosen(trial, plan))


def seeds(seed: int, number: int, num_searches: int) -> tuple[int, ...]:
    """Return the seeds of the searches of the trial with that number."""
    return tuple(np.random.SeedSequence([seed, number, 1]).generate_state(num_searches).tolist())


def flags(config: MetaTrainConfig, preset_name: str) -> list[str]:
    """Return the words after ``synthenv meta-train`` that mean this config: what differs from the preset."""
    form, agent = config.proxy.kind, config.agent.full_name
    words = ["--proxy", form, "--task", config.task, "--preset", preset_name]
    base = preset(form, preset_name, config.task)
    if agent != base.agent.full_name:
        words += ["--agent", agent]
        base = preset(form, preset_name, config.task, agent)
    before, now = plain(base), plain(config)
    for part in ("proxy", "agent", "strategy", "outer"):
        for name, value in now[part].items():
            if value == before[part][name]:
                continue
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{part}.{flag}" if value else f"--{part}.no-{flag}")
            else:
                words += [f"--{part}.{flag}", str(value)]
    return words


def write_table(study: optuna.Study, plan: Plan, out: Path) -> None:
    """Write ``trials.csv``: one row for each attempt at a trial."""
    paths = list(dict.fromkeys(param.path for param in plan.params))

    def row_of(trial: FrozenTrial) -> dict[str, Any]:
        found = chosen(trial, plan)
        return {
            "number": trial.number,
            "state": state_of(trial),
            "value": trial.value if trial.state == TrialState.COMPLETE else "",
            "generations": trial.last_step or 0,
            "run": f"trials/{first_attempt(trial):03d}",
            **{path: found.get(path, "") for path in paths},
            "reason": trial.user_attrs.get("reason", ""),
        }

    write_csv(out / TABLE, map(row_of, study.get_trials(deepcopy=False)))


def write_best(best: FrozenTrial, plan: Plan, out: Path) -> dict[str, Any]:
    """Write ``best.json``: the best trial, its config and the command that repeats its first search."""
    config = config_of(best, plan)
    number = first_attempt(best)
    seed = seeds(plan.command.common.seed, number, 1)[0]
    words = ["synthenv", "meta-train", *shlex.split(import_words()), *flags(config, plan.command.preset)]
    words += ["--seed", str(seed), "--out", "runs/best"]
    found = {
        "trial": number,
        "value": best.value,
        "params": chosen(best, plan),
        "seed": seed,
        "command": shlex.join(words),
        "config": config,
    }
    write_atomic(out / BEST, to_json(found, indent=2).encode())
    return found


def importances(study: optuna.Study, plan: Plan) -> dict[str, float]:
    """Return how much each parameter mattered, by ``ped_anova``.

    Pruned and failed trials have no value to compare, so only survivors count: a parameter that decides who is
    pruned may look unimportant.
    """
    path_of = {param.name: param.label or param.path for param in plan.params}
    return {path_of[name]: share for name, share in ped_anova(study).items()}


def ped_anova(study: optuna.Study) -> dict[str, float]:
    """Return how much each parameter tells the best quarter of the completed trials from the rest, summing to 1.

    The answer is empty where too few trials were completed, or all are equally good.

    References:
        Watanabe et al. (2023), PED-ANOVA.
    """
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(completed) < FEWEST_COMPLETED or len({trial.value for trial in completed}) == 1:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP_SHARE)
    with warnings.catch_warnings():
        # The warnings are about parameters that few trials have; the picture tells the number of trials.
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def write(study: optuna.Study, plan: Plan, out: Path) -> dict[str, Any]:
    """Write everything that a finished study leaves.

    Returns:
        the summary.

    Raises:
        UserError: if no trial was completed, or the disk is full.
    """
    write_table(study, plan, out)
    trials = study.get_trials(deepcopy=False)
    best = best_of(trials)
    if best is None:
        raise UserError(
            f"no trial was completed: {out / TABLE} has the reasons; choose another --preset or --out"
        )
    found = write_best(best, plan, out)
    states = Counter(state_of(trial) for trial in last_attempts(trials))
    shares = importances(study, plan)
    numbers = [(first_attempt(trial), state_of(trial), trial.value) for trial in last_attempts(trials)]
    num_completed = states["complete"]
    tune_plot.write_importances(shares, num_completed, len(numbers), out / "importance.png")
    tune_plot.write_history(numbers, plan.command.proxy, out / "history.png")
    runs = [metrics.read(file.parent) for file in (out / "trials").glob("**/config.json")]
    return {
        "num_trials": len(numbers),
        "completed": num_completed,
        "pruned": states["pruned"],
        "failed": states["failed"] + states["interrupted"],
        "generations": sum(map(metrics.num_generations, runs)),
        "seconds": sum(line["seconds"] for lines in runs for line in lines),
        "importances": shares,
        "best": {name: found[name] for name in ("trial", "value", "params", "seed", "command")},
    }
