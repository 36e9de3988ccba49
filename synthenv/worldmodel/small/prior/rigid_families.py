"""Families of systems with physical or discrete content; ``generic_families`` says which tasks they overlap with.

References:
    Spong, Hutchinson and Vidyasagar (2006), Robot modeling and control, section 6.4, for the arm of two links.
    Florian (2007), Correct equations for the dynamics of the cart-pole system.
"""

import jax
import jax.numpy as jnp

from synthenv.worldmodel.small.prior.generic_families import (
    CONTROL_SIZE,
    HALF,
    STATE_SIZE,
    Family,
    System,
    first_of_each_half,
    integrate,
    no_flags,
    start_numbers,
    uniform_start,
)
from synthenv.worldmodel.small.prior.random_words import Draws

GRID_SIZE = 10


def _draw_pendulum(draws: Draws) -> System:
    """One or two pendulums, coupled by a spring or not, with limited speed."""
    num = 1 + draws.coin(0.3)
    numbers = {
        "gravity": draws.log_uniform(0.5, 20.0) * jnp.where(draws.coin(0.15), 0.0, 1.0),
        "friction": jnp.where(draws.coin(0.4), 0.0, draws.log_uniform(0.01, 2.0)),
        "gain": draws.log_uniform(1.0, 20.0),
        "spring": jnp.where(draws.coin(0.5), 0.0, draws.log_uniform(0.1, 3.0)),
        "top_speed": jnp.where(draws.coin(0.5), 1e3, draws.log_uniform(3.0, 12.0)),
        "dt": draws.log_uniform(0.02, 0.08),
        **start_numbers(draws, (0.3, 3.2), (0.1, 2.0)),
    }
    used = first_of_each_half(num)
    return System(used, used & (jnp.arange(STATE_SIZE) < HALF), no_flags(), num, numbers)


