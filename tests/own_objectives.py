"""Objectives that the tests of searches try, in a file that other processes can import."""

import json
import os
import time

STEPS = 9


def curve(config, first_step):
    """Rises to x; costs a second a step."""
    for step in range(first_step, STEPS):
        yield {"score": config["x"] * (1.0 - 0.5 ** (step + 1)), "cost": 1.0}


def objective(config):
    """The value of x itself."""
    print("trying", config["x"])
    return config["x"]


def troubled(config):
    """Hangs, dies or raises where x says so."""
    match config["x"]:
        case 0:
            time.sleep(60.0)
        case 1:
            os._exit(7)
        case 2:
            raise ValueError("two")
    return config["x"]


def checkpoints(config, step, directory, previous_directory):
    """Counts its steps in a file, each from the file of the step before."""
    before = 0 if previous_directory is None else json.loads((previous_directory / "state.json").read_text())
    (directory / "state.json").write_text(json.dumps(before + 1))
    assert before + 1 == step
    return config["x"] * step


def logged(config, first_step, last_step, directory):
    """Writes down that it begins, takes a moment, and rises to x."""
    line = json.dumps([directory.parent.name, first_step, last_step])
    with open(os.environ["OBJECTIVE_LOG"], "a") as file:
        file.write(f"{line}\n")
    for step in range(first_step, last_step):
        time.sleep(0.02)
        yield {"score": config["x"] * (1.0 - 0.5 ** (step + 1)), "cost": 1.0}
