"""Reacher-v5 inside compiled loops: equal to gymnasium's own stepping to the bit, whatever other copies do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents.ppo_config import PPOConfig
from synthenv.envs import rollout
from synthenv.envs.on_host import host_task
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.oswm.run.setup import Dreams
from synthenv.runs.oswm.run.training import Trainer
from synthenv.worldmodel.context.action_strategies import Collection

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def spec():
    return host_task.make("Reacher-v5")


def keys_and_actions(num_copies: int, num_steps: int):
    """Actions beyond the bounds are among them."""
    keys = jax.random.split(jax.random.key(3), num_copies)
    actions = jax.random.uniform(jax.random.key(4), (num_steps, num_copies, 2), minval=-1.3, maxval=1.3)
    return keys, actions


def test_equals_gymnasium_to_the_bit(spec):
    """Three copies side by side for a whole episode, each against an instance of gymnasium's own."""
    keys, actions = keys_and_actions(3, spec.max_steps)

    @jax.jit
    def play(keys, actions):
        _, state = jax.vmap(spec.env.reset_env, in_axes=(0, None))(keys, spec.env_params)

        def step(state, actions):
            obs, after, reward, *_ = jax.vmap(spec.env.step_env, in_axes=(0, 0, 0, None))(
                keys, state, actions, spec.env_params
            )
            return after, (obs, reward, spec.env.is_truncated(after, spec.env_params))

        return state.obs, *jax.lax.scan(step, state, actions)[1]

    first, obs, reward, truncated = jax.device_get(play(keys, actions))
    for copy, key in enumerate(keys):
        env = gymnasium.make("Reacher-v5")
        begun, _ = env.reset(seed=int(jax.random.bits(key, dtype=jnp.uint32)))
        np.testing.assert_array_equal(first[copy], begun.astype(np.float32))
        for time in range(spec.max_steps):
            action = np.clip(np.asarray(actions[time, copy]), -1, 1)
            expected, paid, terminated, cut, _ = env.step(action)
            np.testing.assert_array_equal(obs[time, copy], expected.astype(np.float32))
            assert reward[time, copy] == np.float32(paid)
            assert (truncated[time, copy], False) == (cut, terminated)
    assert len(np.unique(obs[:, :, 0])) == 3 * spec.max_steps, "copies move differently"


def test_stepping_is_pure(spec):
    """A state can be stepped again, later and by another program, with nested batches too."""
    keys, actions = keys_and_actions(4, 1)
    _, state = jax.vmap(spec.env.reset_env, in_axes=(0, None))(keys, spec.env_params)
    step = jax.vmap(spec.env.step_env, in_axes=(0, 0, 0, None))
    before = step(keys, state, actions[0], spec.env_params)
    step(keys, before[1], -actions[0], spec.env_params)
    nested = jax.tree.map(lambda leaf: leaf.reshape(2, 2, *leaf.shape[1:]), (keys, state, actions[0]))
    again = jax.jit(jax.vmap(step, in_axes=(0, 0, 0, None)))(*nested, spec.env_params)
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other.reshape(one.shape))
    alone = spec.env.step_env(
        keys[2], jax.tree.map(lambda leaf: leaf[2], state), actions[0, 2], spec.env_params
    )
    np.testing.assert_array_equal(alone[0], before[0][2])


def test_many_episodes_side_by_side(spec):
    """As gymnasium's: -11.8 at rest, standard deviation 4.6; every episode has 50 steps."""
    played = jax.jit(
        lambda key: rollout.evaluate(
            key, spec.env, spec.env_params, lambda key, obs: jnp.zeros(2), 100, spec.max_steps
        )
    )(jax.random.key(0))
    np.testing.assert_array_equal(played.lengths, 50)
    assert -13.5 < played.returns.mean() < -10 and played.returns.std() > 2


@pytest.mark.rank_promotion_ok
def test_an_agent_trains_there_unchanged(spec):
    config = PPOConfig(
        stop="none",
        num_envs=4,
        rollout_length=25,
        num_minibatches=2,
        num_epochs=2,
        max_steps=200,
        hidden_size=8,
    )
    trainer = Trainer(config, spec.env, spec.env_params)
    policy, num_steps = trainer.train(jax.random.key(0), spec.env_params)
    assert num_steps == 200 and trainer.advance._cache_size() == 1
    action = trainer.act(jax.random.key(1), policy, jnp.zeros(10))
    assert action.shape == (2,) and bool(jnp.all(jnp.abs(action) <= 1))


@pytest.mark.rank_promotion_ok
def test_dreams_take_it_for_one_of_ours(spec):
    """Contexts, tests and experts go through compiled loops; a context's rows are steps of gymnasium's."""
    dreams = Dreams(OswmRun(task="Reacher-v5", model="ridge", strategy="expert"))
    assert dreams.task is not None and dreams.task.spec is spec and dreams.expert is not None
    context = dreams.task.collect(jax.random.key(0), Collection("random", num_steps=60, num_resets=3))
    steps = context.transitions
    assert np.flatnonzero(steps.truncated).tolist() == [49] and context.first_obs.shape == (3, 10)
    env = gymnasium.make("Reacher-v5").unwrapped
    env.reset(seed=0)
    for row in (1, 20, 55):
        angles = np.arctan2(steps.obs[row, 2:4], steps.obs[row, :2])
        positions, speeds = (
            np.concatenate([x, y]) for x, y in ((angles, steps.obs[row, 4:6]), (steps.obs[row, 6:8], [0, 0]))
        )
        env.set_state(positions, speeds)
        obs, reward, *_ = env.step(steps.action[row])
        np.testing.assert_allclose(steps.next_obs[row], obs, atol=2e-4)
        assert steps.reward[row] == pytest.approx(reward, abs=1e-4)


def test_errors_and_numbers(spec):
    assert (spec.solved_return, spec.max_steps, spec.env.name) == (-3.75, 50, "Reacher-v5")
    assert host_task.make("Reacher-v5").env is spec.env
    ant = host_task.make(
        "Ant-v5"
    )  # remembers where bodies were a step ago, so it is stepped from its newest state only
    assert (ant.solved_return, ant.kind, type(ant.env).__name__) == (6000.0, "continuous", "GymnasiumEnv")
