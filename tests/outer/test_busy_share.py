"""How busy slots are is counted in steps of the agent, whatever number of environment steps each of them makes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from synthenv.agents import ppo
from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.core.types import Agent, TrainResult
from synthenv.envs import registry
from synthenv.outer.population import Served
from synthenv.outer.slots import fitting_width
from synthenv.outer.trial import TrainingGround, TrialTask, make_trials
from synthenv.runs.training import trial_runner

SPEC = registry.make("CartPole-v0")
STRIDE, ITERATIONS = 128, np.array([1, 3, 2], np.int32)


@struct.dataclass
class Hyperparams:
    iterations: jax.Array
    discount: float = 1.0


def agent_of_iterations():
    """As PPO, it makes many environment steps in each step of its own."""

    def result(state):
        return TrainResult((), STRIDE * state[0], state[0], jnp.bool_(False))

    return Agent(
        init=lambda key, env, env_params, hyperparams: (jnp.int32(0), hyperparams.iterations),
        step=lambda state, env, env_params, hyperparams: (state[0] + (state[0] < state[1]), state[1]),
        finished=lambda state: state[0] >= state[1],
        result=result,
        act=lambda key, params, obs: jnp.int32(0),
        stride=STRIDE,
    )


@pytest.mark.parametrize(
    ("width", "chunk", "executed"),
    [
        (1, 250, 6),  # a CPU: nothing is idle
        (3, 250, 3 * 3),  # hand-overs after every iteration, three of which the longest training has
        (3, 2 * STRIDE, 3 * 4),
    ],
)
def test_steps_of_an_agent_that_makes_many_at_once(width, chunk, executed):
    """Six iterations, in slots that wait for the longest training: the share that was useful is at most 1."""
    ground = TrainingGround(SPEC.env, lambda weights, discount: SPEC.env_params)
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), 3))
    tasks = TrialTask(keys, np.zeros((3, 0), np.float32), Hyperparams(ITERATIONS, np.ones(3)))
    run = jax.jit(make_trials(agent_of_iterations(), ground, SPEC, 1, width=width, chunk=chunk))
    results = run(tasks)
    np.testing.assert_array_equal(results.num_steps, STRIDE * ITERATIONS)
    unit = STRIDE if width == 1 else 1  # without slots there is no need to tell the two kinds of steps apart
    assert results.slot_steps.sum() == pytest.approx(unit * executed)
    assert results.useful_steps.sum() == pytest.approx(unit * 6)


def test_busy_share_of_ppo(monkeypatch):
    """Two slots of four iterations, three of which trained somebody: 0.75 of the workers' time, not 128 times that."""
    runner = trial_runner.TrialRunner(PPOConfig(), trial_runner.real_ground(SPEC), SPEC, 1)
    results = trial_runner.TrialResult(
        score=np.zeros(2),
        returns=np.zeros((2, 1)),
        num_steps=np.array([1024, 2048]),
        num_episodes=np.ones(2),
        stopped_early=np.zeros(2, bool),
        slot_steps=np.full(2, 2.0),
        useful_steps=np.full(2, 1.5),
    )
    monkeypatch.setattr(trial_runner, "serve", lambda *args, **kwargs: Served(results, 0.8))
    share = runner.serve(jax.random.key(0), trial_runner.zeros(2), np.arange(2), 2)[1]
    assert share == pytest.approx(0.8 * 0.75)


def test_stride_of_ppo():
    config = PPOConfig(num_envs=4, rollout_length=32, num_minibatches=2, action_repeat=2)
    agent = ppo.make(config, Bucket(2, 64), SPEC.env.action_space(SPEC.env_params))
    assert agent.stride == 4 * 32 * 2


def test_slots_that_fit_into_memory():
    """A member of 76 bytes, and four copies of everybody; never less than one slot."""
    member = jax.eval_shape(
        lambda: {"rows": jnp.zeros((4, 4)), "step": jnp.int32(0), "key": jax.random.key(0)}
    )
    size = 64 + 4 + 8
    assert fitting_width(member, 4 * size * 10) == 10 and fitting_width(member, 4 * size * 10 - 1) == 9
    assert fitting_width(member, 1) == 1
