"""Random words are handed out once each, in order, and turned into numbers within their bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.worldmodel.small.prior.random_words import Draws


def test_no_word_is_handed_out_twice():
    draws = Draws(jnp.arange(20, dtype=jnp.uint32))
    taken = [draws.words(), draws.words((2, 3)), draws.words((5,)), draws.words()]
    np.testing.assert_array_equal(np.concatenate([np.ravel(part) for part in taken]), np.arange(13))
    assert taken[1].shape == (2, 3)


def test_more_than_there_is_raises_and_all_there_is_does_not():
    draws = Draws(jnp.zeros(6, jnp.uint32))
    draws.normal((2,))  # two words each
    draws.coin(0.5, (2,))
    for take in (draws.words, draws.uniform, draws.normal, lambda: draws.integer(0, 3)):
        with pytest.raises(ValueError, match="6 random words are too few"):
            take()


@pytest.fixture
def draws():
    return Draws(jax.random.bits(jax.random.key(0), (40_000,)))


def test_numbers_are_spread_as_they_should(draws):
    num = (4000,)
    uniform = draws.uniform(-1.0, 3.0, num)
    assert -1 <= uniform.min() < -0.98 and 2.98 < uniform.max() < 3
    log_uniform = np.log2(draws.log_uniform(0.25, 4.0, num))
    np.testing.assert_allclose(np.histogram(log_uniform, [-2, -1, 0, 1, 2])[0] / 4000, 0.25, atol=0.03)
    np.testing.assert_allclose(draws.coin(0.2, num).mean(), 0.2, atol=0.03)
    values, counts = np.unique(draws.integer(2, 6, num), return_counts=True)
    np.testing.assert_array_equal(values, [2, 3, 4, 5])
    np.testing.assert_allclose(counts / 4000, 0.25, atol=0.03)
    normal = np.asarray(draws.normal(num))
    np.testing.assert_allclose([normal.mean(), normal.std()], [0, 1], atol=0.06)
