"""How well surrogates extrapolate learning curves: log-likelihood and squared error of scores that came later.

    python benchmarks/bench_curve_extrapolation.py DIRECTORY [--surrogates latent_kronecker ...] [--json FILE]

DIRECTORY holds a meta-data set in any layout that is known. The data sets are dealt to folds; a surrogate is fitted on
the other folds and then told a random part of the curves of a data set: some candidates not at all, the others up to a
random step. It is asked for later scores of all of them. Scores are scaled to [0, 1] by the range that they can have.
Numbers are means over data sets, with half the width of their 95 % intervals. ``last_score`` is no surrogate but what
everything must beat: a curve stays at its last score, and an unseen one is like the mean of the others.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # as in our commands; small factors take many times as long else

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.selection.forecast import Forecast, Normal
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.surrogates.history import append, empty
from synthenv.selection.surrogates.latent_kronecker import latent_kronecker
from synthenv.selection.surrogates.power_law import power_law
from synthenv.selection.surrogates.surrogate import Candidates, Seen, Surrogate
from synthenv.selection.tables import columns
from synthenv.selection.tables.meta_dataset import MetaDataset

HERE = Path(__file__).resolve().parent


class Sizes(NamedTuple):
    """Of a benchmark: candidates of a data set, scores told, questions about each candidate, folds, data sets used."""

    candidates: int = 50
    context: int = 200
    questions: int = 3
    folds: int = 3
    datasets: int = 100


class Trial(NamedTuple):
    """One data set: what is told in its order, and what is asked.

    Attributes:
        candidates: of the data set. [N]
        seen: told one after the other. [S]
        is_told: which of these there are. bool [S]
        steps: asked for. int32 [Q, N]
        scores: the answers, NaN where there is nothing to ask. [Q, N]
    """

    candidates: Candidates
    seen: Seen
    is_told: np.ndarray
    steps: np.ndarray
    scores: np.ndarray


def last_score() -> Surrogate:
    """Curves stay where they are; the spread is that of scores within curves, and between candidates."""

    def fit(key: jax.Array, meta: MetaDataset) -> Any:
        curves = meta.curves[(~np.isnan(meta.curves)).any(1)]
        last = curves[np.arange(len(curves)), (~np.isnan(curves)).cumsum(1).argmax(1)]
        return tuple(
            map(jnp.asarray, (last.mean(), last.std(), np.sqrt(np.nanmean((curves - last[:, None]) ** 2))))
        )

    def start(params: Any, candidates: Candidates, num_steps: int) -> Any:
        return empty(len(candidates.features), num_steps, 1)

    def forecast(params: Any, history: Any, steps: jax.Array) -> Forecast:
        mean, between, within = params
        last = jnp.take_along_axis(history.curves, jnp.maximum(history.steps - 1, 0)[:, None], axis=1)[:, 0]
        is_seen = (history.steps > 0) & ~jnp.isnan(last)
        usual = (jnp.sum(jnp.where(is_seen, last, 0.0)) + mean) / (jnp.sum(is_seen) + 1)
        score = Normal(jnp.where(is_seen, last, usual), jnp.where(is_seen, within, between))
        return Forecast(score, jnp.zeros(len(last)))

    return Surrogate(
        "last_score",
        "curves stay where they are",
        fit,
        start,
        lambda _, history, seen: append(history, seen),
        forecast,
    )


SURROGATES = {s.name: s for s in (last_score(), latent_kronecker(), power_law())}


def draw_trial(seed: int, meta: MetaDataset, dataset: int, sizes: Sizes) -> Trial | None:
    """Cut the curves of a data set at random; None if it has no two curves of two scores."""
    draws = np.random.default_rng([seed, dataset])
    runs = np.flatnonzero((meta.dataset_of == dataset) & (meta.lengths > 1))
    if len(runs) < 2:
        return None
    runs = draws.permutation(runs)[: sizes.candidates]
    num, most = len(runs), sizes.candidates
    lengths = meta.lengths[runs]
    cuts = np.where(draws.random(num) < 1 / 3, 0, draws.integers(1, lengths))
    told = [(step, draws.random(), i) for i in range(num) for step in range(1, cuts[i] + 1)]
    told = [(i, step) for step, _, i in sorted(told)][: sizes.context]
    cuts = np.zeros(num, int)
    for i, step in told:
        cuts[i] = step
    steps = np.ones((sizes.questions, most), np.int32)
    steps[:, :num] = draws.integers(cuts + 1, lengths + 1, (sizes.questions, num))
    scores = np.full(steps.shape, np.nan, np.float32)
    scores[:, :num] = meta.curves[runs, steps[:, :num] - 1]
    features = np.zeros((most, sum(column.width for column in meta.columns)), np.float32)
    features[:num] = columns.features(meta.columns, meta.configs[meta.config_of[runs]])
    who, step = np.zeros((2, sizes.context), np.int32)
    who[: len(told)], step[: len(told)] = np.array(told).T if told else ((), ())
    place = runs[who], np.maximum(step - 1, 0)
    seen = Seen(who, np.maximum(step, 1), meta.curves[place], meta.costs[place])
    candidates = Candidates(features, meta.meta_features[dataset], np.arange(most) < num)
    return Trial(candidates, seen, step > 0, steps, scores)


def tell_and_ask(
    surrogate: Surrogate, num_steps: int, params: Any, trial: Trial
) -> tuple[jax.Array, jax.Array]:
    """Log-densities and means of the answers. [Q, N] each"""

    def tell(state: Any, told: tuple[Seen, jax.Array]) -> tuple[Any, None]:
        new = surrogate.update(params, state, told[0])
        return jax.tree.map(partial(jnp.where, told[1]), new, state), None

    state = surrogate.start(params, trial.candidates, num_steps)
    state = jax.lax.scan(tell, state, (trial.seen, trial.is_told))[0]

    def ask(steps: jax.Array, scores: jax.Array) -> tuple[jax.Array, jax.Array]:
        said = surrogate.forecast(params, state, steps).score
        return said.log_density(scores), said.mean

    pairs = [ask(*question) for question in zip(trial.steps, trial.scores, strict=True)]
    return jnp.stack([pair[0] for pair in pairs]), jnp.stack([pair[1] for pair in pairs])


def measure(
    meta: MetaDataset, surrogates: Mapping[str, Surrogate], seed: int, sizes: Sizes
) -> dict[str, Any]:
    """Log-likelihood, squared error and CPU seconds of each surrogate on each data set, folds held out."""
    fold_of = np.random.default_rng(seed).permutation(len(meta.datasets)) % sizes.folds
    width = meta.score_range[1] - meta.score_range[0]
    rows: dict[str, Any] = {
        name: {"log_likelihood": [], "squared_error": [], "cpu_seconds": []} for name in surrogates
    }
    for name, surrogate in surrogates.items():
        play = jax.jit(partial(tell_and_ask, surrogate, meta.num_steps))
        compiled = False
        for fold in range(sizes.folds):
            params = surrogate.fit(
                jax.random.key(seed), meta.subset(np.flatnonzero(fold_of != fold).tolist())
            )
            for dataset in np.flatnonzero(fold_of == fold)[: math.ceil(sizes.datasets / sizes.folds)]:
                if (trial := draw_trial(seed, meta, int(dataset), sizes)) is None:
                    continue
                if not compiled:
                    compiled = jax.block_until_ready(play(params, trial)) is not None
                begin = time.process_time()
                log_density, mean = map(np.asarray, play(params, trial))
                rows[name]["cpu_seconds"].append(time.process_time() - begin)
                asked = ~np.isnan(trial.scores)
                rows[name]["log_likelihood"].append(float(log_density[asked].mean() + math.log(width)))
                error = (mean[asked] - trial.scores[asked]) / width
                rows[name]["squared_error"].append(float(np.square(error).mean()))
    return {name: summary(row) for name, row in rows.items()}


def summary(row: Mapping[str, list[float]]) -> dict[str, Any]:
    """Means over data sets, and half the widths of their 95 % intervals."""
    out: dict[str, Any] = {"datasets": len(row["log_likelihood"])}
    for name, values in row.items():
        spread = np.std(values, ddof=1) if len(values) > 1 else math.nan
        out[name] = round(float(np.mean(values)), 6)
        out[f"ci95_{name}"] = round(float(1.96 * spread / math.sqrt(len(values))), 6)
    return out


def table(results: Mapping[str, Any]) -> str:
    """A line for each surrogate."""
    lines = ["surrogate            log-likelihood      squared error       CPU s a data set"]
    for name, row in results.items():
        lines.append(
            f"{name:20} {row['log_likelihood']:8.3f} +-{row['ci95_log_likelihood']:6.3f}"
            f"   {row['squared_error']:.5f} +-{row['ci95_squared_error']:.5f}   {row['cpu_seconds']:.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--surrogates", nargs="+", choices=SURROGATES, default=list(SURROGATES))
    parser.add_argument("--seed", type=int, default=0)
    for name, value in Sizes()._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "curve_extrapolation.json")
    args = parser.parse_args()
    sizes = Sizes(*(getattr(args, name) for name in Sizes._fields))
    meta = read_meta_dataset(args.directory)
    found = measure(meta, {name: SURROGATES[name] for name in args.surrogates}, args.seed, sizes)
    print(f"{args.directory.name}: scores are {meta.score_name}\n{table(found)}", flush=True)
    results = json.loads(args.json.read_text()) if args.json.exists() else {}
    before = results.get(args.directory.name, {}).get("surrogates", {})
    results[args.directory.name] = {"seed": args.seed, "sizes": sizes._asdict(), "surrogates": before | found}
    args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
