"""Three levels: agents learn in proxies, proxies are evolved, and here a study chooses the hyperparameters of both.

The paper used BOHB. The like of it in Optuna is used here: multivariate TPE proposes, Hyperband stops what is hopeless,
and the resource is the number of generations. This process alone asks, tells and writes the study; workers only train,
so nothing but a pipe can break when one of them dies. ``--resume`` goes on from any stop: trials that were running are
marked as failed, and each is taken up again as a new trial in the same run directory, which can be resumed.

config.json     what was asked
study.db        the Optuna study (SQLite)
trials/NNN/     one run directory per trial, or per search below it where a trial has several
trials.csv best.json importance.png history.png result.json

References:
    Falkner et al. (2018), BOHB; Ferreira et al. (2022), section 4 and tables 3, 7, 10, 13 and 16.
"""

import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from synthenv.core.errors import MachineError, UserError
from synthenv.core.files import disk_error, make_directory, remove
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.storage import metrics
from synthenv.runs.storage.run_directory import RunDir
from synthenv.runs.tune import results as tune_results
from synthenv.runs.tune.plan import Plan, suggest
from synthenv.runs.tune.spaces import drawn
from synthenv.runs.tune.workers import Ending, Job, Worker, shares, wait_for

STUDY = "study.db"
Show = Callable[[dict[str, Any]], None]


def tune(plan: Plan, out: Path, show: Show, notify: Callable[[str], None]) -> dict[str, Any]:
    """Carry out a study, or what is left of it.

    Args:
        plan: the study.
        out: its directory.
        show: called with every generation and every end of a trial.
        notify: called with a line about anything the user should know.

    Returns:
        the summary, as in ``result.json``.

    Raises:
        UserError: if the directory holds something else, a finished or a damaged study, or no trial was completed.
    """
    with RunDir.create(out, plan.asked(), plan.command.resume, leaves_proxy=False) as run:
        notify(f"study directory: {out}")
        for note in run.notes:
            notify(note)
        study = open_study(out, plan)
        try:
            _take_up(study, out, notify)
            _work_off(study, plan, out, show)
            summary = tune_results.write(study, plan, out)
        except OSError as error:  # no process or no pipe for a worker
            raise disk_error(error, out) from error
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            cause = str(error).splitlines()[0]
            raise MachineError(
                f"cannot use {out / STUDY} ({cause}): check the disk and go on with --resume"
            ) from None
        run.save_result(summary)
        return summary


