"""Actions of logs and of policies are the task's own, in every action space: ``--context-file`` and ``load_policy``."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.core.files import to_json
from synthenv.core.sealed_file import write_sealed
from synthenv.core.types import Transition
from synthenv.envs.on_host import gymnasium_task
from synthenv.runs.oswm.run import real_tasks
from synthenv.runs.oswm.run.logged_context import context_of_file
from synthenv.runs.oswm.run.presets import dreaming_agent
from synthenv.runs.oswm.run.saved_policies import _still_dream, load_policy
from synthenv.runs.oswm.run.training import Trainer
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect_gymnasium import collect_gymnasium
from synthenv.worldmodel.context.context import Context, as_host
from synthenv.worldmodel.context.file import load_context, save_context
from tests.envs.test_action_units import SPACES, Recorder, drawn

gymnasium = pytest.importorskip("gymnasium")
pytestmark = pytest.mark.rank_promotion_ok


# What a log alone does not tell of its actions: that whole numbers are amounts, or that they begin below 0.
UNTOLD = ("whole", "whole, symmetric", "bytes", "from below")


@pytest.fixture(params=SPACES)
def task(request):
    """The id of a task whose actions are of one of the spaces."""
    space = SPACES[request.param]
    env_id = "SynthenvUnits-v0"
    gymnasium.register(env_id, lambda: Recorder(space), max_episode_steps=10)
    yield env_id
    del gymnasium.registry[env_id]


def own_context(task: str, num_rows: int = 60) -> Context:
    """What own collection notes, the task asked for actions at random; it observes the last action."""
    env = gymnasium_task.make(task)
    units = gymnasium_task.units_of(env)
    ours = drawn(units, num_rows)
    if units.bound is not None:
        ours = np.clip(ours, -units.bound, units.bound)
    env.reset(seed=0)
    next_obs = np.array([env.unwrapped.step(gymnasium_task.env_action(env, action))[0] for action in ours])
    obs = np.concatenate([np.zeros_like(next_obs[:1]), next_obs[:-1]])
    never = np.zeros(num_rows, bool)
    rows = Transition(obs, units.taken(ours), -next_obs.sum(axis=1), next_obs, never, never)
    steps = as_host(rows, is_discrete=units.is_discrete)
    return Context(steps, steps.obs[:1], units.num_actions, units.bound, task, "held", num_rows, units=units)


def write_log(path, task: str, context: Context):
    """The same steps as somebody logs them: the actions that ``env.step`` was given."""
    steps = context.transitions
    own = gymnasium_task.spec(task).units.to_task(np.asarray(steps.action))
    np.savez(
        path,
        observations=steps.obs,
        actions=own,
        rewards=steps.reward,
        next_observations=steps.next_obs,
        terminations=steps.terminated,
        truncations=steps.truncated,
    )
    return path


def test_a_log_of_the_task_is_what_its_own_collection_gives(task, tmp_path):
    expected = own_context(task)
    real = real_tasks.real_task(task)
    read = context_of_file(write_log(tmp_path / "log.npz", task, expected), 60, real).context
    np.testing.assert_allclose(read.transitions.action, expected.transitions.action, atol=1e-5)
    about = (read.num_actions, read.action_bound, read.units)
    assert about == (expected.num_actions, expected.action_bound, expected.units)


@pytest.mark.parametrize("task", [name for name in SPACES if name not in UNTOLD], indirect=True)
def test_a_context_of_a_log_without_its_task_becomes_one_of_the_task(task, tmp_path):
    """A run on a log alone keeps contexts in units of the log; they are files that other runs may take."""
    expected, real = own_context(task), real_tasks.real_task(task)
    alone = context_of_file(write_log(tmp_path / "log.npz", task, expected), 60, None).context
    save_context(tmp_path / "seed0.safetensors", alone)
    read = context_of_file(tmp_path / "seed0.safetensors", 60, real).context
    np.testing.assert_allclose(read.transitions.action, expected.transitions.action, atol=1e-5)
    assert (read.num_actions, read.action_bound) == (expected.num_actions, expected.action_bound)
    save_context(tmp_path / "own.safetensors", expected)
    same = context_of_file(tmp_path / "own.safetensors", 60, real).context
    np.testing.assert_array_equal(same.transitions.action, expected.transitions.action)


def write_run(path, context: Context, task: str | None, scale: float = 50.0) -> None:
    """What ``oswm run`` leaves, of a policy with weights at random, so large that it goes to all bounds."""
    agent = dreaming_agent("ppo", task, 64)
    env, params = _still_dream(context)
    trainer = Trainer(agent, env, params)
    shapes = jax.eval_shape(lambda key: trainer.policy(trainer.begin(key, params)), jax.random.key(0))
    source = np.random.default_rng(0)
    arrays = {
        jax.tree_util.keystr(place): np.asarray(
            scale * (source.normal(size=leaf.shape) if len(leaf.shape) > 1 else np.ones(leaf.shape)),
            leaf.dtype,
        )
        for place, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }
    config = {"command": "oswm run", "agent": "ppo", "task": task, "max_steps": 64}
    for folder in ("policies", "contexts"):
        (path / folder).mkdir(parents=True)
    (path / "config.json").write_text(to_json({"config": config | {"learner": agent.stored()}}))
    write_sealed(path / "policies" / "seed0.safetensors", arrays, {})
    save_context(path / "contexts" / "seed0.safetensors", context)


ALONE = [name for name in SPACES if name not in UNTOLD and "symmetric" not in name]


@pytest.mark.parametrize(
    ("task", "alone"),
    [*((name, False) for name in SPACES), *((name, True) for name in ALONE)],
    indirect=["task"],
)
def test_a_loaded_policy_answers_what_step_takes(task, alone, tmp_path):
    context = own_context(task)
    if alone:
        log = write_log(tmp_path / "log.npz", task, context)
        context = context_of_file(log, 60, None).context
    write_run(tmp_path / "run", context, None if alone else task)
    policy, env = load_policy(tmp_path / "run", 0), gymnasium.make(task)
    obs, _ = env.reset(seed=0)
    for step in range(4):
        action = policy(jax.random.key(step), obs + step)
        assert np.shape(action) == env.action_space.shape
        obs, *_ = env.step(action)  # asserts that it is of its space
    traced = jax.eval_shape(policy, jax.random.key(5), jax.ShapeDtypeStruct(obs.shape, jnp.float32))
    assert traced.shape == env.action_space.shape and np.can_cast(traced.dtype, env.action_space.dtype)


def test_a_policy_of_before_units_went_on_record_asks_its_task(tmp_path):
    gymnasium.register("SynthenvUnits-v0", lambda: Recorder(SPACES["from zero"]), max_episode_steps=10)
    try:
        context = replace(own_context("SynthenvUnits-v0"), units=None)
        write_run(tmp_path / "run", context, "SynthenvUnits-v0")
        assert load_context(tmp_path / "run" / "contexts" / "seed0.safetensors").units is None
        policy = load_policy(tmp_path / "run", 0)
        answers = [policy(jax.random.key(0), np.float32([x])) for x in (-9, 9)]
        assert all(SPACES["from zero"].contains(answer) for answer in answers)
    finally:
        del gymnasium.registry["SynthenvUnits-v0"]


def test_a_log_that_goes_beyond_the_task_is_refused(tmp_path):
    gymnasium.register("SynthenvUnits-v0", lambda: Recorder(SPACES["each its own"]), max_episode_steps=10)
    try:
        context = own_context("SynthenvUnits-v0")
        log = write_log(tmp_path / "log.npz", "SynthenvUnits-v0", context)
        arrays = dict(np.load(log))
        arrays["actions"] = np.asarray(context.transitions.action)  # as RescaleAction would have it
        np.savez(log, **arrays)
        real = real_tasks.real_task("SynthenvUnits-v0")
        with pytest.raises(
            UserError, match=r"from -1 to 1 in dimension 0, not 0 to 1: log those that env.step"
        ):
            context_of_file(log, 60, real)
        np.savez(log, **(arrays | {"actions": arrays["actions"][:, :1]}))
        with pytest.raises(UserError, match=r"shape \[60, 1\], and the task takes 2 numbers"):
            context_of_file(log, 60, real)
    finally:
        del gymnasium.registry["SynthenvUnits-v0"]


def test_a_log_alone_is_dreamt_of_within_what_it_shows(tmp_path):
    """Actions of [0, 1] leave nothing below 0 to be tried; what goes about as far both ways stays as it is."""
    source = np.random.default_rng(0)
    for low, high, bound in (([0, -5], [1, 5], 1.0), ([-2, -2], [2, 2], None)):
        own = source.uniform(low, high, (60, 2))
        context = context_of_file(_log_of(tmp_path / "log.npz", own), 60, None).context
        ours = context.transitions.action
        assert context.action_bound == (bound or pytest.approx(np.abs(own).max()))
        assert np.abs(ours).max() <= context.action_bound * (1 + 1e-6)
        np.testing.assert_allclose(context.units.to_task(ours), own, atol=1e-5)
        if bound:
            np.testing.assert_allclose([ours.min(axis=0), ours.max(axis=0)], [[-1, -1], [1, 1]], atol=1e-6)
    context = context_of_file(_log_of(tmp_path / "log.npz", np.arange(60) % 3 + 5), 60, None)[0]
    assert context.num_actions == 3 and set(context.transitions.action.tolist()) == {0, 1, 2}


def test_discrete_actions_with_a_column_each_are_not_taken_for_amounts(tmp_path):
    log = _log_of(tmp_path / "log.npz", np.eye(3, dtype=np.float32)[np.arange(60) % 3])
    context = context_of_file(log, 60, None).context
    assert context.num_actions == 3 and context.transitions.action.tolist() == [row % 3 for row in range(60)]
    assert any("read as the number of its column" in notice for notice in context.notices)
    _log_of(log, np.eye(3, dtype=np.float32)[np.zeros(60, int)])
    with pytest.raises(UserError, match=r"look like discrete ones, a column each: write their numbers"):
        context_of_file(log, 60, None)


def _log_of(path, actions):
    obs = np.cumsum(np.random.default_rng(1).normal(size=(len(actions) + 1, 1)), axis=0)
    never = np.zeros(len(actions), bool)
    arrays = {"observations": obs[:-1], "next_observations": obs[1:], "rewards": obs[1:, 0]}
    np.savez(path, actions=actions, terminations=never, **arrays)
    return path


def test_own_collection_notes_what_was_executed():
    """Whole numbers from 0 to 6: what the task was given, not what was drawn before it was rounded."""
    gymnasium.register("SynthenvUnits-v0", lambda: Recorder(SPACES["whole"]), max_episode_steps=10)
    try:
        context = collect_gymnasium(
            jax.random.key(0), "SynthenvUnits-v0", Collection(num_steps=60, num_resets=1)
        )
        own = context.units.to_task(np.asarray(context.transitions.action))
        np.testing.assert_array_equal(own, context.transitions.next_obs)
        np.testing.assert_allclose(context.transitions.action, own / 3 - 1, atol=1e-6)
        assert set(own.ravel()) == set(range(7))
    finally:
        del gymnasium.registry["SynthenvUnits-v0"]
