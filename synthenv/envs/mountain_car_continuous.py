"""MountainCarContinuous-v0 with the left wall of the original."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments.classic_control import continuous_mountain_car as gymnax_mountain_car

EnvParams = gymnax_mountain_car.EnvParams
EnvState = gymnax_mountain_car.EnvState


class MountainCarContinuous(gymnax_mountain_car.ContinuousMountainCar):
    """gymnax's environment with its dynamics at the ends of the track corrected.

    gymnasium, and gym 0.17.3 before it, stop a car that runs into the *left wall*:
    ``if position == min_position and velocity < 0: velocity = 0``. gymnax 1.0.1 stops a car that moves left
    *beyond the goal* instead. Its car therefore stays glued to the left wall until the motor has undone the
    whole velocity, and one beyond the goal that moves left is taken to have arrived. The rest (the energy
    cost of the unclipped action, +100 on termination, termination, reset, time limit) agrees and is
    inherited.
    """

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Apply a force, float32 [1] or [], for one step."""
        action = jnp.asarray(action).squeeze()
        force = jnp.clip(action, params.min_action, params.max_action)
        velocity = state.velocity + force * params.power - params.gravity * jnp.cos(3 * state.position)
        velocity = jnp.clip(velocity, -params.max_speed, params.max_speed)
        position = jnp.clip(state.position + velocity, params.min_position, params.max_position)
        velocity = jnp.where((position == params.min_position) & (velocity < 0), 0.0, velocity)

        state = EnvState(position=position, velocity=velocity, time=state.time + 1)
        terminated = self.is_terminated(state, params)
        # The cost is of the action as given, not as clipped: so in gym 0.17.3, gymnasium and gymnax alike.
        reward = jnp.where(terminated, 100.0, 0.0) - 0.1 * action**2
        obs, state = self._apply_transition_gradient_policy(self.get_obs(state), state)
        return obs, state, reward, terminated, {"discount": self.discount(state, params)}
