"""CPU milliseconds of one step inside the one-shot world model as it was released, at the paper's size.

Stands alone: run it with an environment that has torch and numpy (``requirements-sb3.txt``) and ``--code``, a clone of
automl/oswm at commit 70647fb. Prints one JSON line. Model, encoders and decoder are the released ones, unmodified, with
the 8 heads of the released inference scripts and random weights: the checkpoints were not published, and the cost does
not depend on them. A step is what the released environment computes: it normalises the state and the action, passes
1,000 context rows and 1,001 queries, of which it keeps one, and de-normalises the answer.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import statistics
import sys
import time
import typing
from importlib.metadata import version

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import torch

CONTEXT, COLUMNS, STATES = 1000, 14, 4  # four state variables, as CartPole
OPTIONS = {
    "encoder_width": 512,
    "encoder_depth": 3,
    "encoder_activation": "gelu",
    "encoder_use_bias": True,
    "encoder_res_connection": True,
    "decoder_width": 64,
    "decoder_depth": 2,
    "decoder_activation": "sigmoid",
    "decoder_use_bias": False,
    "decoder_res_connection": True,
}


def build(code):
    """The released transformer with its "cat" encoders and decoder."""
    # The released layer takes Optional from a module of torch that no longer has it.
    importlib.import_module("torch.nn.modules.transformer").Optional = typing.Optional
    sys.path.insert(0, code)
    decoder, stack = importlib.import_module("decoder"), importlib.import_module("transformer")
    positions = importlib.import_module("positional_encodings")
    encoder_x = decoder.cat_encoder_generator_generator(OPTIONS, target=False)(COLUMNS, 512)
    encoder_y = decoder.cat_encoder_generator_generator(OPTIONS, target=True)(COLUMNS, 512)
    return stack.TransformerModel(
        encoder_x,
        512,
        8,
        1024,
        6,
        y_encoder=encoder_y,
        pos_encoder=positions.NoPositionalEncoding(512, 2 * (CONTEXT + 1)),
        decoder_dict={"standard": (decoder.cat_decoder_generator_generator(OPTIONS), COLUMNS)},
    ).eval()


class World:
    """A context of random rows, and the step of the released environment."""

    def __init__(self, model):
        self.model = model
        self.x, self.y = torch.randn(2, CONTEXT + 1, 1, COLUMNS)
        self.state = torch.zeros(STATES)

    def step(self):
        row = torch.zeros(COLUMNS)
        row[:STATES], row[11] = self.state, 1.0
        mean, std = torch.zeros(1, COLUMNS), torch.ones(1, COLUMNS)
        self.x[CONTEXT] = torch.nan_to_num((row - mean) / std)
        with torch.no_grad():
            answers = self.model(self.x[:CONTEXT], self.y[:CONTEXT], self.x)
        self.state = (answers[CONTEXT] * std + mean)[0, :STATES]


def main():
    """Measure, print the JSON line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--code", required=True, help="clone of automl/oswm")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a measured step for each")
    a = p.parse_args()
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):  # the released code talks
        world = World(build(a.code))
    world.step()  # the first one allocates
    times = []
    for seed in a.seeds:
        torch.manual_seed(seed)
        start = time.process_time()
        world.step()
        times.append(1e3 * (time.process_time() - start))
    out = {
        "peer": "released one-shot world model",
        "versions": {"torch": version("torch")},
        "num_parameters": sum(weight.numel() for weight in world.model.parameters()),
        "cpu_ms_per_step": [round(t, 1) for t in times],
        "median": round(statistics.median(times), 1),
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
