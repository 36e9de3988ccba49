"""Policies in gymnasium's own tasks: each episode equals the same one played alone."""

import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.envs.action_units import Actions, box, discrete
from synthenv.envs.on_host import gymnasium_task

gymnasium = pytest.importorskip("gymnasium")


def played_alone(env_id: str, policy, num_episodes: int, seed: int) -> tuple[list[float], list[int]]:
    """Play one episode after the other in gymnasium itself."""
    returns, lengths, env = [], [], gymnasium.make(env_id)
    for episode_seed in np.random.SeedSequence(seed).generate_state(num_episodes):
        obs, _ = env.reset(seed=int(episode_seed))
        total, length, ended = 0.0, 0, False
        while not ended:
            obs, reward, terminated, truncated, _ = env.step(policy(obs))
            total, length, ended = total + reward, length + 1, terminated or truncated
        returns.append(total)
        lengths.append(length)
    return returns, lengths


def test_pendulum_episodes_equal_those_played_alone():
    weights = jnp.array([[1.0, -2.0, -0.7]])
    result = gymnasium_task.evaluate("Pendulum-v1", jax.jit(lambda obs: obs @ weights.T), 4, seed=3)
    expected = played_alone("Pendulum-v1", lambda obs: np.clip(np.asarray(weights) @ obs, -2, 2), 4, seed=3)
    np.testing.assert_allclose(result.returns, expected[0], rtol=1e-3)
    np.testing.assert_array_equal(result.lengths, 200)
    assert (result.returns.dtype, result.lengths.dtype) == ("float32", "int32")
    assert np.ptp(result.returns) > 1


def test_cartpole_episodes_end_each_at_its_own_time():
    act = jax.jit(lambda obs: (obs[:, 2] > 0).astype(jnp.int32))
    result = gymnasium_task.evaluate("CartPole-v1", act, 6, seed=0)
    returns, lengths = played_alone("CartPole-v1", lambda obs: int(obs[2] > 0), 6, seed=0)
    np.testing.assert_array_equal(result.returns, returns)
    np.testing.assert_array_equal(result.lengths, lengths)
    assert len(set(lengths)) > 2
    again = gymnasium_task.evaluate("CartPole-v1", act, 6, seed=0)
    np.testing.assert_array_equal(result.returns, again.returns)
    other = gymnasium_task.evaluate("CartPole-v1", act, 6, seed=1)
    assert (result.returns != other.returns).any()


def test_the_policy_is_asked_once_a_step_for_all():
    shapes = []

    def act(obs):
        shapes.append((obs.shape, obs.dtype))
        return np.ones(len(obs), int)

    result = gymnasium_task.evaluate("CartPole-v1", act, 5, seed=0)
    assert shapes == [((5, 4), np.dtype("float32"))] * int(result.lengths.max())
    cut = gymnasium_task.evaluate("CartPole-v1", act, 5, seed=0, max_steps=4)
    np.testing.assert_array_equal(cut.lengths, 4)


def test_reacher_at_rest():
    pytest.importorskip("mujoco")
    result = gymnasium_task.evaluate("Reacher-v5", lambda obs: np.zeros((len(obs), 2)), 20, seed=0)
    np.testing.assert_array_equal(result.lengths, 50)
    assert -15 < result.returns.mean() < -8, "-11.7 over 200 episodes, standard deviation 4.6"


@pytest.mark.parametrize(
    "spec",
    [
        gymnasium_task.TaskSpec("CartPole-v1", 4, discrete(2), 500),
        gymnasium_task.TaskSpec("Pendulum-v1", 3, box([-2.0], [2.0]), 200),
        gymnasium_task.TaskSpec("Reacher-v5", 10, box([-1.0] * 2, [1.0] * 2), 50),
    ],
    ids=lambda spec: spec.env_id,
)
def test_spec(spec):
    if spec.env_id == "Reacher-v5":
        pytest.importorskip("mujoco")
    assert gymnasium_task.spec(spec.env_id) == spec


