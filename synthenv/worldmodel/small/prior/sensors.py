"""What an agent sees of a random system, what it is paid, where its episodes end, and how it acts while data is taken.

References:
    Ferreira et al. (2024), One-shot world models, sections 3.2 and 6: what the original prior lacks (goals, costs of
    action, terminations, policies that hold an action).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.worldmodel.small.prior.generic_families import (
    CONTROL_SIZE,
    HALF,
    STATE_SIZE,
    System,
    apply_features,
    draw_features,
)
from synthenv.worldmodel.small.prior.random_words import Draws
from synthenv.worldmodel.small.prior.rigid_families import GRID_SIZE

NUM_PAIRS, NUM_EXTRAS = 2, 2
NUM_CANDIDATES = 3 * STATE_SIZE + NUM_PAIRS + NUM_EXTRAS
MAX_ACTIONS = 4  # most discrete actions, and the columns of an action


class View(NamedTuple):
    """The columns that are observed, in their order.

    ``columns`` [max_obs] are indices into the candidates, of which the first ``size`` are in use.
    """

    columns: jax.Array
    size: jax.Array
    pairs: jax.Array  # [NUM_PAIRS, 2]


class Pay(NamedTuple):
    """Weights and kinds of a reward's terms, and where episodes end; scalars unless said otherwise."""

    goal: jax.Array  # [STATE_SIZE]
    counts: jax.Array  # which numbers of the state the distance is taken over. bool [STATE_SIZE]
    uses_extras: jax.Array
    kind: jax.Array  # kind of distance: 0 sum of absolutes, 1 length, 2 squared length
    weights: jax.Array  # factors of constant, distance, action, speed, bonus, smooth function, board. [7]
    radius: jax.Array
    after: jax.Array  # whether the state is paid for that a step leads to, or the one where it begins
    smooth: dict[str, Any]
    board: jax.Array  # [GRID_SIZE, GRID_SIZE]
    ends: jax.Array  # whether episodes end at all
    ends_at: jax.Array  # index of the number of the state that is watched
    limit: jax.Array
    final: jax.Array  # reward that is paid once at the end


class Actor(NamedTuple):
    """How actions are chosen along one chain of steps."""

    levels: jax.Array  # controls of the discrete actions [MAX_ACTIONS, CONTROL_SIZE]
    num_actions: jax.Array  # number of discrete actions; 0 if actions are continuous
    redraw: jax.Array  # probability of a new action in each step
    extreme: jax.Array  # whether only the largest controls are used
    feedback: jax.Array  # gain of the state [CONTROL_SIZE, STATE_SIZE]; zero without feedback


def draw_view(draws: Draws, system: System, has_extras: bool, max_obs: int) -> View:
    """Draw what is seen: most numbers as they are, most angles as cosine and sine, all in random order."""
    pairs = draws.integer(0, STATE_SIZE, (NUM_PAIRS, 2))
    paired = system.used[pairs].all(axis=1) & ~system.angle[pairs].any(axis=1) & (pairs[:, 0] != pairs[:, 1])
    mode = draws.uniform(shape=(STATE_SIZE,))  # how an angle is seen: as both, as it is, as one of them alone
    kept = system.used & (draws.uniform(shape=(STATE_SIZE,)) < 0.98)
    raw = kept & jnp.where(system.angle, (mode > 0.75) & (mode < 0.95), True)
    cosine = kept & system.angle & ((mode < 0.75) | (mode > 0.975))
    sine = kept & system.angle & ((mode < 0.75) | ((mode > 0.95) & (mode < 0.975)))
    extras = jnp.full(NUM_EXTRAS, has_extras) & draws.coin(0.7)
    included = jnp.concatenate([raw, cosine, sine, paired & draws.coin(0.15, (NUM_PAIRS,)), extras])
    order = jnp.argsort(jnp.where(included, draws.uniform(shape=(NUM_CANDIDATES,)), 2.0))
    return View(order[:max_obs], jnp.minimum(jnp.sum(included), max_obs), pairs)


