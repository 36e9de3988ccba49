"""The shortest tour: a synthetic CartPole is evolved, and unseen agents learn in it."""

import dataclasses
import time
from pathlib import Path
from typing import Any

from synthenv.core.files import to_json, write_atomic
from synthenv.runs.demo.arguments import Demo
from synthenv.runs.display.terminal import return_table, say
from synthenv.runs.meta_train import run as search_run
from synthenv.runs.meta_train import synthetic_presets
from synthenv.runs.meta_train.command import meta_train, verdict
from synthenv.runs.training import evaluation, places


def carry_out(command: Demo) -> dict[str, Any]:
    """Carry out the demo with the flags of the command line."""
    assert command.out is not None
    return demo(command.out, command.common.seed, command.resume)


def demo(out: Path, seed: int, resume: bool = False, num_agents: int = 10) -> dict[str, Any]:
    """Evolve a synthetic CartPole and train unseen agents in it."""
    say("Evolving a synthetic CartPole", style="bold")
    say(
        "Two small networks play its transitions and rewards. An evolution strategy changes them so that agents\n"
        "trained in them balance the real pole."
    )
    start = time.perf_counter()
    result = search_run.finished_result(synthetic_presets.FAST, seed, out) if resume else None
    if result is None:
        result = meta_train(synthetic_presets.FAST, seed, out, resume)
    else:
        say(f"The search in {out} is done: {verdict(result, synthetic_presets.FAST.outer.objective)}")
    say(
        f"\nNow {num_agents} fresh agents, their hyperparameters drawn at random from the paper's table 2 ..."
    )
    place = places.resolve(str(out))
    agent = dataclasses.replace(place.agent, vary=True)
    trained = evaluation.summarise(evaluation.run_agents(place, agent, num_agents, seed + 1))
    control = evaluation.summarise(evaluation.untrained(place, agent, num_agents, seed + 1))
    rows = {"trained only in the evolved proxy": trained, "untrained control": control}
    return_table("real CartPole-v0 (best possible return: 200)", rows)
    seconds = time.perf_counter() - start
    results = {
        **trained,
        "untrained_control": control,
        "meta_train": result,
        "total_seconds": seconds,
        "out": str(out),
    }
    write_atomic(out / "demo.json", to_json(results, indent=2).encode())
    say(f"{seconds:.0f} s since this command was started. These numbers: {out / 'demo.json'}")
    say(f"How the search went: {out / 'report.html'}")
    return results
