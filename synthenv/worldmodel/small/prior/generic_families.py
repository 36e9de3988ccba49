"""Families of random dynamical systems: each is a way to draw one system, to begin an episode in it, and to step it.

States have ``STATE_SIZE`` numbers, of which a system uses some; controls have ``CONTROL_SIZE``, each in [-1, 1].
``sensors`` says what an agent observes, how it is paid and how it acts.

Some families overlap with the tasks that the world model is measured on: ``pendulum``, ``arm``, ``cart_pole``,
``landscape_car`` and ``grid`` hold systems of the kind of Pendulum, Reacher, CartPole, MountainCar and GridWorld with
random numbers in them; ``rigid_families.OVERLAPPING`` names them, for ablations. ``linear``, ``smooth``, ``field``,
``walls`` and ``network`` do not overlap.

References:
    Ferreira et al. (2024), One-shot world models, section 3.2 and the outlook, for what a richer prior should hold.
    Rahimi and Recht (2007), Random features for large-scale kernel machines, for the smooth functions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.worldmodel.small.prior.random_words import Draws

STATE_SIZE, CONTROL_SIZE = 8, 2
HALF = STATE_SIZE // 2  # second-order systems: positions, then velocities
NUM_FEATURES = 32
_MAX_SPEED = 20.0


class System(NamedTuple):
    """One system.

    Attributes:
        used: which numbers of the state exist. bool [STATE_SIZE]
        angle: which numbers are angles. bool [STATE_SIZE]
        still: which numbers never change within an episode, such as the place of a target. bool [STATE_SIZE]
        num_controls: how many controls matter, 1 or 2.
        numbers: what the family's functions need.
    """

    used: jax.Array
    angle: jax.Array
    still: jax.Array
    num_controls: jax.Array
    numbers: dict[str, Any]


class Family(NamedTuple):
    """How to make and move systems of one kind.

    Attributes:
        name: what a mixture calls it.
        draw: draws -> System.
        reset: (draws, system) -> state [STATE_SIZE], unused numbers zero.
        step: (system, state, control [CONTROL_SIZE]) -> next state.
    """

    name: str
    draw: Callable[[Draws], System]
    reset: Callable[[Draws, System], jax.Array]
    step: Callable[[System, jax.Array, jax.Array], jax.Array]


def no_flags() -> jax.Array:
    """Return flags of a state, bool [STATE_SIZE], all of them False."""
    return jnp.zeros(STATE_SIZE, bool)


def first_of_each_half(num: jax.Array | int) -> jax.Array:
    """Return flags of the first ``num`` positions and their velocities. bool [STATE_SIZE]"""
    return jnp.tile(jnp.arange(HALF) < num, 2)


def integrate(
    acceleration: Callable[[jax.Array, jax.Array], jax.Array], state: jax.Array, dt: jax.Array, num: int = 2
) -> jax.Array:
    """Make ``num`` semi-implicit Euler steps of a second-order system; position, velocity, acceleration are [HALF]."""
    position, velocity = state[:HALF], state[HALF:]
    for _ in range(num):
        velocity = velocity + dt / num * acceleration(position, velocity)
        velocity = jnp.clip(velocity, -_MAX_SPEED, _MAX_SPEED)
        position = position + dt / num * velocity
    return jnp.concatenate([position, velocity])


def uniform_start(draws: Draws, system: System) -> jax.Array:
    """Draw positions around ``centre`` and velocities around zero, as far away as the system says."""
    spread = jnp.repeat(jnp.stack([system.numbers["reach"], system.numbers["speed"]]), HALF)
    state = draws.uniform(-1.0, 1.0, (STATE_SIZE,)) * spread + system.numbers["centre"]
    return jnp.where(system.used, state, 0.0)


def start_numbers(draws: Draws, reach: tuple[float, float], speed: tuple[float, float]) -> dict[str, Any]:
    """Draw what ``uniform_start`` needs, half widths of positions and velocities, between bounds."""
    centre = jnp.where(jnp.arange(STATE_SIZE) < HALF, 0.5 * draws.normal((STATE_SIZE,)), 0.0)
    return {
        "reach": draws.log_uniform(*reach),
        "speed": draws.log_uniform(*speed),
        "centre": centre,
    }


def _draw_linear(draws: Draws) -> System:
    """Coupled springs with friction, forces and a constant pull."""
    num = draws.integer(1, HALF + 1)
    frequency = draws.log_uniform(0.2, 3.0)
    stiffness = draws.normal((HALF, HALF)) * frequency**2 * 0.5
    # One in four has springs that push away: balancing tasks.
    own = jnp.where(draws.coin(0.25), -0.3, 1.0) * frequency**2
    numbers = {
        "stiffness": stiffness * draws.coin(0.5) + own * jnp.eye(HALF),
        "friction": draws.log_uniform(0.01, 1.0),
        "gain": draws.normal((HALF, CONTROL_SIZE)) * draws.log_uniform(0.3, 5.0),
        "dt": draws.log_uniform(0.01, 0.2),
        **start_numbers(draws, (0.05, 2.0), (0.01, 2.0)),
    }
    return System(first_of_each_half(num), no_flags(), no_flags(), 1 + draws.coin(0.5), numbers)


def _step_linear(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    n, used = system.numbers, system.used[:HALF]

    def acceleration(position: jax.Array, velocity: jax.Array) -> jax.Array:
        force = n["gain"] @ control - n["stiffness"] @ position - n["friction"] * velocity
        return jnp.where(used, force, 0.0)

    return integrate(acceleration, state, n["dt"])


def draw_features(draws: Draws, num_inputs: int, num_outputs: int, roughness: jax.Array) -> dict[str, Any]:
    """Random smooth functions of unit variance: draws of a Gaussian process with length scale 1 / roughness."""
    frequencies = draws.normal((NUM_FEATURES, num_inputs)) * roughness
    # Each function depends on some of the inputs only.
    frequencies = frequencies * draws.coin(0.7, (num_inputs,))[None]
    return {
        "in": frequencies,
        "phase": draws.uniform(0.0, 2 * jnp.pi, (NUM_FEATURES,)),
        "out": draws.normal((num_outputs, NUM_FEATURES)) * jnp.sqrt(2.0 / NUM_FEATURES),
    }


def apply_features(features: dict[str, Any], x: jax.Array) -> jax.Array:
    """Map inputs x [inputs] to outputs [outputs]."""
    return features["out"] @ jnp.cos(features["in"] @ x + features["phase"])


def _draw_smooth(draws: Draws) -> System:
    """Second-order systems whose forces are random smooth functions of where they are and how they move."""
    num = draws.integer(1, HALF + 1)
    numbers = {
        "force": draw_features(draws, STATE_SIZE + CONTROL_SIZE, HALF, draws.log_uniform(0.2, 1.5)),
        "strength": draws.log_uniform(0.3, 5.0),
        "friction": draws.log_uniform(0.05, 1.0),
        "spring": draws.log_uniform(0.05, 2.0),
        "gain": draws.normal((HALF, CONTROL_SIZE)) * 2.0,
        "dt": draws.log_uniform(0.02, 0.2),
        **start_numbers(draws, (0.2, 2.0), (0.05, 2.0)),
    }
    return System(first_of_each_half(num), no_flags(), no_flags(), 1 + draws.coin(0.5), numbers)


def _step_smooth(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    n, used = system.numbers, system.used[:HALF]

    def acceleration(position: jax.Array, velocity: jax.Array) -> jax.Array:
        push = n["strength"] * apply_features(n["force"], jnp.concatenate([position, velocity, control]))
        force = push + n["gain"] @ control - n["friction"] * velocity - n["spring"] * position
        return jnp.where(used, force, 0.0)

    return integrate(acceleration, state, n["dt"], num=1)


def _draw_field(draws: Draws) -> System:
    """First-order systems: the state moves by what is asked for, by a smooth field, or both, and stays in a box."""
    num = draws.integer(1, 6)
    plain = draws.coin(0.4)  # the control alone moves the state, like a cursor
    bends = draws.coin(0.5)
    gain = draws.normal((STATE_SIZE, CONTROL_SIZE))
    numbers = {
        "field": draw_features(draws, STATE_SIZE + CONTROL_SIZE, STATE_SIZE, draws.log_uniform(0.2, 1.5)),
        "strength": jnp.where(plain, 0.0, draws.log_uniform(0.05, 0.5)),
        "decay": jnp.where(plain | bends, 0.0, draws.log_uniform(0.01, 0.5)),
        "gain": jnp.where(plain, jnp.eye(STATE_SIZE, CONTROL_SIZE), gain) * draws.log_uniform(0.05, 1.0),
        "box": draws.log_uniform(1.0, 4.0),
        **start_numbers(draws, (0.2, 2.0), (0.2, 2.0)),
    }
    num = jnp.where(plain, jnp.minimum(num, CONTROL_SIZE), num)
    return System(jnp.arange(STATE_SIZE) < num, no_flags(), no_flags(), 1 + draws.coin(0.5), numbers)


def _step_field(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    n = system.numbers
    drift = n["strength"] * apply_features(n["field"], jnp.concatenate([state, control]))
    moved = state + drift + n["gain"] @ control - n["decay"] * state
    return jnp.where(system.used, jnp.clip(moved, -n["box"], n["box"]), 0.0)


def _draw_network(draws: Draws) -> System:
    """Draw a system whose next state is, in part, a random network of this one, as in the original prior."""
    num = draws.integer(1, 6)
    shape = (NUM_FEATURES, STATE_SIZE + CONTROL_SIZE)
    numbers = {
        "in": draws.normal(shape) * draws.log_uniform(0.1, 0.7),
        "out": draws.normal((STATE_SIZE, NUM_FEATURES)) / jnp.sqrt(NUM_FEATURES),
        "wave": draws.coin(0.5, (NUM_FEATURES,)),
        "keep": jnp.where(draws.coin(0.3), 0.0, draws.uniform()),
        **start_numbers(draws, (0.3, 3.0), (0.3, 3.0)),
    }
    return System(jnp.arange(STATE_SIZE) < num, no_flags(), no_flags(), 1 + draws.coin(0.5), numbers)


def _step_network(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    n = system.numbers
    hidden = n["in"] @ jnp.concatenate([state, control])
    new = n["out"] @ jnp.where(n["wave"], jnp.sin(hidden), jnp.tanh(hidden)) * 2.0
    return jnp.where(system.used, n["keep"] * state + (1.0 - n["keep"]) * new, 0.0)


def _draw_walls(draws: Draws) -> System:
    """A puck between walls, which throw it back or stop it, on slopes or flat ground."""
    num = draws.integer(1, 3)
    numbers = {
        "wall": draws.log_uniform(0.5, 2.0),
        "bounce": jnp.where(draws.coin(0.5), 0.0, draws.uniform(0.3, 1.0)),
        "pull": jnp.where(draws.coin(0.5), 0.0, draws.normal((HALF,)) * 2.0),
        "friction": draws.log_uniform(0.01, 1.0),
        "gain": jnp.eye(HALF, CONTROL_SIZE) * draws.log_uniform(0.5, 6.0),
        "dt": draws.log_uniform(0.02, 0.2),
        **start_numbers(draws, (0.3, 2.0), (0.1, 2.0)),
    }
    return System(first_of_each_half(num), no_flags(), no_flags(), num, numbers)


def _step_walls(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    n, used = system.numbers, system.used[:HALF]

    def acceleration(position: jax.Array, velocity: jax.Array) -> jax.Array:
        return jnp.where(used, n["gain"] @ control + n["pull"] - n["friction"] * velocity, 0.0)

    state = integrate(acceleration, state, n["dt"], num=1)
    hit = jnp.abs(state[:HALF]) > n["wall"]
    position = jnp.clip(state[:HALF], -n["wall"], n["wall"])
    return jnp.concatenate([position, jnp.where(hit, -n["bounce"] * state[HALF:], state[HALF:])])


GENERIC: dict[str, Family] = {
    family.name: family
    for family in (
        Family("linear", _draw_linear, uniform_start, _step_linear),
        Family("smooth", _draw_smooth, uniform_start, _step_smooth),
        Family("field", _draw_field, uniform_start, _step_field),
        Family("network", _draw_network, uniform_start, _step_network),
        Family("walls", _draw_walls, uniform_start, _step_walls),
    )
}
