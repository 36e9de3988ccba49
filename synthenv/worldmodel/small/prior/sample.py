"""The prior of the small world model: batches of random tasks, each seen through a context and asked through queries.

Everything is drawn on the device in one program. A task is a system of a random family (``generic_families``,
``rigid_families``), seen, paid and ended at random (``sensors``). Its rows come from short chains of steps. The chains
of the queries have other actors than those of the context and, half of the time, starts that are wider or narrower:
agents go where their world model was shown nothing.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core.registry import Registry
from synthenv.worldmodel.small.prior import sensors
from synthenv.worldmodel.small.prior.generic_families import CONTROL_SIZE, GENERIC, STATE_SIZE, Family, System
from synthenv.worldmodel.small.prior.random_words import Draws
from synthenv.worldmodel.small.prior.rigid_families import RIGID, tip_of
from synthenv.worldmodel.small.prior.sensors import MAX_ACTIONS, NUM_EXTRAS

FAMILIES: Registry[Family] = Registry("family of systems", Family, ours=(GENERIC | RIGID).values())
_WILD = 1e3  # a task whose numbers go beyond this is discarded
_TASK_WORDS, _STEP_WORDS = 2800, 64


class PriorBatch(NamedTuple):
    """Rows of B tasks: C context rows, of which the first ``num_context`` are there, and Q query rows.

    Attributes:
        inputs: observation and action columns. [B, C + Q, D]
        after: observation that follows and action columns. [B, C + Q, D]
        targets: change of the observation, and reward. [B, C + Q, Y]
        terminated: which rows ended an episode. bool [B, C + Q]
        num_context: context rows that are there. int32 [B]
        used: which targets exist. bool [B, Y]
        sound: whether the numbers stayed ordinary. bool [B]
    """

    inputs: jax.Array
    after: jax.Array
    targets: jax.Array
    terminated: jax.Array
    num_context: jax.Array
    used: jax.Array
    sound: jax.Array


@dataclass(frozen=True)
class PriorConfig:
    """Sizes and mixture.

    Attributes:
        families: Which kinds of systems, in equal shares.
        tasks_per_family: Tasks of each in a batch.
        max_obs: Columns of an observation at most.
        num_context: Context rows at most.
        min_context: Context rows at least.
        num_queries: Query rows.
        chain_length: Steps of a chain.
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    tasks_per_family: int = 1
    max_obs: int = 6
    num_context: int = 256
    min_context: int = 50
    num_queries: int = 128
    chain_length: int = 32

    @property
    def batch_size(self) -> int:
        """Return the number of tasks in a batch, B."""
        return len(self.families) * self.tasks_per_family


class _Task(NamedTuple):
    """One task: a system and what surrounds it."""

    system: System
    view: sensors.View
    pay: sensors.Pay
    levels: jax.Array
    num_actions: jax.Array
    noise: jax.Array


def sample(key: jax.Array, config: PriorConfig) -> PriorBatch:
    """Draw a batch of tasks."""
    keys = jax.random.split(key, config.batch_size).reshape(len(config.families), config.tasks_per_family)
    parts = [
        jax.vmap(partial(_sample_one, name=name, config=config))(row)
        for name, row in zip(config.families, keys, strict=True)
    ]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def _sample_one(key: jax.Array, name: str, config: PriorConfig) -> PriorBatch:
    key_task, key_context, key_queries, key_order = jax.random.split(key, 4)
    draws = Draws(jax.random.bits(key_task, (_TASK_WORDS,)))
    task, spread = _draw_task(draws, name, config.max_obs)
    context = _rows(
        key_context, name, task, spread, jnp.float32(1.0), config.num_context, config.chain_length
    )
    width = jnp.where(draws.coin(0.5), 1.0, draws.log_uniform(0.5, 2.0))
    queries = _rows(key_queries, name, task, spread, width, config.num_queries, config.chain_length)
    order = jnp.argsort(jax.random.bits(key_order, (config.num_context,)))
    context = jax.tree.map(lambda leaf: leaf[order], context)
    inputs, after, targets, terminated = jax.tree.map(lambda *parts: jnp.concatenate(parts), context, queries)
    num_context = draws.log_uniform(config.min_context, config.num_context + 1).astype(jnp.int32)
    used = jnp.append(jnp.arange(config.max_obs) < task.view.size, True)
    ordinary = (jnp.abs(inputs) < _WILD).all() & (jnp.abs(targets) < _WILD).all()
    return PriorBatch(inputs, after, targets, terminated, num_context, used, ordinary)


