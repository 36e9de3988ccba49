"""What loggers do to the rows of a log, and what may come of it when the log is read."""

import numpy as np

from tests.small_logs import ended, named, next_step_reset, picked, same_step_reset

OBS = ("observations", "next_observations")
NUM_ROWS = 160


def mapped(log, change):
    """Observations before and after a step changed alike."""
    return log | {name: change(log[name]) for name in OBS}


def without(log, *names):
    return {name: array for name, array in log.items() if name not in names}


def broken(log, name, rows, value):
    array = log[name].copy()
    array[rows] = value
    return log | {name: array}


def minari(log):
    """One observation more per episode instead of those after the steps."""
    last = np.flatnonzero(np.append(ended(log)[:-1], True))
    obs = np.insert(log["observations"], last + 1, log["next_observations"][last], axis=0)
    return without(log, "next_observations") | {"observations": obs}


def in_pieces(log):
    """Rollouts of 16 steps, not in their order."""
    order = np.random.default_rng(5).permutation(NUM_ROWS // 16)
    return picked(log, (order[:, None] * 16 + np.arange(16)).reshape(-1))


def finals_as(log, value):
    return broken(log, "next_observations", ended(log), value)


def done(log):
    """Time limits among the terminations."""
    return without(log, "truncations") | {"terminations": ended(log)}


def one_hot(log):
    discrete = log["actions"].ndim == 1
    return log | {"actions": np.eye(3)[log["actions"]]} if discrete else log


def columns(log):
    wide = ("rewards", "terminations", "truncations", "actions")
    return log | {name: log[name].reshape(NUM_ROWS, -1) for name in wide}


def plus(change):
    return lambda log: mapped(log, lambda obs: obs + change)


def typed(dtype):
    return lambda log: mapped(log, lambda obs: obs.astype(dtype))


def rolled(log, by, *names):
    return log | {name: np.roll(log[name], by, axis=0) for name in names}


def padded(log, fill, length=30, flagged=False):
    """Episodes of one fixed length, one after the other: after their ends come rows that nobody took.

    Args:
        fill: what these rows are made of: a number, or "last" for where the episode ended.
        length: of episodes.
        flagged: whether these rows terminate episodes as well.
    """
    rows = []
    for row, is_last in enumerate(ended(log)):
        rows.append(tuple(array[row] for array in log.values()))
        if is_last:
            last = np.full(2, fill) if fill != "last" else log["next_observations"][row]
            nothing = 0.0 if fill == "last" else fill
            action = (
                log["actions"][row] * 0 if log["actions"].ndim == 1 else log["actions"][row] * 0.0 + nothing
            )
            rows += [(last, action, nothing, last, flagged, False)] * (-len(rows) % length)
    return named(rows)


def skipping(log, rewards):
    """Two steps a row, of which the first one's action is on record.

    Args:
        rewards: of two steps [N/2] each, to one.
    """
    first, second = (picked(log, slice(start, None, 2)) for start in (0, 1))
    flags = {name: first[name] | second[name] for name in ("terminations", "truncations")}
    paid = rewards(first["rewards"], second["rewards"])
    return first | flags | {"next_observations": second["next_observations"], "rewards": paid}


def running(log):
    """Observations less their running mean, over their running deviation."""
    obs = log["observations"]
    count = np.arange(1, len(obs) + 1)[:, None]
    mean = np.cumsum(obs, axis=0) / count
    std = np.sqrt(np.cumsum(np.square(obs), axis=0) / count - np.square(mean) + 0.01)
    after = np.roll(np.arange(len(obs)), -1)
    after[-1] = len(obs) - 1
    return log | {
        "observations": (obs - mean) / std,
        "next_observations": (log["next_observations"] - mean[after]) / std[after],
    }


def by_episode(log, change):
    """Observations of each episode changed alike, knowing all of them."""
    number = np.concatenate([[0], np.cumsum(ended(log))[:-1]])
    log = log | {name: log[name].copy() for name in OBS}
    for episode in np.unique(number):
        rows = number == episode
        both = np.concatenate([log[name][rows] for name in OBS])
        for name in OBS:
            log[name][rows] = change(log[name][rows], both)
    return log


def returns(log, towards):
    """Sums of an episode's rewards, so far (1) or to come (-1)."""
    number = np.concatenate([[0], np.cumsum(ended(log))[:-1]])
    paid = log["rewards"].astype(float)
    for episode in np.unique(number):
        rows = np.flatnonzero(number == episode)[::towards]
        paid[rows] = np.cumsum(paid[rows])
    return log | {"rewards": paid}


def paid_at_the_end(log):
    sums = returns(log, 1)["rewards"]
    return log | {"rewards": np.where(ended(log), sums, 0.0)}


def some_rows(log, share, twice):
    chosen = np.random.default_rng(8).random(NUM_ROWS) < share
    rows = np.arange(NUM_ROWS)
    return picked(log, np.repeat(rows, 1 + chosen) if twice else rows[~chosen])


def half(log, change):
    """Changed from the middle on, as if another run had written the rest."""
    other = change(log)
    middle = len(log["rewards"]) // 2
    return {name: np.concatenate([log[name][:middle], other[name][middle:]]) for name in log}


def overlapping(log):
    """Pieces of 16 rows that begin every 12."""
    starts = np.arange(0, len(log["rewards"]) - 15, 12)
    return picked(log, (starts[:, None] + np.arange(16)).reshape(-1))


def batched(log):
    """Episodes as [E, T, ...], filled up with zeros."""
    lasts = np.flatnonzero(ended(log))
    pieces = list(zip(np.append(0, lasts[:-1] + 1), lasts + 1, strict=True))
    stacked = {}
    for name, array in log.items():
        stacked[name] = np.zeros((len(pieces), 30, *array.shape[1:]), array.dtype)
        for number, (first, last) in enumerate(pieces):
            stacked[name][number, : last - first] = array[first:last]
    return stacked


def as_objects(log):
    lasts = np.flatnonzero(ended(log)[:-1]) + 1
    return {name: np.array([*np.split(array, lasts), None], object)[:-1] for name, array in log.items()}


def whole_numbers(log):
    return log | {"actions": np.round(log["actions"]).astype(int)}


SAME, TOLD, REFUSED = "the careful result", "a notice", "a refusal"
# What is done to the rows, and what may come of it.
CARELESS = {
    "nothing": (lambda log: log, SAME),
    "next-step resets": (next_step_reset, TOLD),
    "same-step resets": (same_step_reset, TOLD + REFUSED),
    "no final observations": (lambda log: same_step_reset(without(log)), TOLD + REFUSED),
    "final observations of zeros": (lambda log: finals_as(log, 0.0), TOLD + REFUSED),
    "final observations once more": (
        lambda log: finals_as(log, log["observations"][ended(log)]),
        TOLD + REFUSED,
    ),
    "final observations of NaN": (lambda log: finals_as(log, np.nan), REFUSED),
    "terminations only": (lambda log: without(log, "truncations"), SAME + TOLD),
    "done for both": (done, SAME + TOLD),
    "one episode after the other, Minari": (minari, SAME),
    "pieces in any order": (in_pieces, TOLD),
    "shuffled": (lambda log: picked(log, np.random.default_rng(3).permutation(NUM_ROWS)), TOLD),
    "backwards": (lambda log: picked(log, slice(None, None, -1)), TOLD),
    "every other row": (lambda log: picked(log, slice(None, None, 2)), TOLD),
    "every row twice": (lambda log: picked(log, np.repeat(np.arange(NUM_ROWS), 2)), TOLD),
    "the file twice": (lambda log: picked(log, np.tile(np.arange(NUM_ROWS), 2)), SAME + TOLD),
    "float32": (typed(np.float32), SAME),
    "float16": (typed(np.float16), SAME + TOLD),
    "rounded": (lambda log: mapped(log, lambda obs: np.round(obs, 1)), SAME + TOLD),
    "mixed types": (lambda log: log | {"observations": log["observations"].astype(np.float32)}, SAME),
    "columns": (columns, SAME),
    "flags as floats": (
        lambda log: log | {n: log[n].astype(float) for n in ("terminations", "truncations")},
        SAME,
    ),
    "flags as -1 and 1": (
        lambda log: log | {"terminations": 2 * log["terminations"].astype(int) - 1},
        REFUSED,
    ),
    "one-hot actions": (one_hot, SAME + TOLD),
    "actions as int64": (
        lambda log: log | {"actions": log["actions"].astype(np.int64 if log["actions"].ndim == 1 else float)},
        SAME,
    ),
    "actions as floats": (lambda log: log | {"actions": log["actions"].astype(float)}, SAME + REFUSED),
    "actions a row late": (lambda log: log | {"actions": np.roll(log["actions"], 1, axis=0)}, TOLD),
    "rewards a row late": (lambda log: log | {"rewards": np.roll(log["rewards"], 1)}, TOLD),
    "rewards a row early": (lambda log: log | {"rewards": np.roll(log["rewards"], -1)}, TOLD),
    "rewards clipped": (lambda log: log | {"rewards": np.clip(log["rewards"], -0.1, 1)}, TOLD),
    "rewards by their sign": (lambda log: log | {"rewards": np.sign(log["rewards"])}, TOLD),
    "a NaN": (lambda log: broken(log, "observations", 7, np.nan), REFUSED),
    "an infinite reward": (lambda log: broken(log, "rewards", 7, np.inf), REFUSED),
    "transposed": (lambda log: mapped(log, np.transpose), REFUSED),
    "rewards of another length": (lambda log: log | {"rewards": log["rewards"][:-1]}, REFUSED),
    "one column swapped after steps": (
        lambda log: log | {"next_observations": log["next_observations"][:, ::-1]},
        TOLD,
    ),
    "before and after swapped": (
        lambda log: log | dict(zip(OBS, (log["next_observations"], log["observations"]), strict=True)),
        TOLD,
    ),
    "a large offset": (plus(5.4e6), TOLD + REFUSED),
    "a small offset": (plus(3.0), TOLD),
    "columns swapped": (lambda log: mapped(log, lambda obs: obs[:, ::-1]), TOLD),
    "observations normalised": (lambda log: mapped(log, lambda obs: (obs - obs.mean(0)) / obs.std(0)), TOLD),
    "another unit": (lambda log: mapped(log, lambda obs: obs * np.array([100.0, 1.0])), TOLD),
    "rewards scaled": (lambda log: log | {"rewards": 100 * log["rewards"]}, TOLD),
    "rewards of another sign": (lambda log: log | {"rewards": -log["rewards"]}, TOLD),
    "ends everywhere": (lambda log: log | {"terminations": np.ones(len(log["rewards"]), bool)}, TOLD),
    "ends inverted": (lambda log: log | {"terminations": ~log["terminations"]}, TOLD + REFUSED),
    "no ends": (
        lambda log: log | {n: np.zeros(len(log["rewards"]), bool) for n in ("terminations", "truncations")},
        SAME + TOLD,
    ),
    "names of D4RL": (
        lambda log: (
            without(log, "terminations", "truncations")
            | {"terminals": log["terminations"], "timeouts": log["truncations"]}
        ),
        SAME,
    ),
    "names of gymnasium": (
        lambda log: (
            without(log, "terminations", "truncations")
            | {"terminated": log["terminations"], "truncated": log["truncations"]}
        ),
        SAME + REFUSED,
    ),
    "terminations, and truncated": (
        lambda log: without(log, "truncations") | {"truncated": log["truncations"]},
        SAME + TOLD,
    ),
    "next observations rolled": (
        lambda log: log | {"next_observations": np.roll(log["observations"], -1, axis=0)},
        TOLD + REFUSED,
    ),
    "no next observations": (lambda log: without(log, "next_observations"), REFUSED),
    "flags a row late": (lambda log: rolled(log, 1, "terminations", "truncations"), TOLD + REFUSED),
    "flags a row early": (lambda log: rolled(log, -1, "terminations", "truncations"), TOLD + REFUSED),
    "next-step flags a row late": (
        lambda log: rolled(next_step_reset(log), 1, "terminations", "truncations"),
        TOLD + REFUSED,
    ),
    "all ends as truncations": (
        lambda log: log | {"terminations": 0 * log["terminations"], "truncations": ended(log)},
        SAME + TOLD,
    ),
    "all ends as both": (
        lambda log: log | {"terminations": ended(log), "truncations": ended(log)},
        SAME + TOLD,
    ),
    "terminations and truncations swapped": (
        lambda log: log | {"terminations": log["truncations"], "truncations": log["terminations"]},
        TOLD + REFUSED,
    ),
    "truncations inverted": (lambda log: log | {"truncations": ~log["truncations"]}, TOLD + REFUSED),
    "truncations everywhere": (
        lambda log: log | {"truncations": np.ones(len(log["rewards"]), bool)},
        TOLD + REFUSED,
    ),
    "filled up with zeros": (lambda log: padded(log, 0.0), TOLD + REFUSED),
    "filled up with the last": (lambda log: padded(log, "last"), TOLD + REFUSED),
    "filled up with zeros that end": (lambda log: padded(log, 0.0, flagged=True), TOLD + REFUSED),
    "filled up with the last that ends": (
        lambda log: padded(log, "last", flagged=True),
        SAME + TOLD + REFUSED,
    ),
    "filled up with NaN": (lambda log: padded(log, np.nan), REFUSED),
    "episodes by episodes": (batched, REFUSED),
    "episodes as objects": (as_objects, REFUSED),
    "an axis of one environment first": (lambda log: {n: a[None] for n, a in log.items()}, SAME + REFUSED),
    "an axis of one environment second": (
        lambda log: {n: a[:, None] for n, a in log.items()},
        SAME + REFUSED,
    ),
    "two steps a row, rewards of the second": (lambda log: skipping(log, lambda a, b: b), TOLD + REFUSED),
    "two steps a row, rewards summed": (lambda log: skipping(log, np.add), TOLD + REFUSED),
    "observations normalised on the way": (running, TOLD + REFUSED),
    "observations normalised by episode": (
        lambda log: by_episode(log, lambda obs, all_of: (obs - all_of.mean(0)) / (all_of.std(0) + 0.01)),
        TOLD + REFUSED,
    ),
    "observations from where episodes began": (
        lambda log: by_episode(log, lambda obs, all_of: obs - all_of[0]),
        TOLD,
    ),
    "observations clipped": (lambda log: mapped(log, lambda obs: np.clip(obs, -0.3, 0.3)), TOLD + REFUSED),
    "observations before steps by reference": (
        lambda log: log | {"observations": 0 * log["observations"] + log["observations"][-1]},
        TOLD + REFUSED,
    ),
    "observations after steps by reference": (
        lambda log: log | {"next_observations": log["observations"]},
        REFUSED,
    ),
    "a dead column": (lambda log: mapped(log, lambda obs: obs * np.array([1.0, 0.0])), TOLD + REFUSED),
    "one column twice": (lambda log: mapped(log, lambda obs: obs[:, [0, 0]]), TOLD + REFUSED),
    "one column less": (lambda log: mapped(log, lambda obs: obs[:, :1]), REFUSED),
    "other byte order": (lambda log: mapped(log, lambda obs: obs.astype(">f8")), SAME),
    "only observations after steps as float16": (
        lambda log: log | {"next_observations": log["next_observations"].astype(np.float16)},
        SAME + TOLD,
    ),
    "observations as whole hundredths": (
        lambda log: mapped(log, lambda obs: np.round(100 * obs).astype(np.int16)),
        TOLD,
    ),
    "rewards clipped at both ends": (
        lambda log: log | {"rewards": np.clip(log["rewards"], -0.05, 0.05)},
        TOLD,
    ),
    "rewards less their mean": (lambda log: log | {"rewards": log["rewards"] - log["rewards"].mean()}, TOLD),
    "rewards over their deviation": (
        lambda log: log | {"rewards": log["rewards"] / log["rewards"].std()},
        TOLD,
    ),
    "rewards a little scaled": (lambda log: log | {"rewards": 1.5 * log["rewards"]}, TOLD),
    "rewards as whole numbers": (
        lambda log: log | {"rewards": np.round(4 * log["rewards"]).astype(int)},
        TOLD,
    ),
    "returns so far": (lambda log: returns(log, 1), TOLD),
    "returns to come": (lambda log: returns(log, -1), TOLD),
    "all paid at the end": (paid_at_the_end, TOLD),
    "no rewards": (lambda log: log | {"rewards": 0 * log["rewards"]}, TOLD),
    "actions from 1 on": (lambda log: log | {"actions": log["actions"] + 1}, REFUSED),
    "actions halved": (
        lambda log: log | {"actions": 0.5 * log["actions"]} if log["actions"].ndim > 1 else log,
        SAME + TOLD,
    ),
    "actions of another sign": (
        lambda log: log | {"actions": -log["actions"] if log["actions"].ndim > 1 else 2 - log["actions"]},
        TOLD,
    ),
    "actions as whole numbers": (whole_numbers, SAME + TOLD + REFUSED),
    "no actions": (lambda log: log | {"actions": 0 * log["actions"]}, TOLD + REFUSED),
    "some rows lost": (lambda log: some_rows(log, 0.1, twice=False), SAME + TOLD),
    "some rows twice": (lambda log: some_rows(log, 0.1, twice=True), SAME + TOLD),
    "pieces that overlap": (overlapping, SAME + TOLD),
    "the middle of a log": (lambda log: picked(log, slice(10, None)), SAME + TOLD),
    "a ring buffer": (lambda log: picked(log, np.roll(np.arange(NUM_ROWS), 40)), SAME + TOLD),
    "first rows of episodes lost": (
        lambda log: picked(log, np.append(False, ~ended(log)[:-1])),
        SAME + TOLD,
    ),
    "last rows of episodes lost": (lambda log: picked(log, ~ended(log)), SAME + TOLD),
    "half of it in other units": (
        lambda log: half(log, lambda log: mapped(log, lambda obs: 2 * obs)),
        TOLD,
    ),
    "half of it with rewards in other units": (
        lambda log: half(log, lambda log: log | {"rewards": 2 * log["rewards"]}),
        TOLD,
    ),
    "half of it with columns swapped": (
        lambda log: half(log, lambda log: mapped(log, lambda obs: obs[:, ::-1])),
        TOLD,
    ),
    "half of it with actions of another sign": (
        lambda log: half(log, CARELESS["actions of another sign"][0]),
        TOLD,
    ),
}
