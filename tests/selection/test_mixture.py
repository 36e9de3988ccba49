"""Mixtures of normal distributions: all questions against many draws, and one component against a normal one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.selection.forecast import Mixture, Normal

QUESTIONS = {
    "mean": lambda said: said.mean,
    "std": lambda said: said.std,
    "improvement": lambda said: said.expected_improvement(0.4),
    "above": lambda said: said.probability_above(jnp.asarray([0.4, 0.1])),
}
BY_HAND = {
    "mean": lambda draws: draws.mean(0),
    "std": lambda draws: draws.std(0),
    "improvement": lambda draws: np.maximum(draws - 0.4, 0).mean(0),
    "above": lambda draws: (draws > np.array([0.4, 0.1])).mean(0),
}


def mixture() -> Mixture:
    shares = jnp.asarray([[0.9, 0.1], [0.4, 0.6]])
    return Mixture(jnp.asarray([[0.2, 0.5], [0.0, 0.3]]), jnp.asarray([[0.1, 0.3], [0.2, 0.05]]), shares)


@pytest.mark.parametrize("question", QUESTIONS)
def test_answers_are_those_of_many_draws(question):
    said = mixture()
    draws = np.asarray(jax.vmap(said.sample)(jax.random.split(jax.random.key(0), 40_000)))
    np.testing.assert_allclose(
        jax.jit(QUESTIONS[question])(said), BY_HAND[question](draws), rtol=0.05, atol=1e-3
    )


def test_density_adds_up_and_is_that_of_its_components():
    places = jnp.linspace(-2.0, 3.0, 2001)
    density = jnp.exp(jax.jit(jax.vmap(mixture().log_density))(jnp.stack([places, places], axis=1)))
    np.testing.assert_allclose(density.sum(0) * (places[1] - places[0]), 1.0, rtol=1e-3)
    one = Mixture(*(jnp.asarray([[x]]) for x in (0.2, 0.1, 1.0)))
    expected = Normal(jnp.asarray([0.2]), jnp.asarray([0.1])).log_density(jnp.asarray([0.35]))
    np.testing.assert_allclose(one.log_density(jnp.asarray([0.35])), expected, rtol=1e-5)
