"""The registry hands out each environment once and explains itself when it cannot."""

import importlib.util

import jax
import pytest

from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.envs.tasks import TASKS

HAS_BRAX = importlib.util.find_spec("brax") is not None
BUILDABLE = [name for name in registry.names() if HAS_BRAX or not name.startswith(("HalfCheetah", "brax/"))]


@pytest.mark.parametrize("name", BUILDABLE)
def test_make_returns_the_same_objects(name):
    first, second = registry.make(name), registry.make(name)
    assert first.env is second.env
    assert first.env_params is second.env_params
    assert first.name == name
    assert first.env_params.max_steps_in_episode == first.max_steps


def test_environments_are_not_shared_between_names():
    envs = [registry.make(name).env for name in BUILDABLE]
    assert len(set(map(id, envs))) == len(envs)


def test_known_ids():
    gridworlds = {"EmptyRoom22", "EmptyRoom23", "EmptyRoom33", "CliffWalking"}
    cars = {"MountainCar-v0", "MountainCarContinuous-v0"}
    poles = {"CartPole-v0", "CartPole-v1", "Acrobot-v1", "Pendulum-v1"}
    one_shot = {"GridWorld", "SimpleEnv", "brax/reacher"}
    assert set(registry.names()) == gridworlds | cars | poles | {"HalfCheetah"} | one_shot


@pytest.mark.parametrize("name", BUILDABLE)
def test_thresholds_are_those_of_the_built_task(name):
    spec = registry.make(name)
    assert registry.thresholds()[name] == (spec.solved_return, spec.max_steps)


def test_thresholds_build_nothing():
    before = dict(registry._built)
    assert list(registry.thresholds()) == list(registry.names())
    assert registry._built == before


def test_solved_returns_of_our_own_tasks():
    expected = {"CliffWalking": (50, -20.0), "EmptyRoom22": (10, 0.8), "EmptyRoom23": (15, 0.8)}
    expected |= {"EmptyRoom33": (20, 0.8), "Pendulum-v1": (200, -200.0)}
    expected |= {"GridWorld": (27, 5.0), "SimpleEnv": (20, -7.6)}
    for name, (max_steps, solved_return) in expected.items():
        spec = registry.make(name)
        assert (spec.max_steps, spec.solved_return) == (max_steps, solved_return), name


@pytest.mark.parametrize("name", [name for name in BUILDABLE if "HalfCheetah" not in name])
def test_an_environment_goes_by_its_id(name):
    assert registry.make(name).env.name == name


def test_unknown_name_says_what_is_known():
    with pytest.raises(UserError, match="did you mean 'CartPole-v") as error:
        registry.make("CartPole-v2")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("unknown task 'CartPole-v2'; ")
    others = "any gymnasium id with vector observations where gymnasium is installed"
    known = f"{', '.join(registry.names())}, and {others}"
    assert message.endswith(f"known ones: {known}; one of your own needs --import FILE")


def test_first_make_inside_jit_holds_no_tracer():
    built = []

    def build_all(x):
        built.extend(registry._build(TASKS[name]) for name in BUILDABLE)  # past those that are kept
        return x

    jax.jit(build_all)(1.0)
    assert len(built) == len(BUILDABLE)
    for spec in built:
        leaves = jax.tree.leaves(spec.env_params)
        assert leaves
        assert not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves), spec.name