def _step_pendulum(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    n, used = system.numbers, system.used[:HALF]
    torque = n["gain"] * jnp.pad(control, (0, HALF - CONTROL_SIZE))
    other = jnp.array([1, 0, 2, 3])

    def acceleration(position: jax.Array, velocity: jax.Array) -> jax.Array:
        pull = n["gravity"] * jnp.sin(position) - n["friction"] * velocity + torque
        pull = pull + n["spring"] * used[1] * jnp.sin(position[other] - position)
        return jnp.where(used, pull, 0.0)

    state = integrate(acceleration, state, n["dt"], num=1)
    return state.at[HALF:].set(jnp.clip(state[HALF:], -n["top_speed"], n["top_speed"]))


def _draw_arm(draws: Draws) -> System:
    """Two links in a plane that is level or upright, the second joint limited, and a point somewhere to reach for.

    The numbers of the state: two angles, the point's two coordinates, two angular velocities.
    """
    numbers = {
        "inertia": draws.log_uniform(0.05, 2.0, (2,)),
        "coupling": draws.uniform(0.0, 0.9),
        "friction": draws.log_uniform(0.1, 3.0),
        "gain": draws.log_uniform(2.0, 60.0, (2,)),
        "gravity": jnp.where(draws.coin(0.7), 0.0, draws.log_uniform(0.5, 10.0)),
        "limit": jnp.where(draws.coin(0.5), 1e3, draws.uniform(1.5, 3.1)),
        "bounce": draws.uniform(0.0, 0.6),
        "dt": draws.log_uniform(0.01, 0.04),
        "lengths": draws.log_uniform(0.3, 1.5, (2,)),
        **start_numbers(draws, (0.1, 3.0), (0.01, 2.0)),
    }
    used = jnp.array([1, 1, 1, 1, 1, 1, 0, 0], bool)
    angle = jnp.array([1, 1, 0, 0, 0, 0, 0, 0], bool)
    still = jnp.array([0, 0, 1, 1, 0, 0, 0, 0], bool)
    return System(used, angle, still, jnp.int32(2), numbers)


def _step_arm(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    n, target = system.numbers, state[2:HALF]

    def acceleration(position: jax.Array, velocity: jax.Array) -> jax.Array:
        bend, (first, second) = position[1], n["inertia"]
        share = n["coupling"] * jnp.sqrt(first * second)
        mass12 = second + share * jnp.cos(bend)
        mass11 = first + second + 2 * share * jnp.cos(bend)
        whirl = share * jnp.sin(bend)
        fictitious = whirl * jnp.array([-velocity[1] * (2 * velocity[0] + velocity[1]), velocity[0] ** 2])
        pull = n["gravity"] * jnp.array([jnp.cos(position[0]), jnp.cos(position[0] + bend)])
        torque = (
            n["gain"] * n["inertia"] * control
            - fictitious
            - n["friction"] * n["inertia"] * velocity[:2]
            - pull
        )
        determinant = mass11 * second - mass12**2
        joint1 = (second * torque[0] - mass12 * torque[1]) / determinant
        joint2 = (mass11 * torque[1] - mass12 * torque[0]) / determinant
        return jnp.array([joint1, joint2, 0.0, 0.0])

    state = integrate(acceleration, state, n["dt"])
    beyond = jnp.abs(state[1]) > n["limit"]
    state = state.at[1].set(jnp.clip(state[1], -n["limit"], n["limit"]))
    state = state.at[HALF + 1].multiply(jnp.where(beyond, -n["bounce"], 1.0))
    return state.at[2:HALF].set(target)


def tip_of(system: System, state: jax.Array) -> jax.Array:
    """Return the position of an arm's hand. [2]"""
    first, both = state[0], state[0] + state[1]
    lengths = system.numbers["lengths"]
    return (
        jnp.array([jnp.cos(first), jnp.sin(first)]) * lengths[0]
        + jnp.array([jnp.cos(both), jnp.sin(both)]) * lengths[1]
    )


def _draw_cart_pole(draws: Draws) -> System:
    """Draw a cart with a pole that stands or hangs."""
    numbers = {
        "cart": draws.log_uniform(0.3, 3.0),
        "pole": draws.log_uniform(0.03, 0.5),
        "length": draws.log_uniform(0.2, 1.5),
        "gravity": draws.log_uniform(2.0, 20.0),
        "force": draws.log_uniform(3.0, 20.0),
        "friction": jnp.where(draws.coin(0.6), 0.0, draws.log_uniform(0.01, 1.0)),
        "dt": draws.log_uniform(0.01, 0.05),
        **start_numbers(draws, (0.03, 0.6), (0.03, 1.0)),
    }
    hangs = draws.coin(0.3)
    numbers["centre"] = jnp.zeros(STATE_SIZE).at[1].set(jnp.where(hangs, jnp.pi, 0.0))
    angle = jnp.zeros(STATE_SIZE, bool).at[1].set(hangs)
    return System(first_of_each_half(2), angle, no_flags(), jnp.int32(1), numbers)


def _step_cart_pole(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    n = system.numbers
    total = n["cart"] + n["pole"]

    def acceleration(position: jax.Array, velocity: jax.Array) -> jax.Array:
        sine, cosine, spin = jnp.sin(position[1]), jnp.cos(position[1]), velocity[1]
        push = n["force"] * control[0] - n["friction"] * velocity[0]
        common = (push + n["pole"] * n["length"] * spin**2 * sine) / total
        angular = (n["gravity"] * sine - cosine * common) / (
            n["length"] * (4.0 / 3.0 - n["pole"] * cosine**2 / total)
        )
        straight = common - n["pole"] * n["length"] * angular * cosine / total
        return jnp.array([straight, angular, 0.0, 0.0])

    return integrate(acceleration, state, n["dt"], num=1)


def _draw_landscape_car(draws: Draws) -> System:
    """A car on hills: a random sum of sines as height, walls that stop it, limited speed."""
    numbers = {
        "height": draws.normal((3,)) * draws.log_uniform(0.1, 2.0),
        "wave": draws.log_uniform(0.7, 4.0, (3,)),
        "phase": draws.uniform(0.0, 2 * jnp.pi, (3,)),
        "gain": draws.log_uniform(0.3, 3.0),
        "friction": jnp.where(draws.coin(0.6), 0.0, draws.log_uniform(0.01, 0.5)),
        "wall": draws.log_uniform(0.8, 3.0),
        "top_speed": jnp.where(draws.coin(0.5), 1e3, draws.log_uniform(1.0, 5.0)),
        "dt": draws.log_uniform(0.02, 0.15),
        **start_numbers(draws, (0.05, 1.0), (0.001, 0.5)),
    }
    return System(first_of_each_half(1), no_flags(), no_flags(), jnp.int32(1), numbers)


def _step_landscape_car(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    n = system.numbers

    def acceleration(position: jax.Array, velocity: jax.Array) -> jax.Array:
        slope = jnp.sum(n["height"] * n["wave"] * jnp.cos(n["wave"] * position[0] + n["phase"]))
        force = n["gain"] * control[0] - slope - n["friction"] * velocity[0]
        return jnp.zeros(HALF).at[0].set(force)

    state = integrate(acceleration, state, n["dt"], num=1)
    position = jnp.clip(state[0], -n["wall"], n["wall"])
    speed = jnp.clip(state[HALF], -n["top_speed"], n["top_speed"])
    stopped = (jnp.abs(state[0]) > n["wall"]) & (jnp.sign(speed) == jnp.sign(state[0]))
    return state.at[0].set(position).at[HALF].set(jnp.where(stopped, 0.0, speed))


def _draw_grid(draws: Draws) -> System:
    """A piece on a board, moved by the control that is largest in amount; some boards have blocked cells."""
    numbers = {
        "size": draws.integer(3, GRID_SIZE + 1, (2,)),
        "blocked": draws.coin(0.15, (GRID_SIZE, GRID_SIZE)) & draws.coin(0.5),
    }
    return System(jnp.arange(STATE_SIZE) < 2, no_flags(), no_flags(), jnp.int32(2), numbers)


def _reset_grid(draws: Draws, system: System) -> jax.Array:
    cell = jnp.floor(draws.uniform(shape=(2,)) * system.numbers["size"])
    return jnp.zeros(STATE_SIZE).at[:2].set(cell)


def _step_grid(system: System, state: jax.Array, control: jax.Array) -> jax.Array:
    axis = jnp.argmax(jnp.abs(control))
    move = jnp.where(jnp.arange(2) == axis, jnp.sign(control), 0.0)
    cell = jnp.clip(state[:2] + move, 0.0, system.numbers["size"] - 1.0)
    row, column = cell.astype(jnp.int32)
    return state.at[:2].set(jnp.where(system.numbers["blocked"][row, column], state[:2], cell))


RIGID: dict[str, Family] = {
    family.name: family
    for family in (
        Family("pendulum", _draw_pendulum, uniform_start, _step_pendulum),
        Family("arm", _draw_arm, uniform_start, _step_arm),
        Family("cart_pole", _draw_cart_pole, uniform_start, _step_cart_pole),
        Family("landscape_car", _draw_landscape_car, uniform_start, _step_landscape_car),
        Family("grid", _draw_grid, _reset_grid, _step_grid),
    )
}
OVERLAPPING = tuple(RIGID)
