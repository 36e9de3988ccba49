"""The replay ring: what is written comes back, the oldest goes first, and nothing unwritten is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents.training.replay import init_replay, pack_row, sample_rows, unpack, write_row

OBS = 4


def fill(capacity, num_writes):
    """Write transitions whose every number says which step they are of."""

    def write(replay, t):
        x = jnp.float32(t)
        obs = x + 0.1 * jnp.arange(OBS)
        row = pack_row(replay.rows.shape[1], obs, obs + 1, t % 3, -x, jnp.float32(t % 2))
        return write_row(replay, t, row), None

    return jax.jit(lambda: jax.lax.scan(write, init_replay(capacity, OBS), jnp.arange(num_writes))[0])()


def steps_in(replay):
    """The steps whose transitions the used rows hold, in storage order."""
    return (-unpack(replay.rows, OBS).reward[: replay.size]).astype(int).tolist()


@pytest.mark.parametrize(
    ("num_writes", "stored"),
    [(0, []), (3, [0, 1, 2]), (5, [0, 1, 2, 3, 4]), (7, [5, 6, 2, 3, 4]), (16, [15, 11, 12, 13, 14])],
)
def test_ring_overwrites_the_oldest(num_writes, stored):
    """A ring of five holds the last five steps, each at its step mod five."""
    replay = fill(5, num_writes)
    assert int(replay.size) == len(stored)
    assert steps_in(replay) == stored


def test_rows_come_back_whole():
    """All five fields of a transition survive packing, and the action is an integer again."""
    rows = unpack(fill(8, 8).rows, OBS)
    t = np.arange(8, dtype=np.float32)
    obs = t[:, None] + 0.1 * np.arange(OBS, dtype=np.float32)
    np.testing.assert_allclose(rows.obs, obs, rtol=1e-6)
    np.testing.assert_allclose(rows.next_obs, obs + 1, rtol=1e-6)
    np.testing.assert_array_equal(rows.action, np.arange(8) % 3)
    np.testing.assert_array_equal(rows.reward, -t)
    np.testing.assert_array_equal(rows.not_done, t % 2)
    assert rows.action.dtype == jnp.int32


def test_real_valued_not_done():
    """A bootstrap factor outside [0, 1] is stored as it is."""
    row = pack_row(16, jnp.ones(1), jnp.ones(1), jnp.int32(0), jnp.float32(0), jnp.float32(1.25))
    assert unpack(write_row(init_replay(2, 1), jnp.int32(0), row).rows, 1).not_done[0] == 1.25


def test_action_vectors():
    """An action of several numbers comes back between next_obs and reward; the row has room for it."""
    empty = init_replay(3, obs_size=5, action_size=6)
    assert empty.rows.shape == (3, 32)  # 2 * 5 + 6 + 2 = 18: two cache lines
    action = jnp.arange(6) / 10
    row = pack_row(32, jnp.full(5, 7.0), jnp.full(5, 8.0), action, jnp.float32(3), jnp.float32(1))
    rows = unpack(write_row(empty, jnp.int32(1), row).rows, 5, 6)
    np.testing.assert_array_equal(rows.action[1], action)
    np.testing.assert_array_equal(rows.next_obs[1], 8.0)
    assert (rows.reward[1], rows.not_done[1]) == (3, 1)


@pytest.mark.parametrize("num_writes", [1, 5, 30])
def test_samples_are_the_filled_rows(num_writes):
    """Every row in use is drawn, about equally often, and no row that was never written or is overwritten."""
    capacity, num_draws = 20, 4000
    bits = jax.random.bits(jax.random.key(0), (num_draws,))
    drawn = sample_rows(bits, fill(capacity, num_writes), OBS)
    steps, counts = np.unique(-np.asarray(drawn.reward), return_counts=True)
    assert steps.tolist() == list(range(max(0, num_writes - capacity), num_writes))
    expected = num_draws / steps.size
    assert np.abs(counts - expected).max() <= 5 * np.sqrt(expected)
    np.testing.assert_allclose(drawn.obs[:, 0], -drawn.reward)


def test_the_largest_word_is_in_bounds():
    """Word 2**32 - 1 indexes a row like any other."""
    drawn = sample_rows(jnp.array([2**32 - 1], jnp.uint32), fill(20, 7), OBS)
    assert -drawn.reward[0] == (2**32 - 1) % 7


def test_under_vmap():
    """Members with their own fill draw from their own rows."""
    replays = jax.tree.map(lambda a, b: jnp.stack([a, b]), fill(8, 2), fill(8, 11))
    bits = jax.random.bits(jax.random.key(0), (2, 200))
    drawn = jax.vmap(lambda b, r: sample_rows(b, r, OBS))(bits, replays)
    assert [np.unique(-np.asarray(r)).tolist() for r in drawn.reward] == [[0, 1], list(range(3, 11))]


@pytest.mark.parametrize(("num_writes", "stored"), [(3, [0, 1, 2]), (7, [5, 6, 2, 3, 4])])
def test_what_is_skipped_leaves_no_trace(num_writes, stored):
    """Neither a row of zeros that counts, nor a gap where the oldest step was."""
    replay = fill(5, num_writes)
    after = write_row(replay, jnp.int32(num_writes), jnp.zeros(replay.rows.shape[1]), skip=jnp.bool_(True))
    jax.tree.map(np.testing.assert_array_equal, after, replay)
    assert steps_in(after) == stored
    row = pack_row(replay.rows.shape[1], jnp.ones(OBS), jnp.ones(OBS), 1, jnp.float32(-9), jnp.float32(1))
    written = write_row(replay, jnp.int32(num_writes), row, skip=jnp.bool_(False))
    jax.tree.map(np.testing.assert_array_equal, written, write_row(replay, jnp.int32(num_writes), row))
