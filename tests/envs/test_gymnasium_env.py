"""Tasks of gymnasium inside compiled loops: equal to gymnasium's own episodes, one seat for each of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents import registry as agents
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.training.hyperparams import sample
from synthenv.cli import main
from synthenv.core.errors import UserError
from synthenv.envs import registry, rollout
from synthenv.envs.on_host import gymnasium_env
from synthenv.zoo import registry as zoo

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("mujoco")
TASK = "InvertedPendulum-v5"


@pytest.fixture(scope="module")
def spec():
    return registry.make(TASK)


def test_what_gymnasium_says_of_it(spec):
    assert (spec.name, spec.env.name, spec.kind) == (TASK, TASK, "continuous")
    assert (spec.max_steps, spec.solved_return) == (1000, 950.0)
    assert spec.env.observation_space().shape == (4,) and spec.env.action_space().shape == (1,)
    assert registry.make(TASK) is spec or registry.make(TASK).env is spec.env


def test_an_episode_is_gymnasiums(spec):
    """The same seed, the same actions: the same observations, rewards and end, bit for bit in single precision."""
    key = jax.random.key(3)
    reset, step = jax.jit(spec.env.reset_env), jax.jit(spec.env.step_env)
    obs, state = reset(key, spec.env_params)
    env = gymnasium.make(TASK)
    theirs, _ = env.reset(seed=int(jax.random.bits(key, dtype=jnp.uint32)))
    np.testing.assert_array_equal(obs, theirs.astype(np.float32))
    for i in range(200):
        action = np.float32([0.3 * (-1) ** i])
        obs, state, reward, terminated, info = step(key, state, action, spec.env_params)
        theirs, their_reward, their_end, *_ = env.step(action)
        np.testing.assert_array_equal(obs, theirs.astype(np.float32))
        assert (float(reward), bool(terminated)) == (pytest.approx(their_reward), their_end)
        assert float(info["discount"]) == (not their_end) and int(state.time) == i + 1
        if their_end:
            break
    assert their_end, "the pole never fell"
    again = step(key, state, action, spec.env_params)
    assert bool(again[3]) and float(again[2]) == 0.0, "whoever steps on behind the end is told so"


def test_episodes_side_by_side_end_each_at_its_own_time(spec):
    played = jax.jit(
        lambda key: rollout.evaluate(
            key, spec.env, spec.env_params, lambda key, obs: jnp.zeros(1), 12, spec.max_steps
        )
    )(jax.random.key(0))
    assert (played.lengths > 1).all() and len(np.unique(played.lengths)) > 1
    np.testing.assert_array_equal(played.returns, played.lengths - 1)  # the last step pays nothing


def test_seats_are_used_again(spec, monkeypatch):
    """Of many resets that nobody steps, and many episodes that end, few instances are left."""
    seats, none = gymnasium_env._Seats(TASK, 5), np.int32(-1)
    monkeypatch.setattr(gymnasium_env, "_FRESH", 4)
    for seed in range(40):
        seats.reset(np.uint32(seed))
    assert len(seats._fresh) + len(seats._free) <= 6
    for seed in range(40):
        seats.reset(np.uint32(seed))
        number = none
        for time in range(5):
            *_, number = seats.step(number, np.uint32(seed), np.int32(time), np.zeros(1, np.float32))
    assert len(seats._fresh) + len(seats._playing) + len(seats._free) <= 8


def test_a_start_may_wait_for_as_long_as_it_likes():
    """XLA may reset for a test before the training that comes first: thousands of resets later it is still there."""
    seats = gymnasium_env._Seats(TASK, 50)
    first = seats.reset(np.uint32(7))
    for seed in range(100, 400):
        seats.reset(np.uint32(seed))
    zero, again = np.zeros(1, np.float32), gymnasium_env._Seats(TASK, 50)
    np.testing.assert_array_equal(again.reset(np.uint32(7)), first)
    late = seats.step(np.int32(-1), np.uint32(7), np.int32(0), zero)
    at_once = again.step(np.int32(-1), np.uint32(7), np.int32(0), zero)
    np.testing.assert_array_equal(late[0], at_once[0])


@pytest.mark.rank_promotion_ok
@pytest.mark.parametrize(
    "words", ["train --env {} --num-agents 1", "meta-train --proxy rn --task {} --preset smoke"]
)
def test_agents_that_step_several_copies_learn_there(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    limit = "--agent.max-steps 1024 --outer.num-generations 1" if "rn" in words else "--max-steps 1024"
    assert main(f"{words.format(TASK)} --agent ppo {limit}".split()) == 0


def test_stepping_is_pure(spec):
    """From one state, several actions side by side, again and later: each as if it were the only one."""
    _, state = jax.jit(spec.env.reset_env)(jax.random.key(5), spec.env_params)
    step = jax.jit(spec.env.step_env)
    for _ in range(3):
        _, state, *_ = step(jax.random.key(0), state, jnp.array([0.5]), spec.env_params)
    actions = jnp.array([[-2.0], [0.0], [2.0]])
    many = jax.jit(jax.vmap(spec.env.step_env, in_axes=(None, None, 0, None)))
    obs, after, *_ = many(jax.random.key(0), state, actions, spec.env_params)
    assert len(np.unique(np.asarray(obs)[:, 3])) == 3
    for i, action in enumerate(actions):
        alone = step(jax.random.key(0), state, action, spec.env_params)
        np.testing.assert_array_equal(alone[0], obs[i])
        member = jax.tree.map(lambda leaf, i=i: leaf[i], after)
        np.testing.assert_array_equal(
            step(jax.random.key(0), member, action, spec.env_params)[0],
            step(jax.random.key(0), alone[1], action, spec.env_params)[0],
        )


@pytest.mark.rank_promotion_ok
def test_members_side_by_side_train_as_each_alone(spec):
    """With tests on the way, during which a member stands still and its branches are carried out all the same."""
    config = DDQNConfig(
        hidden_size=4,
        depth=1,
        batch_size=4,
        init_episodes=1,
        max_steps=40,
        stop="none",
        buffer_size=40,
        test_episodes=1,
    )
    gymnasium.register("Pole-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=30)
    task = registry.make("Pole-v0")
    hyperparams, (bucket,) = sample(jax.random.key(0), config, 475.0, 1)
    member = jax.tree.map(lambda leaf: leaf[0], hyperparams)
    agent = agents.make(config, bucket, task.env.action_space(), task)

    def train(key):
        return agent.train(key, task.env, task.env_params, member)

    keys = jax.random.split(jax.random.key(1), 3)
    together = jax.jit(jax.vmap(train))(keys)
    alone = [jax.jit(train)(key) for key in keys]
    np.testing.assert_array_equal(together.num_episodes, [one.num_episodes for one in alone])
    for i, one in enumerate(alone):
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=1e-5), together.params, one.params
        )
        np.testing.assert_array_equal(together.curve.returns[i], one.curve.returns)


def test_an_episode_that_was_left_alone_is_gone():
    seats = gymnasium_env._Seats(TASK, 50)
    with pytest.raises(RuntimeError, match="was left alone for so long that its episode is gone"):
        seats.step(np.int32(7), np.uint32(0), np.int32(3), np.zeros(1, np.float32))


def test_ids_with_a_module(tmp_path, monkeypatch):
    """The module may lie in the current directory; commands know such ids as their own."""
    source = "import gymnasium\nfrom gymnasium.envs.classic_control import PendulumEnv\n"
    source += "gymnasium.register('Swing-v0', PendulumEnv, max_episode_steps=20)\n"
    (tmp_path / "swing.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    spec = registry.make("swing:Swing-v0")
    assert (spec.max_steps, spec.solved_return, spec.kind) == (20, float("inf"), "continuous")
    assert not zoo.is_proxy("phys2d/CartPole-v1") and zoo.is_proxy("runs/nowhere")


def test_tasks_that_cannot_be_had():
    with pytest.raises(UserError, match="choose a task whose observations are a vector"):
        registry.make("Blackjack-v1")
    with pytest.raises(UserError, match=r"unknown task 'InvertedPendulam-v5'; "):
        registry.make("InvertedPendulam-v5")
