"""Settings of the dreams of each task, and of the agents in them, by task id. Imports nothing heavy."""

from dataclasses import dataclass, replace
from typing import Literal

from synthenv.agents.config import AgentConfig
from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.presets import AGENTS

# No stop rule is reliable in a dream, and the time limit of a dream is no end of the task.
_PPO = PPOConfig(stop="none", time_limit="bootstrap")
# On the real pendulum half as many copies, or a discount of 0.9 as in Stable-Baselines3's tuned settings, do no worse
# (experiments/one_shot_world_model/pendulum_ablation.py).
_SWING = replace(
    _PPO,
    discount=0.95,
    num_envs=32,
    rollout_length=64,
    num_minibatches=16,
    normalize_observations=True,
)
_REACH = replace(
    _PPO,
    learning_rate=3e-4,
    discount=0.95,
    num_envs=32,
    rollout_length=50,
    num_minibatches=16,
    max_steps=400_000,
    normalize_observations=True,
    action_std=0.5,
)


@dataclass(frozen=True)
class DreamPreset:
    """The settings of a task's dreams.

    Attributes:
        ppo: PPO's settings in the dream.
        about: what it is, in a few words.
        strategy: how the actions of a context are chosen.
        episode_cap: context episodes are cut after so many steps; None leaves it to the task.
        dream_steps: time limit of a dreamt episode; None is the task's own.
        post_failure_steps: see ``worldmodel.context.action_strategies.Collection``.
        pessimism: standard deviations of the reward that a dreamt step costs.
    """

    ppo: PPOConfig
    about: str
    strategy: Literal["held", "random"] = "held"
    episode_cap: int | None = None
    dream_steps: int | None = None
    post_failure_steps: int = 0
    pessimism: float = 0.0


PRESETS: dict[str, DreamPreset] = {
    "GridWorld": DreamPreset(
        replace(
            _PPO,
            num_envs=16,
            rollout_length=64,
            max_steps=100_000,
            normalize_observations=True,
        ),
        "reach the last column, not the ring",
        # Now and then a context never shows a corner, a reward is dreamt there, and an agent runs into it again and
        # again. Without pessimism 3 of 20 seeds ended below 5.2 (two of them at -26), with it none did.
        pessimism=0.5,
    ),
    "SimpleEnv": DreamPreset(replace(_SWING, discount=0.9, num_envs=16, num_minibatches=8), "stay at zero"),
    # The reward is always 1 until the pole falls: only rows from after a fall tell what it depends on.
    "CartPole-v0": DreamPreset(replace(_PPO, max_steps=100_000), "balance a pole", post_failure_steps=4),
    "MountainCar-v0": DreamPreset(
        replace(
            _PPO,
            num_envs=64,
            rollout_length=128,
            num_minibatches=16,
            max_steps=1_000_000,
            normalize_observations=True,
            entropy_coefficient=0.01,
        ),
        "swing a car out of a valley",
    ),
    "Pendulum-v1": DreamPreset(_SWING, "swing a pole up"),
    # Held torques press the arm against the limit of its joint, where they show little of how it moves.
    "Reacher-v5": DreamPreset(_REACH, "gymnasium (MuJoCo): reach a point with an arm of two links", "random"),
    # Without a cap, 1,000 real steps would be a single episode, with a single place of the goal.
    "brax/reacher": DreamPreset(_REACH, "the same in brax", "random", episode_cap=50, dream_steps=50),
}


ANY = DreamPreset(_SWING, "any other task, ours or gymnasium's; not tuned")


def preset(task: str | None) -> DreamPreset:
    """Return the settings of a task, or those for any other task or a file of transitions (None)."""
    return PRESETS.get(task or "", ANY)


def dreaming_agent(name: str, task: str | None, max_steps: int | None) -> AgentConfig:
    """Return an agent's settings in the dream of a task.

    PPO has a preset for each task. Other agents have their usual settings, but train for as long as PPO would.

    Args:
        name: a key of ``agents.presets.AGENTS``.
        task: id of the task, or None.
        max_steps: training steps in place of those of the settings.
    """
    ppo = preset(task).ppo
    steps = max_steps or ppo.max_steps
    if name == "ppo":
        return replace(ppo, max_steps=steps)
    agent = AGENTS.find(name)
    agent = agent.with_room(min(agent.buffer_size, steps))
    return replace(agent, stop="none", max_steps=steps, max_episodes=1_000_000)
