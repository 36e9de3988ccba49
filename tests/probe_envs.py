"""Probe environments: the smallest tasks that only a working part of an agent can learn.

In order; the first that fails names the broken part. Each has two actions and ends by itself.

References:
    The habit is that of A. Jones, Debugging RL (2021), and of rejax's test environments.
"""

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment


@struct.dataclass
class ProbeState(environment.EnvState):
    """The observation is the state."""

    obs: jax.Array


class Probe(environment.Environment):
    """One step long, observing zero; a subclass says what differs."""

    length = 1
    num_actions = 2

    @property
    def default_params(self):
        """A time limit that no episode reaches."""
        return environment.EnvParams(max_steps_in_episode=100)

    def first_obs(self, key):
        """Observation [1] at the start."""
        return jnp.zeros(1)

    def reward(self, obs, action):
        """Reward [] of one step."""
        return jnp.float32(1)

    def reset_env(self, key, params):
        """Start an episode."""
        obs = self.first_obs(key)
        return obs, ProbeState(time=jnp.int32(0), obs=obs)

    def step_env(self, key, state, action, params):
        """Count up the observation and end after ``length`` steps."""
        reward = self.reward(state.obs[0], action)
        state = ProbeState(time=state.time + 1, obs=state.obs + 1)
        terminated = state.time >= self.length
        return state.obs, state, reward, terminated, {"discount": 1.0 - terminated}


class ConstantReward(Probe):
    """Q(0, a) = 1: the value loss or the optimiser is broken, or terminal states are bootstrapped."""


class ObservedReward(Probe):
    """Q(o, a) = o for o = -1 or 1: observations do not reach the net, or replay mixes up rows."""

    def first_obs(self, key):
        return 2.0 * jax.random.bernoulli(key, shape=(1,)).astype(jnp.float32) - 1.0

    def reward(self, obs, action):
        return obs


class DelayedReward(Probe):
    """Reward in the second step only, so Q(0, a) = discount, Q(1, a) = 1: discount or target net is broken."""

    length = 2

    def reward(self, obs, action):
        return obs


class ActionReward(Probe):
    """Q(0, .) = [-1, 1]: actions are not stored, or the policy does not follow the values."""

    def reward(self, obs, action):
        return 2.0 * action - 1.0


class ObservedActionReward(ObservedReward):
    """Q(o, .) = [-o, o]: a policy that ignores what it sees."""

    def reward(self, obs, action):
        return obs * (2.0 * action - 1.0)
