"""The simple models against NumPy by hand, and on systems that they must and must not be able to learn."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.core.types import Prediction, Transition
from synthenv.nets.gaussian_process.sign_steps import Logs
from synthenv.worldmodel.baselines import gaussian_process, marginal_likelihood
from synthenv.worldmodel.baselines.gaussian_process import ARD, ISOTROPIC
from synthenv.worldmodel.baselines.ridge import PERSISTENCE, QUADRATIC, RIDGE, rows_of
from synthenv.worldmodel.regression.double_precision import single
from synthenv.worldmodel.regression.ridge_solution import PENALTIES, solve_ridge

REGRESSIONS = (RIDGE, QUADRATIC, ISOTROPIC, ARD)
by_name = pytest.mark.parametrize("model", REGRESSIONS, ids=lambda model: model.name)


def transitions(obs, action, next_obs, reward) -> Transition:
    never = np.zeros(len(obs), bool)
    action = action if action.dtype == np.int32 else action.astype(np.float32)
    obs, reward, next_obs = (np.asarray(x, np.float32) for x in (obs, reward, next_obs))
    return Transition(obs, action, reward, next_obs, never, never)


def linear_system(num: int, seed: int) -> Transition:
    """Two numbers and one action; rewards are linear in all three."""
    draws = np.random.default_rng(seed)
    obs, action = draws.normal(size=(num, 2)) * [1, 30], draws.uniform(-2, 2, (num, 1))
    change = obs @ np.array([[-0.1, 0.5], [0.003, -0.02]]) + action * [0.2, -3.0] + [0.0, 0.7]
    return transitions(obs, action, obs + change, 5 + obs @ [0.3, -0.01] + action[:, 0])


def wavy_system(num: int, seed: int) -> Transition:
    draws = np.random.default_rng(seed)
    obs, action = draws.uniform(-2, 2, (num, 2)), draws.uniform(-1, 1, (num, 1))
    change = np.stack([np.sin(2 * obs[:, 0]) * action[:, 0], np.cos(obs.sum(axis=1))], axis=1)
    return transitions(obs, action, obs + change, -np.square(obs).sum(axis=1))


def ask(model, cache, obs, action) -> Prediction:
    """One prediction, in one program instead of one for each of its operations."""
    return jax.jit(model.predict)(cache, obs, action)


def error(model, context: Transition, asked: Transition, num_actions=None) -> np.ndarray:
    """Mean squared errors of observation and reward over the variance of what there is to predict. [Y]"""
    cache = model.encode(None, context, num_actions)
    said = jax.jit(jax.vmap(model.predict, in_axes=(None, 0, 0)))(cache, asked.obs, asked.action)
    wrong = np.column_stack([said.next_obs - asked.next_obs, said.reward - asked.reward])
    there = np.column_stack([asked.next_obs - asked.obs, asked.reward])
    return np.square(wrong).mean(axis=0) / there.var(axis=0)


def test_persistence_stays_and_expects_the_mean_reward():
    context = linear_system(50, 0)
    cache = PERSISTENCE.encode(None, context, None)
    said = ask(PERSISTENCE, cache, jnp.array([3.0, -8.0]), jnp.array([1.0]))
    np.testing.assert_array_equal(said.next_obs, [3, -8])
    assert float(said.reward) == pytest.approx(context.reward.mean(), rel=1e-5)
    assert float(said.reward_std) == pytest.approx(context.reward.std(), rel=1e-5)
    change = context.next_obs - context.obs
    np.testing.assert_allclose(said.next_obs_std, np.sqrt(np.square(change).mean(axis=0)), rtol=1e-4)
    assert float(said.termination) == 0


def test_ridge_solves_the_normal_equations_and_leaves_out_one_row_after_another():
    draws = np.random.default_rng(1)
    features = draws.normal(size=(12, 3))
    features -= features.mean(axis=0)
    targets = np.stack([features @ [1.0, -2.0, 0.5], draws.normal(size=12)], axis=1)
    targets[:, 0] += 0.3 * draws.normal(size=12)
    targets -= targets.mean(axis=0)
    beta, left_out = solve_ridge(features, targets)

    def by_hand(x, y, penalty):
        constant = np.column_stack([np.ones(len(x)), x])
        return np.linalg.solve(constant.T @ constant + 12 * penalty * np.diag([0, 1, 1, 1]), constant.T @ y)

    errors = np.zeros((len(PENALTIES), 2))
    for index, penalty in enumerate(PENALTIES):
        for row in range(12):
            rest = np.arange(12) != row
            found = by_hand(features[rest], targets[rest], penalty)
            errors[index] += (targets[row] - np.append(1, features[row]) @ found) ** 2 / 12
    np.testing.assert_allclose(left_out, errors.min(axis=0), rtol=1e-6)
    best = errors.argmin(axis=0)
    assert best[0] != best[1], "every column has a penalty of its own"
    for column, index in enumerate(best):
        expected = by_hand(features, targets[:, column], PENALTIES[index])[1:]
        np.testing.assert_allclose(beta[:, column], expected, rtol=1e-8)


def test_posterior_mean_by_hand():
    draws = np.random.default_rng(2)
    x, y, asked = draws.normal(size=(9, 2)), draws.normal(size=9), draws.normal(size=(5, 2))
    lengths, noise = np.array([0.7, 1.9]), 0.03

    def kernel(a, b):
        return np.exp(-0.5 * (((a[:, None] - b[None]) / lengths) ** 2).sum(axis=2))

    covariance = kernel(x, x) + noise * np.eye(9)
    ones = np.ones(9)
    mean = ones @ np.linalg.solve(covariance, y) / (ones @ np.linalg.solve(covariance, ones))
    rest = np.linalg.solve(covariance, y - mean)
    with jax.enable_x64(True):
        logs = Logs(-np.log(lengths), np.log(noise - marginal_likelihood.NOISE_FLOOR))
        fitted = jax.jit(marginal_likelihood.condition)(logs, x, y)
        np.testing.assert_allclose(fitted.alpha, rest, rtol=1e-8)
        assert float(fitted.mean) == pytest.approx(mean, rel=1e-9)
        assert float(fitted.signal) == pytest.approx((y - mean) @ rest / 9, rel=1e-9)
        for is_smooth in (False, True):
            column = gaussian_process._in_form(fitted, logs, x, is_smooth)
            said = [gaussian_process.value(column, q, np.square(x.T - q[:, None])) for q in asked]
            np.testing.assert_allclose(said, mean + kernel(asked, x) @ rest, rtol=2e-7)  # a series


def test_slopes_are_those_of_the_likelihood():
    draws = np.random.default_rng(3)
    x, y = draws.normal(size=(15, 2)), draws.normal(size=15)

    def misfit(logs):
        lengths, noise = np.exp(-logs[:2]), marginal_likelihood.NOISE_FLOOR + np.exp(logs[2])
        covariance = np.exp(-0.5 * (((x[:, None] - x[None]) / lengths) ** 2).sum(axis=2)) + noise * np.eye(15)
        inverse = np.linalg.inv(covariance)
        rest = y - inverse.sum(axis=0) @ y / inverse.sum()
        return 0.5 * (15 * np.log(rest @ inverse @ rest) + np.linalg.slogdet(covariance)[1])

    logs = np.array([0.2, -0.4, -2.0])
    expected = [(misfit(logs + step) - misfit(logs - step)) / 2e-5 for step in 1e-5 * np.eye(3)]
    with jax.enable_x64(True):
        found = jax.jit(marginal_likelihood.slopes)(Logs(logs[:2], logs[2]), x, y)
    np.testing.assert_allclose(np.append(found.scales, found.noise), expected, rtol=1e-5)


@by_name
def test_a_linear_system_is_recovered(model):
    assert np.sqrt(error(model, linear_system(150, 0), linear_system(200, 1))).max() < (
        1e-5 if model in (RIDGE, QUADRATIC) else 1e-2
    )


def test_smooth_systems_are_for_processes():
    context, asked = wavy_system(150, 0), wavy_system(200, 1)
    linear, isotropic, ard = (error(model, context, asked) for model in (RIDGE, ISOTROPIC, ARD))
    assert (linear > 0.3).all()
    assert (isotropic < 0.05).all() and (ard < 0.05).all()
    assert error(QUADRATIC, context, asked)[-1] < 1e-8, "the reward is quadratic"


@by_name
def test_discrete_actions_are_no_numbers(model):
    """Pushes of 1, -3 and 2 are not linear in 0, 1 and 2."""
    draws = np.random.default_rng(4)
    obs, action = draws.normal(size=(60, 1)), draws.integers(0, 3, 60).astype(np.int32)
    push = np.array([1.0, -3.0, 2.0])[action]
    rows = transitions(obs, action, obs + push[:, None], 2 * push)
    assert error(model, rows, rows, num_actions=3).max() < 1e-3
    said = ask(model, model.encode(None, rows, 3), jnp.array([0.2]), jnp.int32(1))
    np.testing.assert_allclose(said.next_obs, [-2.8], atol=0.02)


@by_name
def test_constant_columns_and_equal_rows(model):
    rows = wavy_system(40, 5)
    same = np.ones(40, np.float32)
    rows = Transition(
        np.column_stack([rows.obs, 7 * same]).astype(np.float32),
        rows.action,
        -same,
        np.column_stack([rows.next_obs, 7 * same]).astype(np.float32),
        rows.terminated,
        rows.truncated,
    )
    twice = Transition(*(np.concatenate([leaf, leaf]) for leaf in rows))
    asked = rows.obs[3] + np.array([0.1, -0.1, 4.0], np.float32), rows.action[5]
    once_said, said = (ask(model, model.encode(None, one, None), *asked) for one in (rows, twice))
    assert float(said.next_obs[2]) == pytest.approx(11.0), "it has never been seen to change"
    assert float(said.reward) == -1.0 and float(said.reward_std) == 0.0
    for one, other in zip(once_said, said, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
    assert len(rows_of(twice, None).inputs) == 40


@by_name
def test_whole_numbers_stay_whole(model):
    draws = np.random.default_rng(6)
    obs, action = draws.integers(0, 9, (80, 2)), draws.integers(0, 2, 80).astype(np.int32)
    rows = transitions(obs, action, obs + action[:, None], obs[:, 0])
    said = jax.jit(jax.vmap(partial(model.predict, model.encode(None, rows, 2))))(rows.obs, rows.action)
    np.testing.assert_array_equal(said.next_obs, rows.next_obs)


@by_name
def test_what_is_too_large_to_compute_with(model):
    rows = linear_system(150, 7)
    far = np.float32(3e38) * np.sign(rows.obs)
    with pytest.raises(UserError, match="scale its columns"):
        model.encode(None, rows._replace(obs=far, next_obs=-far), None)


@pytest.mark.parametrize("is_ard", [False, True])
def test_single_precision_is_enough(is_ard):
    """The processes' coefficients here are of 1e4 and more."""
    rows, asked = rows_of(linear_system(150, 0), None), rows_of(linear_system(150, 1), None)
    with jax.enable_x64(True):
        exact = gaussian_process.fit(rows.inputs, rows.targets, is_ard)
        assert np.abs(exact.alpha).max() > 1e3

        @jax.jit
        def values(targets, inputs, questions):
            def at(x):
                squares = jnp.square(inputs.T - x[:, None])
                return jax.vmap(gaussian_process.value, in_axes=(0, None, None))(targets, x, squares)

            return jax.vmap(at)(questions)

        said = values(exact, rows.inputs, asked.inputs)
    np.testing.assert_allclose(values(*single((exact, rows.inputs, asked.inputs))), said, atol=1e-3)