def observe(view: View, state: jax.Array, extras: jax.Array) -> jax.Array:
    """Return what is seen of a state; columns that are not in use are zero. [max_obs]"""
    differences = state[view.pairs[:, 0]] - state[view.pairs[:, 1]]
    candidates = jnp.concatenate([state, jnp.cos(state), jnp.sin(state), differences, extras])
    return jnp.where(jnp.arange(view.columns.shape[0]) < view.size, candidates[view.columns], 0.0)


def draw_pay(draws: Draws, system: System, start: jax.Array, has_extras: bool, is_board: bool) -> Pay:
    """Draw a reward, a random sum of a few terms, and where episodes end; one in seven pays the same for every step.

    Args:
        draws: random words.
        system: the system that is paid for.
        start: how far its states spread at the start. [STATE_SIZE]
        has_extras: whether there are extra numbers to measure a distance by.
        is_board: whether the state is a place on a board.
    """
    goal = jnp.where(draws.coin(0.5), 0.0, start * draws.uniform())
    counts = system.used & draws.coin(0.5, (STATE_SIZE,))
    counts = jnp.where(
        counts.any(), counts, system.used & (jnp.arange(STATE_SIZE) == jnp.argmax(system.used))
    )
    shares = jnp.array([0.5, 0.6, 0.35, 0.2, 0.2, 0.15, 0.8 * is_board])
    constant_only = draws.coin(0.15)
    on = (draws.uniform(shape=(7,)) < shares) & ~(constant_only & (jnp.arange(7) > 0))
    signs = jnp.array([1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0]).at[0].set(jnp.where(draws.coin(0.5), 1.0, -1.0))
    scales = jnp.array([1.0, 1.0, 0.2, 0.05, 5.0, 1.0, 5.0]) * draws.log_uniform(0.3, 3.0, (7,))
    few = draws.normal((3,))
    board = few[jnp.searchsorted(jnp.array([0.74, 0.9]), draws.uniform(shape=(GRID_SIZE, GRID_SIZE)))]
    rows, columns = jnp.indices((GRID_SIZE, GRID_SIZE))
    striped = few[jnp.where(jnp.where(draws.coin(0.5), rows, columns) % 4 == 0, 1, 0)]
    moves = system.used & ~system.angle & ~system.still
    watched = jnp.argmax(jnp.where(moves, draws.uniform(shape=(STATE_SIZE,)), -1.0))
    span = jnp.maximum(jnp.abs(start[watched]), 0.3)
    return Pay(
        goal=goal,
        counts=counts,
        uses_extras=jnp.bool_(has_extras) & draws.coin(0.7),
        kind=draws.integer(0, 3),
        weights=jnp.where(on, signs * scales, 0.0),
        radius=draws.log_uniform(0.1, 1.0),
        after=draws.coin(0.6),
        smooth=draw_features(draws, STATE_SIZE + CONTROL_SIZE, 1, draws.log_uniform(0.2, 1.0)),
        board=jnp.where(draws.coin(0.5), board, striped),
        ends=draws.coin(0.35) & jnp.any(moves),
        ends_at=watched,
        limit=span * draws.log_uniform(0.7, 3.0),
        final=jnp.where(draws.coin(0.5), 0.0, 5.0 * draws.normal()),
    )


