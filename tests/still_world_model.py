"""Whatever an experiment on dreams needs to run in seconds: a world model without experts, and a tiny PPO."""

import dataclasses

import jax.numpy as jnp

from synthenv.agents.ppo_config import PPOConfig
from synthenv.core.types import Prediction, WorldModel
from synthenv.runs.oswm.run import presets as dream_presets
from synthenv.worldmodel import registry as world_models

TINY_PPO = PPOConfig(
    stop="none", num_envs=2, rollout_length=32, num_minibatches=2, num_epochs=1, hidden_size=8
)


def install(monkeypatch) -> None:
    """Add two world models, and shrink every PPO.

    In "still" nothing moves and all steps pay the context's mean, in "drift" observations grow by a tenth a step.
    """

    def encode(params, transitions, num_actions):
        return jnp.mean(jnp.asarray(transitions.reward))

    def predict(cache, obs, action):
        zero = jnp.float32(0)
        return Prediction(obs, cache, jnp.zeros_like(obs), zero, zero)

    def drift(cache, obs, action):
        return predict(cache, obs, action)._replace(next_obs=1.1 * obs)

    for name, own in (("still", predict), ("drift", drift)):
        monkeypatch.setitem(
            world_models.MODELS._entries, name, WorldModel(name, encode, own, knows_ends=True)
        )
    for name, preset in dream_presets.PRESETS.items():
        monkeypatch.setitem(dream_presets.PRESETS, name, dataclasses.replace(preset, ppo=TINY_PPO))
