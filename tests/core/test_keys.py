"""Counter-based words: evenly spread, and independent of the neighbouring counter, seed and lane."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core import keys

AXES = ("seed", "counter", "lane")


def draw(num_seeds=16, num_counters=1024, num_words=16):
    """Words [seeds, counters, lanes], drawn as a population of members would."""
    seeds = jax.vmap(keys.seed_words)(jax.random.split(jax.random.key(0), num_seeds))

    def of_member(seed):
        return jax.vmap(lambda c: keys.words(seed, c, num_words))(jnp.arange(num_counters))

    return np.asarray(jax.jit(jax.vmap(of_member))(seeds))


@pytest.fixture(scope="module")
def words():
    return draw()


def assert_even(bins, num_bins):
    """The chi-square statistic of counts lies within five standard deviations of its mean, on both sides."""
    counts = np.bincount(bins.ravel(), minlength=num_bins)
    expected = bins.size / num_bins
    chi_square = np.sum((counts - expected) ** 2 / expected)
    freedom = num_bins - 1
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_mix_transcription():
    """`mix` is lowbias32, as in unbounded Python integers."""

    def lowbias32(x):
        x = ((x ^ (x >> 16)) * 0x21F0AAAD) % 2**32
        x = ((x ^ (x >> 15)) * 0xD35A2D97) % 2**32
        return x ^ (x >> 15)

    x = np.random.default_rng(0).integers(2**32, size=100, dtype=np.uint32)
    assert keys.mix(jnp.asarray(x)).tolist() == [lowbias32(int(i)) for i in x]


def test_mix_is_injective():
    """No two of the first 2**18 integers meet."""
    assert np.unique(keys.mix(jnp.arange(2**18, dtype=jnp.uint32))).size == 2**18


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
def test_bytes_are_even(words, shift):
    """Every byte of a word takes each of its values equally often."""
    assert_even(words >> shift & 255, 256)


@pytest.mark.parametrize("fill", [3, 100, 1000])
def test_remainders_are_even(words, fill):
    """Remainders, as used for actions and replay rows, are equally frequent."""
    assert_even(words % fill, fill)


@pytest.mark.parametrize("axis", range(3), ids=AXES)
@pytest.mark.parametrize("shift", [0, 28], ids=["low bits", "high bits"])
def test_neighbours_are_independent(words, axis, shift):
    """All 256 pairs of a hexadecimal digit and its neighbour's are equally frequent."""
    digit = np.moveaxis(words >> shift & 15, axis, 0)
    assert_even(16 * digit[:-1] + digit[1:], 256)


@pytest.mark.parametrize("axis", range(3), ids=AXES)
def test_no_correlation(words, axis):
    """Uniforms do not correlate with those of the next counters, seeds or lanes."""
    u = np.moveaxis(np.asarray(keys.uniform(jnp.asarray(words)), np.float64), axis, 0)
    for lag in (1, 2, 4):
        x, y = u[:-lag].ravel(), u[lag:].ravel()
        assert abs(np.corrcoef(x, y)[0, 1]) < 5 / np.sqrt(x.size)


def test_no_two_steps_share_their_words(words):
    """No two of the 16384 steps, of whichever member, begin with the same two words."""
    assert np.unique(words[..., :2].reshape(-1, 2), axis=0).shape == (words[..., 0].size, 2)


def test_stream_is_even_and_shares_no_stretch_with_its_neighbours():
    """Long draws: even bytes, no correlation with a neighbouring seed's at any small lag, longer ones begin alike."""
    seeds = jnp.array([[7, 9], [8, 9], [7, 10]], jnp.uint32)
    streams = np.asarray(jax.vmap(lambda seed: keys.stream(seed, 2**16))(seeds))
    for shift in (0, 8, 16, 24):
        assert_even(streams >> shift & 255, 256)
    u = np.asarray(keys.uniform(jnp.asarray(streams)), np.float64)
    for i, lag in ((0, 1), (1, 0), (1, 1), (2, 0), (2, 1)):
        x, y = u[0, : 2**16 - lag], u[i, lag:]
        assert abs(np.corrcoef(x, y)[0, 1]) < 5 / np.sqrt(x.size)
    assert np.intersect1d(streams[0], streams[1]).size < 20  # 2**16 words of 2**32 meet once by chance
    np.testing.assert_array_equal(keys.stream(seeds[0], 100), streams[0, :100])


@pytest.mark.parametrize("seed", [(0, 0), (0, 1), (1, 0)])
def test_weak_seeds(seed):
    """Even with nearly zero seeds no word returns in another lane of another counter."""
    words = jax.vmap(lambda c: keys.words(jnp.array(seed, jnp.uint32), c, 64))(jnp.arange(64))
    assert np.unique(words).size == 64 * 64


def test_deterministic(words):
    """Seed, counter and lane decide: drawn anew, alone, un-jitted, and with more lanes."""
    np.testing.assert_array_equal(draw(), words)
    seed = keys.seed_words(jax.random.split(jax.random.key(0), 16)[3])
    np.testing.assert_array_equal(keys.words(seed, jnp.int32(77), 32)[:16], words[3, 77])


def test_uniform_is_half_open():
    """The smallest word maps to 0, the largest to just below 1, the middle to one half."""
    u = keys.uniform(jnp.array([0, 2**31, 2**32 - 1], jnp.uint32))
    assert u.dtype == jnp.float32
    assert u.tolist() == [0.0, 0.5, 1 - 2**-24]


def test_key_from_two_words(words):
    """Two words become a typed threefry key that holds them."""
    key = keys.key_from(jnp.asarray(words[0, 0, :2]))
    assert jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    np.testing.assert_array_equal(jax.random.key_data(key), words[0, 0, :2])


def test_keys_draw_even_uniforms(words):
    """jax.random draws from the keys of successive counters are evenly spread."""
    pairs = jnp.asarray(words[..., :2].reshape(-1, 2))
    u = jax.jit(jax.vmap(lambda pair: jax.random.uniform(keys.key_from(pair))))(pairs)
    assert_even((np.asarray(u) * 64).astype(int), 64)
