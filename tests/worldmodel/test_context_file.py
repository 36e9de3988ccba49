"""Contexts survive a file, other people's files are understood, and a bad one says what is wrong with it."""

from dataclasses import asdict

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.context.file import load_context, read_npz, save_context

ENDS = np.array([9, 19, 24, 29, 39])  # last steps of five episodes in 40 steps; two of them are time limits
TIME_LIMITS = np.isin(np.arange(40), [24, 39])
FAILURES = np.isin(np.arange(40), ENDS) & ~TIME_LIMITS
BEGINS = [0, 10, 20, 25, 30]


def recorded(discrete: bool = True) -> dict[str, np.ndarray]:
    """Forty steps in five episodes, as an ``.npz`` holds them."""
    source = np.random.default_rng(1)
    after = source.normal(size=(40, 3))
    before = np.concatenate([source.normal(size=(1, 3)), after[:-1]])
    before[ENDS[:-1] + 1] += 5.0
    return {
        "observations": before,
        "actions": np.arange(40) % 4 if discrete else source.uniform(-2, 2, (40, 2)),
        "rewards": source.normal(size=40),
        "next_observations": after,
        "terminations": FAILURES,
        "truncations": TIME_LIMITS,
    }


def written(path, arrays):
    np.savez(path, **arrays)
    return path


def assert_same(ours: Context, arrays: dict[str, np.ndarray]) -> None:
    spelled = ("observations", "actions", "rewards", "next_observations", "terminations", "truncations")
    for leaf, name in zip(ours.transitions, spelled, strict=True):
        np.testing.assert_allclose(leaf, arrays[name], rtol=1e-6)
    np.testing.assert_allclose(ours.first_obs, arrays["observations"][BEGINS], rtol=1e-6)


@pytest.mark.parametrize("discrete", [True, False])
def test_an_npz_is_read(tmp_path, discrete):
    arrays = recorded(discrete)
    context = read_npz(written(tmp_path / "steps.npz", arrays))
    assert_same(context, arrays)
    assert (context.task, context.strategy, context.real_steps) == ("steps.npz", "file", 40)
    if discrete:
        assert (context.num_actions, context.action_bound, context.action_size) == (4, None, 1)
    else:
        assert context.num_actions is None and context.action_size == 2
        assert context.action_bound == pytest.approx(np.abs(arrays["actions"]).max())
        assert read_npz(tmp_path / "steps.npz", action_bound=2.0).action_bound == 2.0


def test_d4rl_spellings_and_columns(tmp_path):
    arrays = recorded()
    d4rl = {name: arrays[name] for name in ("observations", "next_observations")}
    d4rl |= {"actions": arrays["actions"][:, None], "rewards": arrays["rewards"][:, None]}
    d4rl |= {"terminals": FAILURES.astype(float)[:, None], "timeouts": TIME_LIMITS, "infos": np.zeros(3)}
    assert_same(read_npz(written(tmp_path / "d4rl.npz", d4rl), num_actions=4), arrays)


def test_one_observation_more_per_episode(tmp_path):
    arrays = recorded()
    minari = {name: value for name, value in arrays.items() if name != "next_observations"}
    pieces = [
        [arrays["observations"][first : last + 1], arrays["next_observations"][last][None]]
        for first, last in zip(BEGINS, ENDS, strict=True)
    ]
    minari["observations"] = np.concatenate([part for piece in pieces for part in piece])
    assert minari["observations"].shape == (45, 3)
    assert_same(read_npz(written(tmp_path / "minari.npz", minari)), arrays)
    minari["observations"] = minari["observations"][:-1]
    with pytest.raises(UserError, match="44 observations for 40 steps in 5 episodes: add next_observations"):
        read_npz(written(tmp_path / "short.npz", minari))


def test_episodes_show_by_their_jumps_if_time_limits_are_not_told(tmp_path):
    arrays = recorded()
    del arrays["truncations"]
    context = read_npz(written(tmp_path / "steps.npz", arrays))
    assert_same(context, arrays | {"truncations": np.zeros(40, bool)})


@pytest.mark.parametrize("discrete", [True, False])
def test_our_own_file_gives_back_what_was_saved(tmp_path, discrete):
    context = read_npz(written(tmp_path / "steps.npz", recorded(discrete)))
    save_context(tmp_path / "context", context)
    loaded = load_context(tmp_path / "context")
    for ours, theirs in zip(loaded.transitions, context.transitions, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype and np.asarray(ours).flags.writeable
    np.testing.assert_array_equal(loaded.first_obs, context.first_obs)
    numbers = ("num_actions", "action_bound", "task", "strategy", "real_steps")
    assert {n: asdict(loaded)[n] for n in numbers} == {n: asdict(context)[n] for n in numbers}
    save_context(tmp_path / "again", loaded)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "context").read_bytes()


