"""Continuous batching: the same results as a plain loop, in the order of the tasks."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from synthenv.agents import registry as agents
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.envs import registry
from synthenv.outer.slots import run_slots
from synthenv.outer.trial import TrainingGround, TrialTask, make_trials
from synthenv.proxies.config import SyntheticConfig
from synthenv.proxies.synthetic_env import SyntheticMDP

LENGTHS = [5, 1, 9, 3, 3, 0, 12, 2]
SCALES = [0.5, -1.0, 2.0, 3.0, 1.5, 7.0, -2.0, 4.0]
# One slot, fewer than tasks, as many and more; chunks of a step, of some and longer than every task.
GRID = [(1, 1), (1, 4), (3, 1), (3, 4), (8, 4), (11, 1), (2, 50)]


# ---------------------------------------------------------------- a counter


def counter_init(task):
    return {"time": jnp.int32(0), "sum": jnp.float32(0), "length": task["length"]}


def counter_step(task, state):
    """Add scale * time to the sum; a finished counter stands still."""
    on = state["time"] < task["length"]
    time = state["time"] + jnp.where(on, 1, 0)
    return state | {"time": time, "sum": state["sum"] + jnp.where(on, task["scale"] * time, 0.0)}


def counter_finished(state):
    return state["time"] >= state["length"]


def counter_result(task, state):
    return {"time": state["time"], "pair": jnp.stack([state["sum"], task["scale"]])}


@functools.cache
def count(width, chunk):
    tasks = {"length": jnp.array(LENGTHS), "scale": jnp.array(SCALES)}
    run = functools.partial(run_slots, counter_init, counter_step, counter_finished, counter_result)
    return jax.jit(run, static_argnames=("width", "chunk"))(tasks, width=width, chunk=chunk)


def chunks_by_hand(width, chunk):
    """Chunks until all tasks are done, if freed slots take the next tasks in order after every chunk."""
    waiting = [max(1, math.ceil(n / chunk)) for n in LENGTHS]
    slots, num_chunks = [], 0
    while waiting or slots:
        while waiting and len(slots) < width:
            slots.append(waiting.pop(0))
        slots = [left - 1 for left in slots if left > 1]
        num_chunks += 1
    return num_chunks


@pytest.mark.parametrize(("width", "chunk"), GRID)
def test_equals_plain_loop(width, chunk):
    """Each result stands at its task's place and is what the counter alone would give."""
    results, _ = count(width, chunk)
    np.testing.assert_array_equal(results["time"], LENGTHS)
    by_hand = [[scale * n * (n + 1) / 2, scale] for n, scale in zip(LENGTHS, SCALES, strict=True)]
    np.testing.assert_array_equal(results["pair"], by_hand)


@pytest.mark.parametrize(("width", "chunk"), GRID)
def test_number_of_slot_steps(width, chunk):
    """Slots are refilled as soon as a chunk ends, and more slots than tasks are not opened."""
    slots = min(width, len(LENGTHS))
    steps = count(width, chunk)[1]
    assert steps.executed == slots * chunk * chunks_by_hand(slots, chunk)
    assert steps.useful == pytest.approx(sum(LENGTHS), rel=1e-6) and steps.useful <= steps.executed


def test_one_slot_wastes_nothing_but_the_empty_task():
    """One slot, one step at a time: as many steps as the tasks have, and one for the task of length 0."""
    assert count(1, 1)[1].executed == sum(LENGTHS) + 1


def test_slot_steps_do_not_overflow():
    """A wide group on an accelerator takes more than 2**31 slot steps, too many for int32."""
    assert count(1, 1)[1].executed.dtype == jnp.float32


def test_finished_members_are_not_started_again():
    """While the longer task runs on alone, the idle slot draws no fresh member."""
    drawn = []

    def init(task):
        jax.debug.callback(lambda length: drawn.append(int(length)), task["length"])
        return counter_init(task)

    tasks = {"length": jnp.array([2, 30]), "scale": jnp.ones(2)}
    results, _ = run_slots(init, counter_step, counter_finished, counter_result, tasks, width=2, chunk=2)
    jax.effects_barrier()
    np.testing.assert_array_equal(results["time"], [2, 30])
    assert sorted(drawn) == [2, 30]


# ---------------------------------------------------------------- the real agent

NUM = 6
CONFIG = DDQNConfig(
    batch_size=16,
    hidden_size=16,
    depth=1,
    activation="tanh",
    init_episodes=1,
    plateau_tolerance=0.05,
    max_episodes=10,
    max_steps=120,
    buffer_size=128,
    stop_window=2,
)


@functools.cache
def trials(width):
    """Train six agents of different hyperparameters in six random synthetic CartPoles, and test them."""
    spec = registry.make("CartPole-v0")
    proxy = SyntheticMDP(spec.env, spec.env_params, SyntheticConfig(hidden_size=8, max_steps=20))
    _, unravel = ravel_pytree(proxy.init_params(jax.random.key(0)))
    proxies = 2.0 * jax.vmap(lambda key: ravel_pytree(proxy.init_params(key))[0])(
        jax.random.split(jax.random.key(1), NUM)
    )  # large weights, so that some episodes end early
    ground = TrainingGround(proxy, lambda weights, discount: proxy.env_params(unravel(weights)))
    hyperparams = jax.tree.map(lambda x: jnp.full(NUM, x), fixed_hyperparams(CONFIG, spec.solved_return))
    hyperparams = hyperparams.replace(learning_rate=jnp.logspace(-4, -2, NUM))
    tasks = TrialTask(jax.random.key_data(jax.random.split(jax.random.key(2), NUM)), proxies, hyperparams)
    agent = agents.make(CONFIG, Bucket(1, 16, 16, 16), spec.env.action_space(spec.env_params))
    return jax.jit(make_trials(agent, ground, spec, 4, width=width, chunk=7))(tasks)


def test_trainings_in_slots_equal_trainings_in_turn():
    """Same steps, episodes, early stops and test returns per task as one member after the other."""
    alone, together = trials(1), trials(4)
    for name in ("num_steps", "num_episodes", "stopped_early", "returns"):
        np.testing.assert_array_equal(getattr(together, name), getattr(alone, name), err_msg=name)
    np.testing.assert_allclose(together.score, alone.score, rtol=1e-6)


def test_the_comparison_means_something():
    """The six trainings differ in length and some, not all, stop early."""
    alone = trials(1)
    assert len(np.unique(alone.num_steps)) >= 3
    assert 0 < alone.stopped_early.sum() < NUM
    assert len(np.unique(alone.score)) >= 3
    np.testing.assert_array_equal(alone.slot_steps, alone.num_steps)


def test_slot_steps_are_shared_out():
    """In slots, every task bears an equal part of all slot steps, the useless ones included."""
    alone, together = trials(1), trials(4)
    assert len(np.unique(together.slot_steps)) == 1
    assert together.slot_steps.sum() >= alone.num_steps.sum()
    assert together.slot_steps.sum() % (4 * 7) == pytest.approx(0, abs=1e-2)
