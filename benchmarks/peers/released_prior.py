"""CPU seconds of a batch of the OSWM paper's released prior.

Stands alone: run it with an environment made from ``requirements-sb3.txt`` (torch and gymnasium) and ``--code``, a
clone of automl/oswm at commit 70647fb. Prints one JSON line. The released prior runs unmodified, normalisation and
shuffle included, with the numbers of its training script; empty modules stand in for the plotting packages that its
files import and these functions never call. One thread.
"""

import argparse
import importlib
import json
import os
import random
import statistics
import sys
import time
from importlib.metadata import version
from types import ModuleType

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numpy as np
import torch

ENVIRONMENTS = {"released": "MomentumEnv", "nn_only": "NNEnv"}
NETWORKS = {
    "num_hidden": 1,
    "width_hidden": 16,
    "use_bias": False,
    "use_dropout": False,
    "use_layer_norm": True,
}
ACTIVATIONS = {"relu": False, "sigmoid": False, "sin": True, "tanh": True}
START = {"state_offset": 3.2802608490289904, "state_scale": 18.147661409701062}
SIZES = {
    "max_num_state": 11,
    "max_num_action": 3,
    "test": False,
    "no_norm": False,
    "use_res_connection": True,
}
PLOTTING = (
    "seaborn",
    "pandas",
    "matplotlib",
    "matplotlib.pyplot",
    "matplotlib.gridspec",
    "scipy",
    "scipy.stats",
)


def load(code):
    """The released module."""
    sys.dont_write_bytecode = True  # the clone stays as it is
    importlib.import_module("torch._dynamo")  # looks for pandas: before there is an empty one
    for name in PLOTTING:
        sys.modules[name] = ModuleType(name)
    sys.path.insert(0, code)
    return importlib.import_module("priors.rl_prior")


def seconds(prior, name, batch, rows, seed):
    """CPU seconds of one batch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what the released code draws from
    torch.manual_seed(seed)
    hyperparameters = NETWORKS | ACTIVATIONS | START | SIZES | {"env_name": ENVIRONMENTS[name]}
    start = time.process_time()
    drawn = prior.get_batch(batch, rows, 14, device="cpu", hyperparameters=hyperparameters)
    took = time.process_time() - start
    assert drawn.x.shape == drawn.y.shape == (rows, batch, 14)
    return took


def main():
    """Measure each seed, print the JSON line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--code", required=True, help="clone of automl/oswm")
    p.add_argument("--prior", choices=ENVIRONMENTS, default="released")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--rows", type=int, default=1001)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    a = p.parse_args()
    torch.set_num_threads(1)
    prior = load(a.code)
    took = [seconds(prior, a.prior, a.batch, a.rows, seed) for seed in a.seeds]
    out = {
        "peer": f"released {a.prior}",
        "versions": {name: version(name) for name in ("torch", "gymnasium", "numpy")},
        "cpu_seconds": took,
        "median": statistics.median(took),
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
