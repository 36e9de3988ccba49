"""What a context is held to, what it says when it does not hold, and which rows are kept."""

from dataclasses import replace

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.worldmodel.context.context import Context, as_host, check_context, thinned


def walk(num_rows: int = 30, num_actions: int | None = 3) -> Context:
    """A made-up walk in two dimensions."""
    source = np.random.default_rng(0)
    places = np.cumsum(source.normal(size=(num_rows + 1, 2)), axis=0).astype(np.float32)
    discrete = np.arange(num_rows, dtype=np.int32) % (num_actions or 1)
    actions = discrete if num_actions else source.uniform(-1, 1, (num_rows, 1)).astype(np.float32)
    never = np.zeros(num_rows, bool)
    rewards = source.normal(size=num_rows).astype(np.float32)
    steps = Transition(places[:-1], actions, rewards, places[1:], never, never.copy())
    bound = None if num_actions else 1.0
    return Context(steps, places[:1], num_actions, bound, "Walk", "random", num_rows)


def changed(context: Context, **arrays) -> Context:
    return replace(context, transitions=context.transitions._replace(**arrays))


def broken(array: np.ndarray, index, value) -> np.ndarray:
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize("num_actions", [3, None])
def test_a_sound_context_passes(num_actions):
    context = walk(num_actions=num_actions)
    assert check_context(context) is context
    assert (context.num_rows, context.obs_size, context.action_size) == (30, 2, 1)


DISCRETE, CONTINUOUS = walk(), walk(num_actions=None)
STEPS = DISCRETE.transitions
BAD = {
    "too few": (walk(19), "has 19 rows: collect at least 20"),
    "nan": (changed(DISCRETE, reward=broken(STEPS.reward, 7, np.nan)), r"^reward of .* not finite in row 7"),
    "inf": (changed(DISCRETE, next_obs=broken(STEPS.next_obs, (4, 1), np.inf)), "next_obs of .* in row 4"),
    "nan start": (
        replace(DISCRETE, first_obs=np.full((3, 2), np.nan)),
        r"first_obs of .* not finite in row 0",
    ),
    "lengths": (
        changed(DISCRETE, reward=STEPS.reward[:-1]),
        r"differ in length \(obs 30, .*reward 29.*one row per",
    ),
    "scalar": (changed(DISCRETE, reward=np.float32(1)), "reward none"),
    "flat obs": (changed(DISCRETE, obs=STEPS.obs[:, 0]), r"obs of .* shape \[30\]: make it \[rows, size\]"),
    "no columns": (changed(DISCRETE, obs=STEPS.obs[:, :0]), r"obs of .* shape \[30, 0\]: make it"),
    "wide reward": (changed(DISCRETE, reward=STEPS.obs), r"reward of .* shape \[30, 2\]: make it \[rows\]"),
    "wide action": (changed(DISCRETE, action=STEPS.action[:, None]), r"action of .* make it \[rows\]"),
    "flat action": (changed(CONTINUOUS, action=STEPS.reward), r"action of .* make it \[rows, size\]"),
    "obs differ": (changed(DISCRETE, obs=STEPS.obs[:, :1]), r"\[30, 1\] and \[30, 2\]\): make them equal"),
    "starts": (
        replace(DISCRETE, first_obs=np.zeros((5, 3))),
        r"first observations .*\[5, 3\]: make it \[at least 1, 2\]",
    ),
    "no starts": (replace(DISCRETE, first_obs=np.zeros((0, 2))), r"\[0, 2\]: make it \[at least 1, 2\]"),
    "both kinds": (replace(DISCRETE, action_bound=1.0), "give one of the two"),
    "no kind": (replace(DISCRETE, num_actions=None), "give one of the two"),
    "large": (replace(DISCRETE, num_actions=2), "has actions from 0 to 2, not 0 to 1: correct"),
    "negative": (changed(DISCRETE, action=STEPS.action - 1), "has actions from -1 to 1, not 0 to 2"),
    "beyond": (replace(CONTINUOUS, action_bound=0.5), "not -0.5 to 0.5: correct"),
    "no bound": (replace(CONTINUOUS, action_bound=0.0), "are all 0: give their bound"),
    "frozen": (
        changed(DISCRETE, next_obs=STEPS.obs.copy()),
        "no state ever changes in the context of Walk: check",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_said_in_one_line(what):
    context, complaint = BAD[what]
    with pytest.raises(UserError, match=complaint) as error:
        check_context(context)
    message = str(error.value)
    assert "\n" not in message and "the context of Walk" in message and ": " in message


@pytest.mark.parametrize(
    ("num_rows", "rows"),
    [(4, [0, 9, 19, 29]), (1, [0]), (29, [*range(28), 29]), (30, range(30)), (99, range(30))],
)
def test_which_rows_are_kept(num_rows, rows):
    chosen = thinned(DISCRETE, num_rows)
    for kept, full in zip(chosen.transitions, STEPS, strict=True):
        np.testing.assert_array_equal(kept, np.asarray(full)[list(rows)])
    assert chosen.real_steps == 30, "what was dropped had to be played too"
    assert chosen.num_rows == min(num_rows, 30)


def test_the_host_gets_narrow_numbers():
    wide = Transition(*(np.asarray(leaf, np.float64) for leaf in STEPS))
    host = as_host(wide, is_discrete=True)
    assert [leaf.dtype.name for leaf in host] == ["float32", "int32", "float32", "float32", "bool", "bool"]
    assert as_host(wide, is_discrete=False).action.dtype == np.float32
    huge = as_host(wide._replace(reward=np.full(30, 1e300)), is_discrete=True)
    with pytest.raises(UserError, match=r"reward of .* is not finite"):
        check_context(replace(DISCRETE, transitions=huge))