def _draw_task(draws: Draws, name: str, max_obs: int) -> tuple[_Task, jax.Array]:
    """Draw a task, and return how far its states spread at the start [STATE_SIZE]."""
    family, is_arm = FAMILIES[name], name == "arm"
    system = family.draw(draws)
    starts = draws.words((16, STATE_SIZE))
    starts = jax.vmap(lambda words: family.reset(Draws(words), system))(starts)
    levels, num_actions = sensors.draw_levels(draws, system)
    noisy = draws.coin(0.2) & (name != "grid")
    task = _Task(
        system=system,
        view=sensors.draw_view(draws, system, is_arm, max_obs),
        pay=sensors.draw_pay(draws, system, starts[0], is_arm, name == "grid"),
        levels=levels,
        num_actions=num_actions,
        noise=jnp.where(noisy, draws.log_uniform(1e-4, 3e-2), 0.0),
    )
    return task, jnp.std(starts, axis=0)


def _extras(name: str, system: System, state: jax.Array) -> jax.Array:
    """Return the way from an arm's hand to its target; zeros for other families. [NUM_EXTRAS]"""
    return tip_of(system, state) - state[2:4] if name == "arm" else jnp.zeros(NUM_EXTRAS)


def _rows(
    key: jax.Array, name: str, task: _Task, spread: jax.Array, width: jax.Array, num_rows: int, length: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return inputs, what follows, targets and terminations of ``num_rows`` steps, in chains of ``length``."""
    chains = jax.vmap(lambda k: _chain(k, name, task, spread, width, length))(
        jax.random.split(key, -(-num_rows // length))
    )
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_rows], chains)


def _chain(
    key: jax.Array, name: str, task: _Task, spread: jax.Array, width: jax.Array, length: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    family, system = FAMILIES[name], task.system
    words = jax.random.bits(key, (length + 1, _STEP_WORDS))
    first = Draws(words[0])
    actor = sensors.draw_actor(first, task.levels, task.num_actions, spread)

    def begin(draws: Draws) -> jax.Array:
        state = family.reset(draws, system)
        return state if name == "grid" else state * width

    def step(carry: tuple[jax.Array, jax.Array, jax.Array], words: jax.Array) -> tuple[tuple, tuple]:
        state, control, column = carry
        draws = Draws(words)
        control, column = sensors.act(draws, actor, state, control, column, system.num_controls)
        following = family.step(system, state, control)
        shaken = following + task.noise * spread * draws.normal((STATE_SIZE,))
        following = jnp.where(system.used & ~system.still, shaken, following)
        following = jnp.clip(following, -_WILD, _WILD)
        paid_for = jnp.where(task.pay.after, following, state)
        reward, ended = sensors.pay(
            task.pay, system, state, control, following, _extras(name, system, paid_for)
        )
        before = sensors.observe(task.view, state, _extras(name, system, state))
        after = sensors.observe(task.view, following, _extras(name, system, following))
        row = (
            jnp.concatenate([before, column]),
            jnp.concatenate([after, column]),
            jnp.append(after - before, reward),
            ended,
        )
        return (jnp.where(ended, begin(draws), following), control, column), row

    start = begin(first)
    eager = actor._replace(redraw=jnp.float32(1.0))
    held = sensors.act(
        first, eager, start, jnp.zeros(CONTROL_SIZE), jnp.zeros(MAX_ACTIONS), system.num_controls
    )
    return jax.lax.scan(step, (start, *held), words[1:])[1]
