"""Learned environments in strangers' hands: without params, inside jit, in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synthenv
from synthenv.core.checkpoint import load_tree, save_tree
from synthenv.core.errors import UserError
from synthenv.envs.action_repeat import ActionRepeat
from synthenv.envs.wrappers import FiveTuple
from synthenv.zoo import registry as zoo

NAMES = ("synthetic/CartPole-v0", "bandit/CartPole-v0:2", "reward/CliffWalking:1")
KEY = jax.random.key(0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrap", [lambda env: env, FiveTuple, lambda env: ActionRepeat(env, 2)])
def test_default_params_hold_no_weights_and_are_refused_in_words(name, wrap):
    """Loops such as rejax's evaluate them whatever they are given; played, random networks would teach nothing."""
    proxy = zoo.load(name)[0]
    env, params = wrap(proxy.env), proxy.env.env_params(proxy.proxy_params)
    bare = env.default_params
    assert bare.max_steps_in_episode == params.max_steps_in_episode
    assert env.action_space(bare).n == env.action_space(params).n
    _, state = proxy.env.reset_env(KEY, params)
    for use in (
        lambda: env.reset(KEY),
        lambda: env.reset(KEY, bare),
        lambda: env.reset_env(KEY, bare),
        lambda: env.step(KEY, state, 0),
        lambda: env.step(KEY, state, 0, bare),
        lambda: env.step_env(KEY, state, 0, bare),
        lambda: env.step(KEY, state, 0, proxy.env.real_params),
    ):
        with pytest.raises(
            UserError, match="these params hold no evolved weights: pass the params that came with"
        ):
            use()


@pytest.mark.parametrize("name", [*NAMES, "reward/MountainCarContinuous-v0"])
def test_make_inside_jit_holds_no_tracer(name):
    """A first call may be inside of jit, vmap or scan, as of a task; what it caches must serve everybody after it."""
    zoo._made.cache_clear()

    def first_obs(key):
        env, params = synthenv.make(name)
        return env.reset_env(key, params)[0]

    inside = jax.jit(jax.vmap(first_obs))(KEY[None])[0]
    with jax.checking_leaks():
        env, params = synthenv.make(name)
    assert not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(params))
    np.testing.assert_allclose(inside, env.reset_env(KEY, params)[0], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_process_in_double_precision_loads_and_plays_the_same(name):
    """Networks were evolved in single precision, and stay in it."""

    def play():
        env, params = synthenv.make(name)
        obs, state = env.reset_env(KEY, params)
        after, state, reward, *_ = env.step_env(KEY, state, 1, params)
        return params, obs, after, reward

    single = play()
    with jax.enable_x64(True):
        params, obs, after, reward = play()
        assert {leaf.dtype for leaf in jax.tree.leaves(params) if hasattr(leaf, "dtype")} <= {
            jnp.dtype(dtype) for dtype in ("float32", "int32", "bool")
        } | {leaf.dtype for leaf in jax.tree.leaves(params.real) if hasattr(leaf, "dtype")}
        if not name.startswith("reward"):
            assert (obs.dtype, after.dtype, reward.dtype) == (jnp.float32,) * 3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), single[1:], (obs, after, reward))


def test_a_tree_saved_in_single_precision_is_read_in_a_process_in_double(tmp_path):
    save_tree(tmp_path / "x", {"a": jnp.ones(2), "n": jnp.arange(3)}, {})
    with jax.enable_x64(True):
        tree = load_tree(tmp_path / "x", {"a": jnp.zeros(2), "n": jnp.zeros(3, int)})[0]
        assert (tree["a"].dtype, tree["n"].dtype) == (jnp.float32, jnp.int32)
        with pytest.raises(UserError, match=r"leaf \['a'\] is float32\[2\], not int64\[2\]"):
            load_tree(tmp_path / "x", {"a": jnp.zeros(2, int), "n": jnp.zeros(3, int)})
        with pytest.raises(UserError, match=r"is float32\[2\], not float64\[2\]"):
            load_tree(tmp_path / "x", {"a": np.zeros(2), "n": jnp.zeros(3, int)})
