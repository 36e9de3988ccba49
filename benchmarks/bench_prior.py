"""CPU time of a batch of the OSWM prior, normalised and shuffled, beside the released code's.

    python benchmarks/bench_prior.py [--only released nn_only paper] [--repeats 5] [--json FILE]

A repeat is a batch of 8 x 1,001 rows of the released code, if ``SYNTHENV_RELEASED_OSWM`` names a clone of it and
``SYNTHENV_SB3_PYTHON`` the interpreter to run it (see ``peers/README.md``), and then 200 batches of ours; otherwise
ours is beside what the released code was once measured to take. Ours is the median and the mean over batches, which
differ in how many networks they need; the ratio is of medians. Batches of 64 are timed too. One core; compilation is
not charged.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # one core for us and, inherited, for the released code
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"

import jax
from comparison import HERE, run_peer

from synthenv.worldmodel.paper.prior import sample as prior

CONFIGS = {"released": prior.RELEASED, "nn_only": prior.NN_ONLY, "paper": prior.PAPER}
# CPU seconds of a batch of the released code where it was first measured, on another processor.
RELEASED = {"released": 2.46, "nn_only": 3.30}
BATCH, MANY, ROWS = 8, 64, 1001


class Timed:
    """A compiled batch of ours."""

    def __init__(self, config: prior.ReleasedPriorConfig, batch: int):
        def make(key: jax.Array) -> Any:
            return prior.draw_batch(key, config, batch, ROWS)

        self.make = jax.jit(make).lower(jax.random.key(0)).compile()
        jax.block_until_ready(self.make(jax.random.key(0)))

    def __call__(self, seed: int, num_batches: int) -> list[float]:
        """CPU milliseconds of each of some batches."""
        took = []
        for key in jax.random.split(jax.random.key(seed), num_batches):
            start = time.process_time()
            jax.block_until_ready(self.make(key))
            took.append(1e3 * (time.process_time() - start))
        return took


def released_seconds(name: str, seed: int) -> dict[str, Any]:
    """CPU seconds of one batch of the released code, or why there are none."""
    code = os.environ.get("SYNTHENV_RELEASED_OSWM")
    if not code:
        return {"note": "skipped: SYNTHENV_RELEASED_OSWM is not set"}
    options = {"code": code, "prior": name, "batch": BATCH, "rows": ROWS}
    return run_peer("released_prior.py", "SYNTHENV_SB3_PYTHON", [seed], **options)


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Times of one prior, ours and the released code's in turn."""
    few, many = Timed(CONFIGS[name], BATCH), Timed(CONFIGS[name], MANY)
    medians, means, large, theirs = [], [], [], []
    for seed in range(repeats):
        if name in RELEASED:
            theirs.append(released_seconds(name, seed))
        took = few(seed, 200)
        medians.append(statistics.median(took))
        means.append(statistics.fmean(took))
        large.append(statistics.median(many(seed, 40)))
    out = {
        "batch": [BATCH, ROWS],
        "median_ms": [round(x, 3) for x in medians],
        "mean_ms": [round(x, 3) for x in means],
        f"median_ms_of_{MANY}": [round(x, 2) for x in large],
        "rows_per_cpu_second": round(MANY * ROWS / statistics.median(large) * 1e3),
    }
    return out | (compared(name, medians, theirs) if name in RELEASED else {})


def compared(name: str, ours: list[float], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """Ratios of the pairs; with what was once measured where the released code did not run."""
    seconds = [second for line in theirs for second in line.get("cpu_seconds", [])]
    if len(seconds) < len(theirs):
        note = next(line["note"] for line in theirs if "note" in line)
        once = RELEASED[name]
        ratio = round(1e3 * once / statistics.median(ours))
        return {"released_not_measured_in_this_run": once, "note": note, "ratio": ratio}
    ratios = [1e3 * second / ms for second, ms in zip(seconds, ours, strict=True)]
    return {
        "released_cpu_seconds": [round(second, 3) for second in seconds],
        "released_versions": theirs[0]["versions"],
        "ratio": round(statistics.median(ratios)),
        "ratio_range": [round(min(ratios)), round(max(ratios))],
    }


def describe(name: str, result: dict[str, Any]) -> str:
    """One line."""
    median, mean = (statistics.median(result[key]) for key in ("median_ms", "mean_ms"))
    line = (
        f"{name}: {median:.2f} ms CPU a batch of {BATCH} x {ROWS:,} ({min(result['median_ms']):.2f} to"
        f" {max(result['median_ms']):.2f}; mean of batches {mean:.2f}), in batches of {MANY}"
        f" {result['rows_per_cpu_second']:,} rows a second"
    )
    if "released_cpu_seconds" in result:
        low, high = result["ratio_range"]
        theirs = statistics.median(result["released_cpu_seconds"])
        return f"{line}; released code {theirs:.2f} s, {result['ratio']:,} times ({low:,} to {high:,})"
    if "ratio" in result:
        theirs = result["released_not_measured_in_this_run"]
        return f"{line}; released code (not measured in this run) {theirs:.2f} s, {result['ratio']:,} times"
    return line


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "prior.json")
    args = parser.parse_args()
    results = json.loads(args.json.read_text()) if args.json.exists() else {}
    for name in args.only:
        results[name] = measure(name, args.repeats)
        print(describe(name, results[name]), flush=True)
    args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
