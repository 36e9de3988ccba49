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
class ProbeParams(environment.EnvParams):
    """What tells the probes apart, as numbers: a program compiled with ``PROBE`` serves all of them.

    The reward is the sum of the four weights times 1, o, a and o a, with the action a as -1 or 1.
    """

    max_steps_in_episode: int = 100  # a time limit that no episode reaches
    reward_weights: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    random_start: bool = False  # at -1 or 1 instead of 0
    length: int = 1


@struct.dataclass
class ProbeState(environment.EnvState):
    """The observation is the state."""

    obs: jax.Array


class Probe(environment.Environment):
    """One step long, observing zero; ``default_params`` of a subclass say what differs."""

    num_actions = 2
    default_params = ProbeParams()

    def first_obs(self, key, params):
        """Observation [1] at the start."""
        side = 2.0 * jax.random.bernoulli(key, shape=(1,)).astype(jnp.float32) - 1.0
        return jnp.where(params.random_start, side, 0.0)

    def reward(self, obs, action, params):
        """Reward [] of one step."""
        choice = 2.0 * action - 1.0
        constant, of_obs, of_choice, of_both = params.reward_weights
        return constant + of_obs * obs + of_choice * choice + of_both * obs * choice

    def reset_env(self, key, params):
        """Start an episode."""
        obs = self.first_obs(key, params)
        return obs, ProbeState(time=jnp.int32(0), obs=obs)

    def step_env(self, key, state, action, params):
        """Count up the observation and end after ``length`` steps."""
        reward = jnp.asarray(self.reward(state.obs[0], action, params), jnp.float32)
        state = ProbeState(time=state.time + 1, obs=state.obs + 1)
        terminated = state.time >= params.length
        return state.obs, state, reward, terminated, {"discount": 1.0 - terminated}


PROBE = Probe()  # to be given the parameters of any probe but ``Target``


class ConstantReward(Probe):
    """Q(0, a) = 1: the value loss or the optimiser is broken, or terminal states are bootstrapped."""


class ObservedReward(Probe):
    """Q(o, a) = o for o = -1 or 1: observations do not reach the net, or replay mixes up rows."""

    default_params = ProbeParams(reward_weights=(0.0, 1.0, 0.0, 0.0), random_start=True)


class DelayedReward(Probe):
    """Reward in the second step only, so Q(0, a) = discount, Q(1, a) = 1: discount or target net is broken."""

    default_params = ProbeParams(reward_weights=(0.0, 1.0, 0.0, 0.0), length=2)


class ActionReward(Probe):
    """Q(0, .) = [-1, 1]: actions are not stored, or the policy does not follow the values."""

    default_params = ProbeParams(reward_weights=(0.0, 0.0, 1.0, 0.0))


class ObservedActionReward(Probe):
    """Q(o, .) = [-o, o]: a policy that ignores what it sees."""

    default_params = ProbeParams(reward_weights=(0.0, 0.0, 0.0, 1.0), random_start=True)


class Target(Probe):
    """Continuous: Q(o, a) = -(a - o)^2, so the best action is o."""

    default_params = ProbeParams(random_start=True)

    def reward(self, obs, action, params):
        return -jnp.sum(jnp.square(action - obs))