def test_a_damaged_or_foreign_file_is_refused(tmp_path):
    from synthenv.core.sealed_file import write_sealed

    save_context(tmp_path / "context", read_npz(written(tmp_path / "steps.npz", recorded())))
    data = bytearray((tmp_path / "context").read_bytes())
    data[-5] ^= 1
    (tmp_path / "context").write_bytes(bytes(data))
    with pytest.raises(UserError, match="is damaged"):
        load_context(tmp_path / "context")
    write_sealed(tmp_path / "other", {"weights": np.zeros(3)}, {"format": "something"})
    with pytest.raises(UserError, match="is no context: pass a file that save_context wrote"):
        load_context(tmp_path / "other")
    with pytest.raises(UserError, match="does not exist"):
        load_context(tmp_path / "nothing")


GOOD = recorded()
BAD = {
    "actions": ({"actions": None}, r"no array 'actions' \(it has observations, rewards.*: add it"),
    "ends": ({"terminations": None}, "no array 'terminations' or 'terminals'"),
    "nan": (
        {"observations": np.where(np.arange(40)[:, None] == 3, np.nan, GOOD["observations"])},
        "obs of .* row 3",
    ),
    "nan action": ({"actions": np.full(40, np.nan)}, "action of .* is not finite in row 0"),
    "lengths": ({"rewards": np.zeros(39)}, r"differ in length \(.*rewards 39.*one row per step"),
    "two ends": ({"truncations": np.zeros(12)}, "differ in length"),
    "empty": ({name: value[:0] for name, value in GOOD.items()}, "are empty"),
    "scalar": ({"rewards": np.float64(1)}, "are empty or differ in length .*rewards 0"),
    "short obs": ({"observations": np.zeros((38, 3))}, r"the arrays of .* differ in length \(obs 38"),
    "multi": ({"actions": np.zeros((40, 2), int)}, r"integers of the shape \[40, 2\]: make it \[rows\]"),
    "text": ({"actions": np.array(["left"] * 40)}, "actions in .* of type <U4: write them as real numbers"),
    "complex": ({"rewards": np.zeros(40, complex)}, "rewards in .* of type complex128: write them as real"),
    "large": ({"actions": np.full(40, 2**40)}, "actions from 0 to 1099511627776 in 40 rows: number"),
    "nan end": (
        {"terminations": np.full(40, np.nan)},
        "terminations in .* not all 0 or 1: write False and True",
    ),
    "flat ends": (
        {"terminations": np.zeros((40, 2))},
        r"terminations in .* shape \[40, 2\]: make it \[rows\]",
    ),
    "objects": ({"actions": np.array([{}] * 40)}, "actions in .* are Python objects: concatenate"),
    "zeros": ({"actions": np.zeros(40)}, "are all 0: give their bound"),
    "transposed": (
        {"observations": GOOD["observations"].T, "next_observations": GOOD["observations"].T},
        r"observations in .* have the shape \[3, 40\] for 40 steps: transpose them",
    ),
    "dones": (
        {"terminations": None, "dones": np.zeros(40)},
        "no array 'terminations' or .*: dones do not tell ends from time limits, so write both",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_npz_says_what_is_wrong(tmp_path, what):
    changes, complaint = BAD[what]
    arrays = {name: value for name, value in (GOOD | changes).items() if value is not None}
    with pytest.raises(UserError, match=complaint) as error:
        read_npz(written(tmp_path / "bad.npz", arrays))
    assert "\n" not in str(error.value) and "bad.npz" in str(error.value)


def test_numbers_and_bounds_that_do_not_fit_are_refused(tmp_path):
    discrete = written(tmp_path / "discrete.npz", recorded())
    continuous = written(tmp_path / "continuous.npz", recorded(discrete=False))
    with pytest.raises(UserError, match="has actions from 0 to 3, not 0 to 1"):
        read_npz(discrete, num_actions=2)
    with pytest.raises(UserError, match="are no integers"):
        read_npz(continuous, num_actions=2)
    with pytest.raises(UserError, match="cannot have both"):
        read_npz(continuous, num_actions=2, action_bound=1.0)
    assert read_npz(discrete, action_bound=3.0).num_actions is None, "integers may be forces"


def test_what_is_no_npz_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist: check the path"):
        read_npz(tmp_path / "nothing.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("observations,actions")
    (tmp_path / "void.npz").write_bytes(b"")
    whole = written(tmp_path / "whole.npz", GOOD).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("one.npy", "text.npz", "void.npz", "half.npz"):
        with pytest.raises(UserError, match=r"is no \.npz of plain arrays"):
            read_npz(tmp_path / name)
    with pytest.raises(UserError, match="cannot use"):
        read_npz(tmp_path)


def test_transitions_have_the_order_that_the_reader_assumes():
    assert Transition._fields == ("obs", "action", "reward", "next_obs", "terminated", "truncated")
