"""Proxies by name: what is asked for is what comes, or a line says why not."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synthenv
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.core.checkpoint import load_arrays, save_tree
from synthenv.core.errors import UserError
from synthenv.envs import registry as envs
from synthenv.proxies import synthetic_env
from synthenv.proxies.config import SyntheticConfig
from synthenv.runs.oswm.pretrain import presets as pretrain_presets
from synthenv.zoo import registry as zoo
from synthenv.zoo import world_models

PROXY = SyntheticConfig(hidden_size=5, done="never", reset="learned", max_steps=4)
MANIFEST = zoo.ROOT / "manifest.json"
SHIPPED = tuple(json.loads(MANIFEST.read_text())) if MANIFEST.exists() else ()


# Sums of the absolute observations and of the rewards of twelve random steps in each shipped proxy.
PLAYED = {
    "bandit/CartPole-v0:0": (20.5299, -2.43458),
    "bandit/CartPole-v0:1": (19.662, -3.87015),
    "bandit/CartPole-v0:2": (23.0367, -9.58151),
    "bandit/CartPole-v0:3": (16.7163, -4.39999),
    "bandit/CartPole-v0:4": (20.3172, -1.1606),
    "synthetic/CartPole-v0:0": (22.888, -9.3674),
    "synthetic/CartPole-v0:1": (37.2217, 4.53505),
    "synthetic/CartPole-v0:2": (21.4777, -2.59155),
    "synthetic/CartPole-v0:3": (45.0378, -5.97905),
    "synthetic/CartPole-v0:4": (44.0768, -0.263114),
    "synthetic/Acrobot-v1:0": (40.2616, -2.86796),
    "synthetic/Acrobot-v1:1": (26.5648, 0.692907),
    "synthetic/Acrobot-v1:2": (25.2784, -2.67921),
    "reward/CliffWalking:0": (13, -242.272),
    "reward/CliffWalking:1": (13, -277.261),
    "reward/CliffWalking:2": (13, -278.915),
    "reward/CartPole-v0:0": (5.49887, 0.00791066),
    "reward/CartPole-v0:1": (5.49887, 0.00811502),
    "reward/MountainCarContinuous-v0:0": (5.76048, 0.238872),
    "reward/MountainCarContinuous-v0:1": (5.76048, -0.709782),
}


def write_zoo(root, config: SyntheticConfig = PROXY, num: int = 2):
    """A zoo of random proxies; returns their weights."""
    spec = envs.make("CartPole-v0")
    env = synthetic_env.make(spec.env, spec.env_params, config)
    metadata = {"task": "CartPole-v0", "proxy": config.stored(), "agent": dataclasses.asdict(DDQNConfig())}
    entries, weights = {}, []
    for index in range(num):
        weights.append(env.init_params(jax.random.key(index)))
        file = root / f"synthetic_CartPole-v0_{index}.safetensors"
        save_tree(file, weights[-1], metadata)
        entries[f"synthetic/CartPole-v0:{index}"] = {"file": file.name, "sha256": zoo.sha256(file)}
    (root / "manifest.json").write_text(json.dumps(entries))
    return weights


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "ROOT", tmp_path)
    return tmp_path


def play(env, params, num_steps: int) -> list:
    """The plain gymnax loop with random actions; returns [observations, rewards]."""

    @jax.jit
    def step(key, state):
        key_act, key_step = jax.random.split(key)
        action = env.action_space(params).sample(key_act)
        obs, state, reward, terminated, truncated, _ = env.step(key_step, state, action, params)
        return obs, state, reward, terminated | truncated

    key = jax.random.key(0)
    obs, state = jax.jit(env.reset)(key, params)
    observations, rewards, ends = [obs], [], []
    for _ in range(num_steps):
        key, key_step = jax.random.split(key)
        obs, state, reward, done = step(key_step, state)
        observations.append(obs)
        rewards.append(reward)
        ends.append(done)
    return [np.array(x) for x in (observations, rewards, ends)]


def test_load_gives_the_weights_that_were_written(root):
    weights = write_zoo(root)
    proxies = zoo.load("synthetic/CartPole-v0")
    assert [p.name for p in proxies] == list(zoo.names())
    for proxy, written in zip(proxies, weights, strict=True):
        jax.tree.map(np.testing.assert_array_equal, proxy.proxy_params, written)
    assert proxies[0].env is proxies[1].env, "a second instance would compile everything again"
    assert proxies[0].spec is envs.make("CartPole-v0")
    jax.tree.map(
        np.testing.assert_array_equal, zoo.load("synthetic/CartPole-v0:1")[0].proxy_params, weights[1]
    )


def test_make_plays_in_a_gymnax_loop(root):
    write_zoo(root)
    env, params = synthenv.make("synthetic/CartPole-v0")
    observations, rewards, ends = play(env, params, 9)
    assert observations.shape == (10, 4) and np.isfinite(observations).all()
    assert np.isfinite(rewards).all() and np.ptp(rewards) > 0
    np.testing.assert_array_equal(np.flatnonzero(ends), [3, 7])  # four steps each, then a new episode
    other = play(*synthenv.make("synthetic/CartPole-v0:1"), 9)
    assert not np.allclose(other[1], rewards), "another proxy, other rewards"
    np.testing.assert_array_equal(play(*synthenv.make("synthetic/CartPole-v0:0"), 9)[1], rewards)


def test_make_the_proxy_of_a_run_directory(root, tmp_path):
    write_zoo(root)
    (tmp_path / "run").mkdir()
    (root / "synthetic_CartPole-v0_1.safetensors").rename(tmp_path / "run" / "best_proxy.safetensors")
    rewards = play(*synthenv.make(str(tmp_path / "run")), 9)[1]
    (tmp_path / "run" / "best_proxy.safetensors").rename(root / "synthetic_CartPole-v0_1.safetensors")
    np.testing.assert_array_equal(play(*synthenv.make("synthetic/CartPole-v0:1"), 9)[1], rewards)
    with pytest.raises(UserError, match="best_proxy"):
        synthenv.make(str(tmp_path / "run"))


def test_make_a_task():
    env, params = synthenv.make("CartPole-v0")
    assert env is envs.make("CartPole-v0").env
    observations, rewards, _ = play(env, params, 5)
    assert observations.shape == (6, 4) and (rewards == 1).all()
    with pytest.raises(UserError, match="CartPole-v7"):
        synthenv.make("CartPole-v7")


def test_a_damaged_proxy_of_a_run_can_be_written_anew(root):
    write_zoo(root)
    file = root / "synthetic_CartPole-v0_1.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match="or delete it and write it anew with meta-train --resume"):
        zoo.load(str(file))


def test_a_missing_run_keeps_its_name():
    with pytest.raises(UserError, match=r"^runs/nope does not exist: pass the directory of a finished run"):
        synthenv.make("runs/nope")


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_flipped_byte_is_refused(root, position):
    write_zoo(root)
    file = root / "synthetic_CartPole-v0_1.safetensors"
    data = bytearray(file.read_bytes())
    data[position] ^= 4
    file.write_bytes(data)
    with pytest.raises(
        UserError, match=r"synthetic/CartPole-v0:1 is damaged or missing \(synthetic_CartPole-v0_1"
    ):
        zoo.load("synthetic/CartPole-v0:1")
    assert len(zoo.load("synthetic/CartPole-v0:0")) == 1


def test_a_sound_file_of_another_proxy_is_refused(root):
    write_zoo(root)
    (root / "synthetic_CartPole-v0_0.safetensors").replace(root / "synthetic_CartPole-v0_1.safetensors")
    for index in range(2):
        with pytest.raises(UserError, match="is damaged or missing"):
            zoo.load(f"synthetic/CartPole-v0:{index}")


FORMS = "choose from synthetic/CartPole-v0, or :i for one of them"
NUMBERS = "choose from synthetic/CartPole-v0:0 to :1, or synthetic/CartPole-v0 for all"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("synthetic/CartPole-v0:2", NUMBERS), ("synthetic/Acrobot-v1", FORMS), ("bandit/CartPole-v0", FORMS)],
)
def test_unknown_names(root, name, remedy):
    write_zoo(root)
    for ask in (zoo.load, synthenv.make):
        with pytest.raises(UserError, match=f"no shipped proxy '{name}': {remedy}"):
            ask(name)


def test_a_zoo_without_proxies(root):
    (root / "manifest.json").write_text("{}")
    assert zoo.names() == ()
    with pytest.raises(UserError, match="no proxy is shipped yet"):
        synthenv.make("synthetic/CartPole-v0")


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_lost_or_damaged_manifest(root, content):
    if content is not None:
        (root / "manifest.json").write_text(content)
    for ask in (zoo.names, lambda: synthenv.make("synthetic/CartPole-v0")):
        with pytest.raises(UserError, match="missing or damaged"):
            ask()


def test_a_file_that_is_no_proxy(tmp_path):
    save_tree(tmp_path / "x.safetensors", {"a": jnp.zeros(3)}, {"step": 1})
    with pytest.raises(UserError, match="is not a proxy"):
        zoo.load_file(tmp_path / "x.safetensors", "x")


# Brax takes long to build and to compile.
by_name = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long) if "HalfCheetah" in name else name for name in SHIPPED],
)


@by_name
def test_shipped_proxies_load(name):
    (proxy,) = zoo.load(name)
    entry = zoo.manifest()[name]
    assert proxy.spec.name == proxy.metadata["task"] == name.split("/")[1].split(":")[0]
    assert proxy.metadata["scores"] == entry["scores"] and entry["scores"]["num_agents"] > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(proxy.proxy_params))


@by_name
def test_shipped_proxies_step(name):
    observations, rewards, _ = play(*synthenv.make(name), 12)
    assert np.isfinite(observations).all() and np.isfinite(rewards).all()
    if name in PLAYED:
        played = np.abs(observations).sum(), rewards.sum()
        np.testing.assert_allclose(played, PLAYED[name], rtol=1e-3, atol=1e-3)
    else:
        assert "HalfCheetah" in name, f"say what {name} plays"


def test_the_first_shipped_proxy_is_the_default():
    env, params = synthenv.make("synthetic/CartPole-v0")
    first = zoo.load("synthetic/CartPole-v0:0")[0]
    assert env is first.env
    jax.tree.map(np.testing.assert_array_equal, params, env.env_params(first.proxy_params))


def test_a_task_whose_name_holds_a_slash_is_no_proxy():
    assert not zoo.is_proxy("brax/reacher")
    assert zoo.is_proxy("synthetic/CartPole-v0")


@pytest.mark.parametrize("name", sorted(world_models.manifest()))
def test_shipped_world_models_are_what_their_presets_say(name):
    """As listed, loadable, small, and pretrained as the committed preset would do it again."""
    entry = world_models.manifest()[name]
    file = zoo.ROOT / entry["file"]
    assert zoo.sha256(file) == entry["sha256"] and file.stat().st_size < 20e6
    stored = load_arrays(file)[1]
    assert world_models.config_from_stored(stored) == pretrain_presets.preset(entry["preset"]).config
    assert (stored["seed"], stored["steps"]) == (entry["seed"], entry["pretraining"]["steps"])
    assert world_models.load(name).name == name
