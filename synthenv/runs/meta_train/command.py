"""What ``synthenv meta-train`` shows on the terminal."""

import functools
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.registry import import_words
from synthenv.runs.display.terminal import bars, counted, listing, say
from synthenv.runs.meta_train import run as search_run
from synthenv.runs.meta_train.arguments import MetaTrain
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.meta_train.report import headlines, read_story, write_report

_STYLES = {True: "green", False: "yellow", None: None}  # styles of the verdict on a search


def carry_out(command: MetaTrain) -> dict[str, Any]:
    """Evolve a proxy as the command line says."""
    assert command.out is not None
    return meta_train(command.config, command.common.seed, command.out, command.resume)


def meta_train(config: MetaTrainConfig, seed: int, out: Path, resume: bool) -> dict[str, Any]:
    """Evolve a proxy, show how it goes, and leave a report in the run directory."""
    total = config.outer.num_generations
    with bars() as make_bar:
        bar = make_bar("generation", total)
        start_bar = functools.cache(lambda rounds: make_bar("choosing a start", rounds))

        def show(line: dict[str, Any]) -> None:
            done, told = line["generation"] + 1, progress_numbers(line)
            bar.show(told, f"generation {done}/{total}  {told}", completed=done)

        def show_start(done: int, rounds: int) -> None:
            is_told = done * 5 // rounds > (done - 1) * 5 // rounds  # five lines where there is no bar
            line = f"choosing a start: {done}/{rounds} rounds of trials" if done and is_told else None
            start_bar(rounds).show("rounds of trials", line, completed=done)

        result = search_run.meta_train(config, seed, out, resume, show, say, show_start)
    if not result:  # the first process has it
        return result
    try:
        write_report(out)
    except UserError as error:  # the run is finished and safe; only its picture is missing
        say(f"no report: {error}", style="yellow")
    say(verdict(result, config.outer.objective), style=_STYLES[result["solved"]])
    curves = " --curves --baselines" if config.proxy.shapes_rewards else ""
    named = f"{shlex.quote(str(out))}{import_words()}"
    say(f"report: {out / 'report.html'}\nnext:   synthenv evaluate --proxy {named} --num-agents 40{curves}")
    if (
        curves or config.agent.replayed_actions != "none"
    ):  # the picture of a synthetic environment needs a replay
        say(f"        synthenv plot {named}")
    return result


def show(out: Path) -> None:
    """Print the table of a search so far."""
    story = read_story(out)
    listing(story.title, ("", ""), [(label, number) for number, label in headlines(story)])


def verdict(result: dict[str, Any], objective: str) -> str:
    """Say in a line how a finished search went."""
    word = {True: "solved", False: "not solved", None: "finished"}[result["solved"]]
    best, what = result["best_incumbent"], "return" if objective == "max_reward" else objective
    said = (
        f"best mean {what} of an incumbent's agents {best:.1f}"
        if np.isfinite(best)
        else "no incumbents were tested"
    )
    return f"{word} after {counted(result['generations'], 'generation')}, {result['seconds']:.0f} s: {said}"


def progress_numbers(line: dict[str, Any]) -> str:
    """Write what a person wants to see of a generation while waiting for the next."""
    incumbent, deciding = line["incumbent_mean"], line["deciding_mean"]
    asked = "" if deciding is None else f" (decided at {deciding:.1f})"
    best = ""
    if incumbent is not None:
        score, mean_return = f"{incumbent:.1f}", f"{line['incumbent_return']:.1f}"
        gained = "" if score == mean_return else f" (return {mean_return})"  # the score is not the return
        best = f"incumbent {score}{gained}{asked}  best {line['best_incumbent']:.1f}  "
    return (
        f"{best}members {line['member_mean']:.1f}  steps/agent {line['train_steps_mean']:.0f}"
        f"  {line['seconds']:.1f} s"
    )