class Lopsided(gymnasium.Env):
    """Observes its last action; bounds of its actions are not symmetric, its discrete ones count from 5."""

    def __init__(self, action_space=None, observation_space=None):
        bounds = np.array([0.0, -1.0], np.float32), np.array([4.0, 3.0], np.float32)
        self.action_space = action_space or gymnasium.spaces.Box(*bounds)
        size = np.prod(self.action_space.shape, dtype=int)
        self.observation_space = observation_space or gymnasium.spaces.Box(-9, 9, (max(1, size),))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return np.atleast_1d(np.asarray(action, np.float32)), 0.0, False, False, {}


@pytest.fixture
def registered(request):
    """The id of a task without a time limit, made of ``Lopsided`` with the parameter's arguments."""
    env_id = "SynthenvLopsided-v0"
    gymnasium.register(env_id, lambda **kwargs: Lopsided(**kwargs), kwargs=getattr(request, "param", {}))
    yield env_id
    del gymnasium.registry[env_id]


def test_bounds_that_are_not_symmetric_are_stretched(registered):
    spec = gymnasium_task.spec(registered)
    assert (
        spec[:2] == (registered, 2)
        and spec.units.actions == Actions(2, 1.0, False)
        and spec.max_steps is None
    )
    env = gymnasium_task.make(registered)
    env.reset(seed=0)
    for ours, theirs in (([-1, -1], [0, -1]), ([1, 1], [4, 3]), ([0, 7], [2, 3])):
        np.testing.assert_allclose(env.step(gymnasium_task.env_action(env, ours))[0], theirs, atol=1e-6)


@pytest.mark.parametrize(
    "registered", [{"action_space": gymnasium.spaces.Discrete(3, start=5)}], indirect=True
)
def test_discrete_actions_count_from_zero(registered):
    env = gymnasium_task.make(registered)
    env.reset(seed=0)
    assert env.step(gymnasium_task.env_action(env, jnp.int32(2)))[0] == [7]
    assert gymnasium_task.describe(env).units.num_actions == 3


def test_a_task_without_limit_needs_one(registered):
    with pytest.raises(UserError, match=r"no time limit: pass max_steps"):
        gymnasium_task.evaluate(registered, lambda obs: np.zeros((1, 2)), 1, seed=0)
    result = gymnasium_task.evaluate(registered, lambda obs: np.zeros((1, 2)), 1, seed=0, max_steps=7)
    np.testing.assert_array_equal(result.lengths, [7])


@pytest.mark.parametrize(
    ("registered", "complaint"),
    [
        ({"observation_space": gymnasium.spaces.Box(0, 1, (4, 4))}, "observes Box.*are a vector"),
        ({"observation_space": gymnasium.spaces.Discrete(3)}, "observes Discrete.*are a vector"),
        ({"action_space": gymnasium.spaces.MultiBinary(2)}, "acts in MultiBinary"),
        ({"action_space": gymnasium.spaces.Box(-np.inf, np.inf, (2,))}, "of a bounded vector"),
    ],
    indirect=["registered"],
)
def test_other_spaces_are_refused_in_one_line(registered, complaint):
    with pytest.raises(UserError, match=complaint) as error:
        gymnasium_task.spec(registered)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("env_id", ["NoSuchTask-v0", "Pendulum-v99", "no_such_module:Task-v0"])
def test_an_unknown_task_is_named_in_one_line(env_id):
    with pytest.raises(UserError, match=r"gymnasium cannot make .*check the id") as error:
        gymnasium_task.make(env_id)
    assert "\n" not in str(error.value) and env_id in str(error.value)


def test_without_gymnasium_the_message_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(UserError, match=r"Pendulum-v1 needs gymnasium .*pip install -e '\.\[gymnasium\]'"):
        gymnasium_task.make("Pendulum-v1")


def test_an_older_version_of_a_task_is_made_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gymnasium_task.spec("CartPole-v0").max_steps == 200