def open_study(out: Path, plan: Plan) -> optuna.Study:
    """Open the study in a directory, or make a new one if none of its trials was begun.

    Raises:
        UserError: if it is damaged or lost.
    """
    file, begun = out / STUDY, (out / "trials").exists()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    most = plan.base.outer.num_generations
    try:
        if not begun:
            remove(file)  # a study that was killed while it was made
        elif not file.exists():
            raise KeyError
        storage = storage_in(file)
        study = (optuna.load_study if begun else optuna.create_study)(
            study_name="tune",
            storage=storage,
            pruner=optuna.pruners.HyperbandPruner(-(-most // 9), most, reduction_factor=3),
        )
        if not begun:
            # The first trial is the preset itself, as far as it lies in the ranges, and the others have to beat it.
            study.enqueue_trial(drawn(plan.params, plan.base))
        study.get_trials()
    except (SQLAlchemyError, KeyError, optuna.exceptions.OptunaError, AssertionError):
        raise UserError(
            f"{file} is damaged or lost: put back a copy of it, or choose another --out"
        ) from None
    make_directory(out / "trials")
    return study


def storage_in(file: Path) -> optuna.storages.RDBStorage:
    """Open a study's file of any name: an address would give question marks and per cent signs a meaning."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(file.absolute(), check_same_thread=False)

    return optuna.storages.RDBStorage(f"sqlite:///{STUDY}", engine_kwargs={"creator": connect})


def sampler(seed: int, number: int) -> optuna.samplers.BaseSampler:
    """Return TPE for one trial.

    Its draws depend on the trial's number, so a resumed study does not repeat its first ones.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group
        return optuna.samplers.TPESampler(
            multivariate=True,
            group=True,  # conditional parameters: one joint density for each set that exists together
            constant_liar=True,
            seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
        )


def make_job(config: MetaTrainConfig, seed: int, out: Path, number: int, num_searches: int) -> Job:
    """Say where the searches of a trial leave their runs, and with which seeds they begin.

    Args:
        config: the config of the searches.
        seed: the study's seed.
        out: the study's directory.
        number: number of the trial's first attempt.
        num_searches: searches of the trial.
    """
    place = out / "trials" / f"{number:03d}"
    runs = (place,) if num_searches == 1 else tuple(place / f"search-{i}" for i in range(num_searches))
    return Job(config, runs, tune_results.seeds(seed, number, num_searches))


def _take_up(study: optuna.Study, out: Path, notify: Callable[[str], None]) -> None:
    """Mark the trials that were running as failed, and queue each to be gone on with.

    A trial that was gone on with before and came no further is given up, since it may be what ends the process. It is
    queued all the same if the machine stopped it, which is on record.
    """
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        number = tune_results.first_attempt(trial)
        runs = sorted((out / "trials" / f"{number:03d}").glob("**/config.json"))
        generations = sum(metrics.num_generations(metrics.read(run.parent)) for run in runs)
        stopped = "stopped" in trial.user_attrs
        given_up = trial.user_attrs.get("from_generation") == generations and not stopped
        notify(
            f"trial {number} was interrupted after generation {generations}"
            + (": given up" if given_up else "")
        )
        if not given_up:
            attrs = {"continues": number, "from_generation": generations}
            study.enqueue_trial(trial.params, user_attrs=attrs)


def _next_job(study: optuna.Study, plan: Plan, out: Path) -> tuple[Trial, Job] | None:
    """Ask for a trial: an interrupted one first, a new one while there should be more, else None."""
    trials = study.get_trials(deepcopy=False)
    begun = sum(tune_results.first_attempt(trial) == trial.number for trial in trials)
    queued = any(trial.state == TrialState.WAITING for trial in trials)
    if not queued and begun >= plan.command.num_trials:
        return None
    seed = plan.command.common.seed
    study.sampler = sampler(seed, len(trials))
    trial = study.ask()
    config = suggest(trial, plan.params, plan.base)
    return trial, make_job(config, seed, out, tune_results.first_attempt(trial), plan.command.num_searches)


def _work_off(study: optuna.Study, plan: Plan, out: Path, show: Show) -> None:
    """Keep the workers busy until every trial has ended."""
    workers = [Worker(cores) for cores in shares(plan.command.num_workers)]
    running: dict[Worker, Trial] = {}
    try:
        while True:
            for worker in workers:
                if worker not in running and (asked := _next_job(study, plan, out)):
                    running[worker], job = asked
                    worker.begin(job)
            if not running:
                return
            for worker in wait_for(running):
                trial, message = running[worker], worker.hear()
                if isinstance(message, Ending):
                    del running[worker]
                    _end(study, trial, message)
                    tune_results.write_table(study, plan, out)
                    show(tune_results.news(study, trial.number))
                else:
                    worker.answer(_goes_on(trial, *message))
                    show(
                        {
                            "trial": tune_results.first_attempt(trial),
                            "generation": message[0],
                            "value": message[1],
                        }
                    )
    finally:
        for worker in workers:
            worker.stop()


def _goes_on(trial: Trial, done: int, value: float) -> bool:
    """Record a generation of a trial; return whether there should be another."""
    if done in trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values:
        return True  # a generation that was lost with its checkpoint and came again
    trial.report(value, done)
    return not trial.should_prune()


def _end(study: optuna.Study, trial: Trial, ending: Ending) -> None:
    """Record the end of a trial; a bug is recorded as a failure, and the study goes on.

    Raises:
        MachineError: the machine stopped it. For the study it is still running, as after a kill.
    """
    if ending.state == "stopped":
        trial.set_user_attr("stopped", ending.reason)
        raise MachineError(f"trial {trial.number} was stopped: {ending.reason}")
    if ending.reason:
        trial.set_user_attr("reason", ending.reason.strip().splitlines()[-1])
    if ending.state == "complete":
        study.tell(trial, ending.value)
    else:
        study.tell(trial, state=TrialState.PRUNED if ending.state == "pruned" else TrialState.FAIL)
    if ending.state == "broken":
        raise RuntimeError(f"trial {trial.number} met a bug:\n{ending.reason}")
