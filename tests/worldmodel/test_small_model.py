"""The pretrained model around a context: before training it is the experts, whatever the slots it is padded to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.experts import world_model as experts_model
from synthenv.worldmodel.small import network as model
from synthenv.worldmodel.small import world_model as small_model
from synthenv.worldmodel.small.network import ModelConfig

CONFIG = ModelConfig(max_obs=4, width=16, num_heads=2, hidden_size=16, num_layers=1)


@pytest.fixture(scope="module")
def context():
    collection = Collection(num_steps=200, num_resets=3)  # as in the experts' own tests: one program fits all
    return collect(jax.random.key(0), registry.make("SimpleEnv"), collection)


@functools.partial(jax.jit, static_argnums=0)
def untrained(config=CONFIG):
    return model.init(jax.random.key(1), config)


@jax.jit
def shaken(params):
    """Weights that are nowhere zero."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    return jax.tree.unflatten(
        structure,
        [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)],
    )


def ask(world_model, context, obs, action):
    cache = world_model.encode(world_model.params, context.transitions, context.num_actions)
    return jax.jit(jax.vmap(world_model.predict, in_axes=(None, 0, 0)))(cache, obs, action)


def test_untrained_model_says_what_the_experts_say(context):
    obs, action = jnp.array([[-7.0], [0.5], [3.0]]), jnp.array([[2.0], [-9.0], [0.1]])
    small = ask(small_model.make(untrained(), CONFIG), context, obs, action)
    experts = ask(experts_model.EXPERTS, context, obs, action)
    np.testing.assert_allclose(small.next_obs, experts.next_obs, atol=1e-4)
    np.testing.assert_allclose(small.reward, experts.reward, atol=1e-4)
    np.testing.assert_allclose(small.termination, 0.5)


def test_shared_cache_answers_like_a_full_pass(context):
    """Asked side by side over one cache, or alone over a fresh one."""
    params = shaken(untrained())
    world_model = small_model.make(params, CONFIG)
    cache = world_model.encode(params, context.transitions, context.num_actions)
    obs, action = jnp.array([[1.0], [-4.0]]), jnp.array([[3.0], [5.0]])
    predict = jax.jit(world_model.predict)
    together = jax.jit(jax.vmap(world_model.predict, in_axes=(None, 0, 0)))(cache, obs, action)
    for i in range(2):
        again = world_model.encode(params, context.transitions, context.num_actions)
        alone = predict(again, obs[i], action[i])
        for one, of_many in zip(alone, jax.tree.map(lambda leaf: leaf[i], together), strict=True):  # noqa: B023
            np.testing.assert_allclose(one, of_many, atol=3e-3)  # a ten-thousandth of 30


def test_as_much_of_a_step_is_taken_as_is_trusted(context):
    world_model = small_model.make(shaken(untrained()), CONFIG)
    cache = world_model.encode(world_model.params, context.transitions, context.num_actions)
    obs, action = jnp.array([1.0]), jnp.array([3.0])
    predict = jax.jit(world_model.predict)
    none, half, all_ = (
        predict(cache._replace(trust=jnp.full(CONFIG.num_targets, trust)), obs, action)
        for trust in (0.0, 0.5, 1.0)
    )
    assert abs(float(all_.reward - none.reward)) > 1e-4
    np.testing.assert_allclose(half.reward, (none.reward + all_.reward) / 2, rtol=1e-4)
    assert float(all_.reward_std) > 0.0


def test_random_weights_are_not_trusted(context):
    """A random step away from good experts is a bad one."""
    params = shaken(untrained())
    cache = small_model.encode(params, context.transitions, context.num_actions, CONFIG)
    assert float(jnp.mean(cache.trust)) < 0.1


def test_a_step_that_helps_is_trusted(monkeypatch):
    """Experts whose every answer is off by one, and a model that knows."""
    params = untrained()
    rows = 40
    y = jax.random.normal(jax.random.key(3), (rows, CONFIG.num_targets))
    size = (model.NUM_EXPERTS, CONFIG.num_targets)
    nothing = jnp.zeros((rows, CONFIG.num_targets))
    shown = model.Rows(
        jnp.zeros((rows, CONFIG.num_inputs)), y, nothing, jnp.zeros(rows), jnp.ones(rows, bool)
    )
    questions = model.Question(
        x=shown.x,
        said=jnp.broadcast_to((y - 1.0)[:, None], (rows, *size)),
        error=jnp.ones(size),
        weights=jnp.full((rows, *size), 1 / size[0]),
        local=jnp.ones((rows, *size)),
        used=jnp.ones(CONFIG.num_targets, bool),
    )
    answer = model.answer

    def knows(*args):
        given = answer(*args)
        return given._replace(mean=given.mean + jnp.arange(CONFIG.num_targets) / 4)

    monkeypatch.setattr(model, "answer", knows)
    trust = jax.jit(small_model._trust, static_argnums=1)(params, CONFIG, shown, questions)
    # Steps of 0, 1/4, ... 1 where 1 is right: all of each is taken, but none of what is none.
    np.testing.assert_array_equal(trust, [0.0, 1.0, 1.0, 1.0, 1.0])


def test_a_task_that_does_not_fit_is_refused():
    spec = registry.make("Acrobot-v1")  # six observed numbers
    context = collect(jax.random.key(0), spec, Collection(num_steps=25, num_resets=2))
    world_model = small_model.make(untrained(), CONFIG)
    with pytest.raises(UserError, match="takes 4 observed numbers and 4 actions, the task has 6 and 3"):
        world_model.encode(world_model.params, context.transitions, context.num_actions)