def pay(
    p: Pay, system: System, state: jax.Array, control: jax.Array, following: jax.Array, extras: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the reward of a step, and whether it ends the episode.

    Args:
        p: how the system pays.
        system: the system.
        state: where the step begins. [STATE_SIZE]
        control: what was done, each in [-1, 1]. [CONTROL_SIZE]
        following: where the step leads. [STATE_SIZE]
        extras: extra numbers of the state that is paid for. [NUM_EXTRAS]

    Returns:
        float32 [] and bool [].
    """
    at = jnp.where(p.after, following, state)
    away = jnp.where(system.angle, 2.0 * jnp.sin(0.5 * (at - p.goal)), at - p.goal) * p.counts
    away = jnp.where(p.uses_extras, jnp.pad(extras, (0, STATE_SIZE - NUM_EXTRAS)), away)
    squared = jnp.sum(jnp.square(away))
    length = jnp.sqrt(squared + 1e-12)
    distance = jnp.stack([jnp.sum(jnp.abs(away)), length, squared])[p.kind]
    row, column = jnp.clip(at[:2], 0, GRID_SIZE - 1).astype(jnp.int32)
    terms = jnp.stack(
        [
            jnp.float32(1.0),
            distance,
            jnp.sum(jnp.square(control)),
            jnp.sum(jnp.square(at[HALF:])),
            (length < p.radius).astype(jnp.float32),
            apply_features(p.smooth, jnp.concatenate([at, control]))[0],
            p.board[row, column],
        ]
    )
    ended = p.ends & (jnp.abs(following[p.ends_at]) > p.limit)
    return p.weights @ terms + p.final * ended, ended


def draw_levels(draws: Draws, system: System) -> tuple[jax.Array, jax.Array]:
    """Draw the controls of discrete actions.

    Returns:
        controls [MAX_ACTIONS, CONTROL_SIZE], and how many of them are actions; 0 if actions are continuous.
    """
    num = jnp.where(draws.coin(0.5), 0, draws.integer(2, MAX_ACTIONS + 1))
    spaced = jnp.arange(MAX_ACTIONS) / jnp.maximum(num - 1, 1) * 2.0 - 1.0
    single = jnp.stack([spaced, jnp.zeros(MAX_ACTIONS)], axis=1)
    cross = jnp.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    anywhere = draws.uniform(-1.0, 1.0, (MAX_ACTIONS, CONTROL_SIZE))
    double = jnp.where((num == MAX_ACTIONS) & draws.coin(0.8), cross, anywhere)
    return jnp.where(system.num_controls == 1, single, double), num


def draw_actor(draws: Draws, levels: jax.Array, num_actions: jax.Array, spread: jax.Array) -> Actor:
    """Draw an actor, whose actions are new in every step or held for a while; one in four follows the state."""
    hold = jnp.where(draws.coin(0.4), 1.0, draws.log_uniform(1.0, 40.0))
    gain = draws.normal((CONTROL_SIZE, STATE_SIZE)) / jnp.maximum(spread, 1e-2)[None]
    return Actor(levels, num_actions, 1.0 / hold, draws.coin(0.2), jnp.where(draws.coin(0.25), gain, 0.0))


def act(
    draws: Draws,
    actor: Actor,
    state: jax.Array,
    control: jax.Array,
    column: jax.Array,
    num_controls: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return the next control [CONTROL_SIZE] and its columns [MAX_ACTIONS].

    Args:
        draws: random words.
        actor: who acts.
        state: where the step begins. [STATE_SIZE]
        control: the control of the step before, which may be held. [CONTROL_SIZE]
        column: the columns of that control. [MAX_ACTIONS]
        num_controls: how many controls matter. int []
    """
    draw = draws.uniform(-1.0, 1.0, (CONTROL_SIZE,))
    follows = jnp.any(actor.feedback != 0.0)
    wanted = jnp.where(follows, jnp.tanh(actor.feedback @ state) + 0.3 * draw, draw)
    wanted = jnp.where(actor.extreme, jnp.sign(wanted), jnp.clip(wanted, -1.0, 1.0))
    wanted = jnp.where(jnp.arange(CONTROL_SIZE) < num_controls, wanted, 0.0)
    used = jnp.arange(MAX_ACTIONS) < actor.num_actions
    near = -jnp.sum(jnp.square(actor.levels - wanted[None]), axis=1)
    score = jnp.where(follows, near, draws.uniform(shape=(MAX_ACTIONS,)))
    choice = jnp.argmax(jnp.where(used, score, -jnp.inf))
    discrete = actor.num_actions > 0
    new_control = jnp.where(discrete, actor.levels[choice], wanted)
    new_column = jnp.where(
        discrete, jax.nn.one_hot(choice, MAX_ACTIONS), jnp.pad(wanted, (0, MAX_ACTIONS - CONTROL_SIZE))
    )
    redraw = (draws.uniform() < actor.redraw) | follows
    return jnp.where(redraw, new_control, control), jnp.where(redraw, new_column, column)
