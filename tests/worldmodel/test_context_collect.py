"""Contexts collected from tasks: who acts and for how long, when episodes end, and that the rows are the task's own."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.envs.action_units import Actions, actions_of
from synthenv.envs.mountain_car_continuous import MountainCarContinuous
from synthenv.worldmodel.context.action_strategies import STRATEGIES, Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.context.collect_gymnasium import collect_gymnasium

LINE, POLE = registry.make("SimpleEnv"), registry.make("CartPole-v0")


def holds(context) -> list[list[int]]:
    """How long each action was held, in steps, by episode."""
    steps = context.transitions
    last = np.flatnonzero(steps.terminated | steps.truncated) + 1
    episodes = np.split(steps.action[:, 0], last)
    changes = [np.flatnonzero(np.diff(e, prepend=np.nan, append=np.nan) != 0) for e in episodes if len(e)]
    return [np.diff(change).tolist() for change in changes]


def always(value):
    return lambda key, obs: jnp.full(1, value, jnp.float32)


def test_uniform_actions_change_in_every_step():
    context = collect(jax.random.key(0), LINE, Collection("random", num_steps=400))
    assert {length for episode in holds(context) for length in episode} == {1}
    action = context.transitions.action
    assert (action.shape, action.dtype.name) == ((400, 1), "float32")
    assert -10 <= action.min() < -9 and 9 < action.max() <= 10 and abs(action.mean()) < 1
    assert (context.num_actions, context.action_bound, context.task) == (None, 10.0, "SimpleEnv")


def test_repeated_actions_are_held_for_four_steps():
    context = collect(jax.random.key(0), LINE, Collection("repeat", num_steps=200))
    assert holds(context) == [[4] * 5] * 10
    cut = collect(jax.random.key(0), LINE, Collection("repeat", num_steps=40, episode_cap=10))
    assert holds(cut) == [[4, 4, 2]] * 4, "drawn anew where an episode begins"


def test_held_actions_are_held_for_one_to_max_hold_steps():
    context = collect(jax.random.key(0), LINE, Collection("held", num_steps=2000, max_hold=5))
    whole = [
        length for episode in holds(context) for length in episode[:-1]
    ]  # an episode's end may cut the last
    lengths, counts = np.unique(whole, return_counts=True)
    np.testing.assert_array_equal(lengths, [1, 2, 3, 4, 5])
    # Log-uniform: the odds of k are those of falling between k and k + 1.
    expected = counts.sum() * np.log1p(1 / lengths) / np.log(6)
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
    assert len(holds(context)) == 100
    assert Collection().max_hold == 40


@pytest.mark.parametrize(
    ("strategy", "shares"),
    [
        ("random", (0, 0, 0)),
        ("held", (0, 0, 0)),
        ("expert", (1, 1, 1)),
        ("p-expert", (0.5, 0.5, 0.5)),
        ("mixture", (0, 0.5, 1)),
    ],
)
def test_the_share_of_the_expert_in_every_third(strategy, shares):
    context = collect(jax.random.key(1), LINE, Collection(strategy, num_steps=900), always(2.5))
    by_expert = (context.transitions.action[:, 0] == 2.5).reshape(3, 300).mean(axis=1)
    np.testing.assert_allclose(by_expert, shares, atol=0.1 if 0.5 in shares else 0)
    exact = np.isin(shares, [0, 1])
    np.testing.assert_array_equal(by_expert[exact], np.asarray(shares)[exact])


def test_the_expert_is_asked_about_what_it_sees_and_held_to_the_bounds():
    context = collect(jax.random.key(0), LINE, Collection("expert", 60), lambda key, obs: 3 * obs)
    np.testing.assert_allclose(context.transitions.action, np.clip(3 * context.transitions.obs, -10, 10))
    assert (np.abs(context.transitions.action) == 10).any() and (
        np.abs(context.transitions.action) < 10
    ).any()


@pytest.fixture(params=["ours", "gymnasium"])
def collect_pole(request):
    """Collect CartPole-v1 from either source."""
    if request.param == "gymnasium":
        pytest.importorskip("gymnasium")
        return lambda key, collection: collect_gymnasium(key, "CartPole-v1", collection)
    return lambda key, collection: collect(key, registry.make("CartPole-v1"), collection)


def test_a_failure_ends_an_episode(collect_pole):
    context = collect_pole(jax.random.key(0), Collection(num_steps=300, num_resets=50))
    steps = context.transitions
    ended = steps.terminated | steps.truncated
    assert 5 < ended.sum() < 40
    np.testing.assert_array_equal(steps.reward, 1.0)
    np.testing.assert_allclose(steps.next_obs[:-1][~ended[:-1]], steps.obs[1:][~ended[:-1]], atol=1e-6)
    begins = np.concatenate([[True], ended[:-1]])
    assert (np.abs(steps.obs[begins]) <= 0.05).all() and (np.abs(steps.next_obs[ended, 2]) > 0.2).all()
    assert context.first_obs.shape == (50, 4) and (np.abs(context.first_obs) <= 0.05).all()
    assert len(np.unique(context.first_obs, axis=0)) == 50, "fresh resets"
    assert (steps.action.shape, steps.action.dtype.name) == ((300,), "int32")
    assert set(steps.action.tolist()) == {0, 1} and 0.4 < steps.action.mean() < 0.6
    assert (context.num_actions, context.real_steps, context.strategy) == (2, 300, "random")


@pytest.mark.filterwarnings("error")
def test_steps_after_a_failure(collect_pole):
    context = collect_pole(jax.random.key(0), Collection(num_steps=300, post_failure_steps=4, num_resets=1))
    steps = context.transitions
    begins = np.flatnonzero(
        np.concatenate([[True], ~np.isclose(steps.next_obs[:-1], steps.obs[1:]).all(axis=1)])
    )
    assert len(begins) > 5
    for first, end in itertools.pairwise(begins):
        np.testing.assert_array_equal(steps.terminated[first:end], [False] * (end - first - 5) + [True] * 5)
        np.testing.assert_array_equal(steps.reward[first:end], [1.0] * (end - first - 4) + [0.0] * 4)
    assert not steps.truncated.any()


def test_a_cap_cuts_episodes_short(collect_pole):
    context = collect_pole(jax.random.key(0), Collection(num_steps=60, episode_cap=6, num_resets=1))
    np.testing.assert_array_equal(np.flatnonzero(context.transitions.truncated), np.arange(5, 60, 6))
    assert not context.transitions.terminated.any()


def test_a_context_is_its_keys(collect_pole):
    collection = Collection("held", num_steps=40, num_resets=3)
    one, same, other = (collect_pole(jax.random.key(seed), collection) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.transitions.obs, same.transitions.obs)
    np.testing.assert_array_equal(one.first_obs, same.first_obs)
    assert (one.transitions.obs[0] != other.transitions.obs[0]).all()
    assert (one.first_obs != other.first_obs).all()


def test_gymnasiums_pendulum_is_ours():
    pytest.importorskip("gymnasium")
    context = collect_gymnasium(
        jax.random.key(0), "Pendulum-v1", Collection("held", num_steps=420, num_resets=5)
    )
    steps, (_, env, params, _, _) = context.transitions, registry.make("Pendulum-v1")
    np.testing.assert_array_equal(np.flatnonzero(steps.truncated), [199, 399])

    def step(obs, action):
        _, state = env.reset_env(jax.random.key(0), params)
        state = state.replace(theta=jnp.arctan2(obs[1], obs[0]), theta_dot=obs[2])
        after, _, reward, _, _ = env.step_env(jax.random.key(0), state, action, params)
        return after, reward

    next_obs, reward = jax.jit(jax.vmap(step))(steps.obs, steps.action)
    np.testing.assert_allclose(steps.next_obs, next_obs, atol=1e-4)
    np.testing.assert_allclose(steps.reward, reward, atol=1e-4)
    inside = ~steps.truncated[:-1]
    np.testing.assert_array_equal(steps.next_obs[:-1][inside], steps.obs[1:][inside])
    assert (context.action_bound, context.task, context.first_obs.shape) == (2.0, "Pendulum-v1", (5, 3))


def test_gymnasiums_expert_may_be_any_callable():
    pytest.importorskip("gymnasium")
    seen = []

    def act(key, obs):
        seen.append(np.asarray(obs))
        return float(np.tanh(seen[-1][2]))  # no tracer would survive this

    context = collect_gymnasium(
        jax.random.key(0), "Pendulum-v1", Collection("mixture", 90, num_resets=1), act
    )
    steps = context.transitions
    by_expert = (
        np.isclose(steps.action[:, 0], np.tanh(steps.obs[:, 2]), atol=1e-6).reshape(3, 30).mean(axis=1)
    )
    assert by_expert[0] == 0 and 0.2 < by_expert[1] < 0.8 and by_expert[2] == 1
    np.testing.assert_array_equal(steps.obs[-30:], seen[-30:])


def test_gymnasiums_reacher():
    pytest.importorskip("mujoco")
    context = collect_gymnasium(jax.random.key(0), "Reacher-v5", Collection(num_steps=120, num_resets=7))
    assert (context.obs_size, context.action_size, context.action_bound) == (10, 2, 1.0)
    np.testing.assert_array_equal(np.flatnonzero(context.transitions.truncated), [49, 99])
    assert context.transitions.obs.dtype == np.float32 and context.first_obs.shape == (7, 10)


@pytest.mark.parametrize("name", ["GridWorld", "Acrobot-v1", "MountainCarContinuous-v0", "EmptyRoom23"])
def test_every_kind_of_task_gives_rows_that_join(name):
    spec = registry.make(name)
    context = collect(jax.random.key(2), spec, Collection(num_steps=70, episode_cap=30, num_resets=4))
    steps = context.transitions
    ended = (steps.terminated | steps.truncated)[:-1]
    assert ended.sum() >= 2
    np.testing.assert_allclose(steps.next_obs[:-1][~ended], steps.obs[1:][~ended], atol=1e-6)
    assert context.first_obs.shape == (4, *spec.env.observation_space(spec.env_params).shape)
    assert context.num_actions == getattr(spec.env.action_space(spec.env_params), "n", None)


def test_cut_by_the_cap_and_by_the_task():
    """The shorter of the two rules; and the cap is no termination."""
    context = collect(jax.random.key(0), LINE, Collection(num_steps=60, episode_cap=50, num_resets=1))
    np.testing.assert_array_equal(np.flatnonzero(context.transitions.truncated), [19, 39, 59])


@pytest.mark.parametrize(
    ("collection", "complaint"),
    [
        (Collection("greedy"), "unknown context strategy 'greedy': choose from random, repeat, held, expert"),
        (Collection("expert"), "'expert' needs an expert: pass one"),
        (Collection("p-expert"), "'p-expert' needs an expert: pass one"),
        (Collection("mixture"), "'mixture' needs an expert: pass one"),
        (Collection(num_steps=0), "num_steps is 0: make it at least 1"),
        (Collection(max_hold=0), "max_hold is 0: make it at least 1"),
        (Collection(episode_cap=0), "episode_cap is 0: make it at least 1"),
        (Collection(post_failure_steps=-1), "post_failure_steps is -1: make it at least 0"),
        (Collection(num_resets=0), "num_resets is 0: make it at least 1"),
        (Collection(num_steps=19), "has 19 rows: collect at least 20"),
    ],
)
def test_what_cannot_be_collected_is_said_in_one_line(collection, complaint):
    with pytest.raises(UserError, match=complaint) as error:
        collect(jax.random.key(0), LINE, collection)
    assert "\n" not in str(error.value)


def test_an_unknown_gymnasium_task_is_refused():
    pytest.importorskip("gymnasium")
    with pytest.raises(UserError, match="cannot make 'Nothing-v0'"):
        collect_gymnasium(jax.random.key(0), "Nothing-v0", Collection())


class LopsidedCar(MountainCarContinuous):
    def action_space(self, params=None):
        return spaces.Box(0.0, 1.0, (1,))


def test_lopsided_bounds_are_refused_and_symmetric_ones_read():
    spec = registry.make("MountainCarContinuous-v0")
    assert actions_of(spec.env.action_space()) == Actions(1, 1.0, False)
    assert actions_of(POLE.env.action_space()) == Actions(2, 1.0, True)
    with pytest.raises(UserError, match=r"from 0.0 to 1.0: wrap it") as error:
        collect(jax.random.key(0), spec._replace(env=LopsidedCar()), Collection())
    assert "\n" not in str(error.value)


def test_the_papers_five_strategies_and_ours():
    assert set(STRATEGIES) == {"random", "repeat", "expert", "p-expert", "mixture", "held"}
