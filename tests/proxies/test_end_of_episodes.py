"""How a synthetic episode ends, as agents see it that bootstrap through time limits and as those that do not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.training.vector_rollout import collect, reset_all
from synthenv.core.checkpoint import load_arrays, save_tree
from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.envs import registry
from synthenv.envs.action_repeat import ActionRepeat
from synthenv.envs.wrappers import FiveTuple
from synthenv.proxies import synthetic_env
from synthenv.proxies.config import RewardConfig, SyntheticConfig
from synthenv.runs.meta_train.config import MetaTrainConfig, check, from_stored, to_stored
from synthenv.runs.meta_train.run import _save_best
from synthenv.runs.meta_train.search import Search
from synthenv.runs.meta_train.synthetic_presets import PRESETS
from synthenv.zoo import registry as zoo

SPEC = registry.make("CartPole-v0")
SYNTHETIC = [name for name in zoo.names() if name.split("/")[0] in ("synthetic", "bandit")]


def ends(env, params, num_steps=4):
    """(terminated, truncated, discount) of each step of an episode, without resets."""
    step = jax.jit(env.step_env)
    _, state = env.reset_env(jax.random.key(0), params)
    seen = []
    for _ in range(num_steps):
        _, state, _, terminated, info = step(jax.random.key(1), state, 0, params)
        truncated = env.is_truncated(state, params)
        seen.append((bool(terminated), bool(truncated), float(info["discount"])))
        if terminated or truncated:
            return seen
    return seen


def synthetic(done="never", time_limit=None, form="mdp", max_steps=2):
    config = SyntheticConfig(
        form=form, hidden_size=4, done=done, reset="learned", max_steps=max_steps, time_limit=time_limit
    )
    env = synthetic_env.make(SPEC.env, SPEC.env_params, config)
    nets = env.init_params(jax.random.key(0))
    if "done" in nets:  # never above one half
        last = nets["done"][-1]
        nets["done"] = (*nets["done"][:-1], last._replace(kernel=0 * last.kernel, bias=0 * last.bias - 0.5))
    return env, env.env_params(nets)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_every_shipped_proxy_ends_as_its_agents_saw_it(name):
    """All of them were evolved with agents that stored the last step as terminal."""
    with jax.disable_jit():
        proxy = zoo.load(name)[0]
        assert proxy.metadata["agent"]["time_limit"] == "terminal"
        seen = ends(proxy.env, proxy.env.env_params(proxy.proxy_params))
    assert seen[-1] == (True, False, 0.0)
    assert len(seen) == (1 if name.startswith("bandit") else 2)
    assert set(seen[:-1]) <= {(False, False, 1.0)}


def test_a_reward_network_ends_as_its_task():
    """At the time limit the real task is cut off, so it is a truncation with a reward network around it too."""
    proxy = zoo.load("reward/CartPole-v0:0")[0]
    env, params = proxy.env, proxy.env.env_params(proxy.proxy_params)
    _, state = env.reset_env(jax.random.key(0), params)
    state = state.replace(real=state.real.replace(time=199))
    _, state, _, terminated, info = env.step_env(jax.random.key(1), state, 0, params)
    assert (bool(terminated), bool(env.is_truncated(state, params)), float(info["discount"])) == (
        False,
        True,
        1,
    )


@pytest.mark.parametrize(
    ("done", "time_limit", "last"),
    [
        ("never", "terminal", (True, False, 0.0)),
        ("raw", "terminal", (True, False, 0.0)),
        ("threshold", "terminal", (True, False, 0.0)),
        ("never", "truncated", (False, True, 1.0)),
        ("raw", "truncated", (False, True, 1.5)),
        ("threshold", None, (False, True, 1.0)),
    ],
)
def test_the_config_says_how_an_episode_ends(done, time_limit, last):
    env, params = synthetic(done, time_limit)
    seen = ends(env, params)
    assert len(seen) == 2 and seen[-1] == last and seen[0][:2] == (False, False)
    repeated = ends(ActionRepeat(env, 3), params)
    assert repeated == [last], "a held action stops at the end, whatever it is called"
    assert ends(env, params.replace(max_steps_in_episode=1)) == [last], "params may shorten an episode"


@pytest.mark.parametrize("form", ["mdp", "bandit"])
def test_steps_of_gymnax_reset_there(form):
    env, params = synthetic(time_limit="terminal", form=form, max_steps=1)
    _, state = env.reset(jax.random.key(0), params)
    after, state, _, terminated, truncated, info = env.step(jax.random.key(1), state, 0, params)
    assert terminated and not truncated and info["terminated"] and not info["truncated"] and state.time == 0
    assert not np.array_equal(after, info["final_observation"])
    *_, done, _ = FiveTuple(env).step(jax.random.key(1), state, 0, params)
    assert done and env.is_terminal(state.replace(time=jnp.int32(1)), params)


@pytest.mark.parametrize("habit", ["terminal", "bootstrap"])
@pytest.mark.parametrize(
    ("time_limit", "expected"),
    [("terminal", {"terminal": 0.0, "bootstrap": 0.0}), ("truncated", {"terminal": 0.0, "bootstrap": 1.0})],
)
def test_agents_of_each_habit(habit, time_limit, expected):
    """What the value of the last observation counts for an agent that bootstraps through time limits, or does not."""
    env, params = synthetic(time_limit=time_limit)
    envs = reset_all(jax.random.key(0), env, params, 2)
    explore = lambda words, obs: (jnp.zeros(2, jnp.int32), jnp.zeros(2))  # noqa: E731
    words = jnp.zeros((4, 2, 4), jnp.uint32)
    _, steps = collect(words, envs, env, params, explore, lambda action: action, 0.9, habit)
    assert steps.ended[:, 0].tolist() == [False, True, False, True]
    assert steps.not_done[:, 0].tolist() == [1.0, expected[habit], 1.0, expected[habit]]


def bootstrapped_values(env, params) -> float:
    """What tabular TD learning that bootstraps through time limits makes of a reward of 1 a step, discount 0.99."""
    value, episode = 0.0, ends(env, params)
    for _ in range(200):
        for terminated, _, _ in episode:  # truncated or not is looked through
            value += 0.1 * (1.0 + 0.99 * value * (not terminated) - value)
    return value


def test_a_stranger_that_bootstraps_learns_bounded_values():
    """The very fault: with ends told as time limits the values of two-step episodes grow towards a hundred."""
    with jax.disable_jit():
        looked_through = bootstrapped_values(*synthetic(time_limit="truncated"))
        ended = bootstrapped_values(*synthetic(time_limit="terminal"))
    assert ended < 2.5 < 10 < looked_through


def test_a_config_that_says_nothing_is_read_by_the_habit_of_its_agents():
    said, unsaid = SyntheticConfig(time_limit="truncated"), SyntheticConfig()
    assert said.as_seen("terminal") is said and RewardConfig().as_seen("terminal") == RewardConfig()
    assert unsaid.as_seen("terminal").time_limit == "terminal"
    assert unsaid.as_seen("bootstrap").time_limit == "truncated"


@pytest.mark.parametrize(("preset", "time_limit"), [("fast", "terminal"), ("table3", "truncated")])
def test_presets_and_the_files_of_their_searches(preset, time_limit, tmp_path):
    """The papers' loop simply stops after the last step: its agents look through it. Those of our presets do not."""
    search = Search(PRESETS[preset], 0)
    assert search.proxy.ends_terminal == (time_limit == "terminal")
    save_best(search, tmp_path / "best_proxy.safetensors")
    assert load_arrays(tmp_path / "best_proxy.safetensors")[1]["proxy"]["time_limit"] == time_limit
    assert zoo.load(str(tmp_path))[0].env.ends_terminal == (time_limit == "terminal")


