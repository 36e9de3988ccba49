"""The released schedule against arithmetic by hand, the optimizer against a NumPy AdamW."""

import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from synthenv.worldmodel.paper.optimizer import RELEASED, learning_rate, make_optimizer

PEAK = 5e-5


@pytest.mark.parametrize(
    ("step", "share_of_peak"),
    [
        (0, 2 / 12),  # epoch 2 of a warm-up of 12
        (50, 2.5 / 12),
        (999, 11.99 / 12),
        (1000, 1.0),  # share 12 / 50: the warm-up ends after 10 epochs of training
        (2900, 0.5 * (1 + math.cos(math.pi * 0.5))),  # share 31 / 50, half way down: 19 of 38
        (4800, 0.0),  # share 50 / 50
        (4999, 0.5 * (1 + math.cos(math.pi * 39.99 / 38))),  # share 51.99 / 50
    ],
)
def test_schedule_by_hand(step, share_of_peak):
    assert float(learning_rate(RELEASED)(step)) == pytest.approx(PEAK * share_of_peak, rel=1e-4, abs=1e-11)


def test_end_of_the_schedule():
    """It rises to 0.7 % of the peak over the last 200 steps; counted from 0 it falls to the end."""
    steps = jnp.arange(4800, 5000)
    released = learning_rate(RELEASED)(steps)
    assert np.all(np.diff(released[1:]) > 0)
    assert float(released[-1]) / PEAK == pytest.approx(0.0068, abs=1e-4)
    assert np.all(np.diff(learning_rate(replace(RELEASED, epochs_ahead=0))(steps)) < 0)


def test_schedule_without_the_offset_and_without_warmup():
    """Counted from 0 it starts at zero; without a warm-up at its peak."""
    counted = replace(RELEASED, epochs_ahead=0)
    assert float(learning_rate(counted)(0)) == 0
    assert float(learning_rate(counted)(1200)) == pytest.approx(PEAK)
    assert float(learning_rate(replace(counted, warmup_epochs=0))(0)) == pytest.approx(PEAK)


def numpy_adamw(gradients, rates):
    """Moves of one weight vector: clip the norm to 1, then Adam with PyTorch's epsilon outside of the root."""
    first = second = moves = np.zeros_like(gradients[0])
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        g = g * min(1.0, 1.0 / np.linalg.norm(g))
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        moves = moves - rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    return moves


def test_updates_are_adamws():
    """Norms above and below 1; the first step takes the schedule's step 0; no weight decay."""
    gradients = [np.array([3.0, -4.0]), np.array([0.3, 0.1]), np.array([0.0, 2.0])]
    config = replace(RELEASED, learning_rate=0.1, steps_per_epoch=1)
    optimizer, params = make_optimizer(config), jnp.array([5.0, -7.0])
    state, start = optimizer.init(params), params
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient), state, params)
        params = jnp.asarray(optax.apply_updates(params, updates))
    expected = numpy_adamw(gradients, [0.1 * n / 12 for n in (2, 3, 4)])
    np.testing.assert_allclose(params - start, expected, atol=1e-6)