def save_best(search, path):
    """What a search leaves behind after no generation."""
    run = type("Run", (), {"best_proxy": path})()
    _save_best(search, search.start(), run, {})


@pytest.mark.parametrize("habit", ["terminal", "bootstrap"])
def test_a_file_from_before_the_config_could_say(habit, tmp_path):
    old = dataclasses.asdict(SyntheticConfig(hidden_size=4, done="never"))
    del old["time_limit"]
    env, _ = synthetic()
    metadata = {
        "task": "CartPole-v0",
        "proxy": old | {"reset": "learned"},
        "agent": dataclasses.asdict(DDQNConfig(time_limit=habit)),
    }
    save_tree(tmp_path / "old.safetensors", env.init_params(jax.random.key(0)), metadata)
    loaded = zoo.load(str(tmp_path / "old.safetensors"))[0]
    assert loaded.env.ends_terminal == (habit == "terminal")


def test_a_search_begun_before_can_be_resumed():
    """Its stored config lacks the field, so a config that leaves it open must not have it either."""
    config = PRESETS["fast"]
    stored = to_stored(config)
    assert "time_limit" not in stored["proxy"] and from_stored(plain(stored)) == config
    said = dataclasses.replace(config, proxy=dataclasses.replace(config.proxy, time_limit="terminal"))
    assert (
        to_stored(said)["proxy"]["time_limit"] == "terminal" and from_stored(plain(to_stored(said))) == said
    )


def test_a_proxy_cannot_be_told_to_say_what_its_agents_do_not_see():
    config = MetaTrainConfig(
        proxy=SyntheticConfig(time_limit="truncated"), agent=DDQNConfig(time_limit="terminal")
    )
    with pytest.raises(
        UserError, match=r"--proxy.time-limit truncated with --agent.time-limit terminal makes no"
    ):
        check(config)
    check(dataclasses.replace(config, agent=DDQNConfig(time_limit="bootstrap")))
