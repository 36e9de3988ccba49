"""Set up what the seeds of an ``oswm run`` share: a real task or a file, a world model, and compiled agents."""

from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.agents.fits import check_fits
from synthenv.core.errors import UserError
from synthenv.core.types import EvalResult
from synthenv.envs.action_units import Actions
from synthenv.runs.oswm.run import real_tasks
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.oswm.run.logged_context import context_of_file
from synthenv.runs.oswm.run.presets import dreaming_agent, preset
from synthenv.runs.oswm.run.real_tasks import PolicyAct, play_compiled
from synthenv.runs.oswm.run.training import Trainer, random_act, train_expert
from synthenv.worldmodel.context.action_strategies import STRATEGIES, Act, Collection
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.dream.env import EnvParams, WorldModelEnv, env_params
from synthenv.worldmodel.dream.known_ends import KNOWN, Termination
from synthenv.worldmodel.experts import world_model as experts_model
from synthenv.worldmodel.regression import end_limits


class About(NamedTuple):
    """What a dream has to know of its task."""

    name: str
    obs_size: int
    actions: Actions


class Dreams:
    """What all seeds of a run share: task, world model, environment and compiled agents.

    Raises:
        UserError: a name is unknown, the file is damaged, or task, file and agent do not fit each other.
    """

    def __init__(self, command: OswmRun):
        command.check()
        self.command, self.preset = command, preset(command.task)
        self.strategy = command.strategy or self.preset.strategy
        self.task = (
            None if command.task is None else real_tasks.real_task(command.task, command.episode_steps)
        )
        self.model = real_tasks.world_model(command.model)
        self.agent = dreaming_agent(command.agent, command.task, command.max_steps)
        self.logged: Context | None = None  # the shown rows of a file
        self.log: Context | None = None  # all rows of the file
        self.notes: list[str] = []  # what the user should know before it begins
        self.max_steps = 0
        if command.context_file is not None:
            logged = context_of_file(command.context_file, command.context, self.task, command.episode_steps)
            self.logged, self.log, self.notes = logged.context, logged.log, logged.notices
            self.max_steps = logged.longest_episode
        real_tasks.check_memory(self.model, self._num_asked())
        if self.task is not None:
            self.max_steps = min(self.preset.dream_steps or self.task.max_steps, self.task.max_steps)
        about = self._about()
        self.name, self.actions = about.name, about.actions
        check_fits(self.agent, self.name, "discrete" if self.actions.discrete else "continuous")
        self.termination = termination_of(command)
        self._check_ends()
        self.env = WorldModelEnv(
            name=f"dream of {self.name}",
            predict=self.model.predict,
            termination=self.termination,
            actions=self.actions,
            obs_size=about.obs_size,
        )
        self.trainer = Trainer(self.agent, self.env)
        self.random = random_act(self.actions)
        self.expert = self._expert_trainer()

    def _about(self) -> About:
        if self.task is not None:
            return About(self.task.name, self.task.obs_size, self.task.actions)
        assert self.logged is not None  # command.check() has seen to it
        return About(self.logged.task, self.logged.obs_size, self.logged.actions)

    def _num_asked(self) -> int:
        """Return how many rows the world model compares: the distinct rows of a file, or as many as are collected."""
        if self.logged is None:
            return self.command.context
        steps = self.logged.transitions
        asked = np.column_stack([steps.obs, steps.action])
        return len(np.unique(asked, axis=0))

    def _check_ends(self) -> None:
        """Refuse to dream of episodes that nothing ever ends."""
        if self.termination is not None or self.model.knows_ends:
            return
        if self.logged is None or self.logged.transitions.terminated.any():
            raise UserError(
                f"--model {self.command.model} does not learn where episodes end: choose experts or small, or pass"
                " --termination known with a task whose rule is known"
            )

    def _expert_trainer(self) -> Trainer | None:
        """Return the trainer of the expert that collects the context, if the strategy needs one."""
        if self.logged is not None or not any(STRATEGIES[self.strategy].expert_share):
            return None
        assert self.task is not None
        if self.task.spec is None:
            raise UserError(
                f"the strategy {self.strategy} trains its expert on the real task, which takes a compiled one,"
                f" and {self.name} is none: choose held, random or repeat, or pass --context-file"
            )
        return Trainer(dreaming_agent("ppo", self.name, None), self.task.spec.env, self.task.spec.env_params)

    def collection(self, strategy: str, num_steps: int) -> Collection:
        """Return what to collect from the task."""
        caps = [cap for cap in (self.preset.episode_cap, self.command.episode_steps) if cap is not None]
        after = self.preset.post_failure_steps
        return Collection(strategy, num_steps, episode_cap=min(caps, default=None), post_failure_steps=after)

    def resolved(self) -> dict[str, Any]:
        """Return what was left to the task's preset: strategy (None for a file), termination and pessimism."""
        return {
            "strategy": self.strategy if self.logged is None else None,
            "termination": "learned" if self.termination is None else "known",
            "pessimism": self.preset.pessimism if self.command.pessimism is None else self.command.pessimism,
        }

    def dream(self, cache: Any, context: Context) -> EnvParams:
        """Return the parameters of the environment for an encoded context.

        All rows of a file, shown or not, tell where episodes end and begin and which observations there may be.

        Raises:
            UserError: the model cannot say where episodes end.
        """
        if isinstance(cache, experts_model.Cache) and (found := cache.limits) is not None:
            if self.log is not None:
                steps = self.log.transitions
                found = end_limits.find(np.asarray(steps.next_obs), np.asarray(steps.terminated))
            if self.termination is None:
                end_limits.check(found)
            cache = cache._replace(limits=found)
        return env_params(cache, self.log or context, self.max_steps, self.resolved()["pessimism"])

    def play(
        self, key: jax.Array, act: PolicyAct, params: Any, num_episodes: int, dream: EnvParams
    ) -> EvalResult:
        """Play test episodes on the real task, or in the dream if there is none.

        Args:
            key: random key.
            act: (key, params, obs [d]) -> action.
            params: the policy's.
            num_episodes: E.
            dream: parameters of the dreamt environment.

        Returns:
            returns and lengths, [E] each.
        """
        if self.task is None:
            return self.play_dreamt(key, act, params, num_episodes, dream)
        return self.task.play(key, act, params, num_episodes)

    def play_dreamt(
        self, key: jax.Array, act: PolicyAct, params: Any, num_episodes: int, dream: EnvParams
    ) -> EvalResult:
        """Play test episodes in the dream.

        Args:
            key: random key.
            act: (key, params, obs [d]) -> action.
            params: the policy's.
            num_episodes: E.
            dream: parameters of the dreamt environment.

        Returns:
            returns and lengths, [E] each.
        """
        return play_compiled(key, self.env, dream, act, params, num_episodes, self.max_steps)


def termination_of(command: OswmRun) -> Termination | None:
    """Return the rule by which dreamt episodes end; None leaves it to the world model.

    Raises:
        UserError: the known rule is asked for, and there is none.
    """
    known = KNOWN.get(command.task or "")
    if command.termination == "known" and known is None:
        raise UserError("--termination known needs a task whose rule is known: pass --task, or learned")
    return None if command.termination == "learned" else known


def context_of_seed(dreams: Dreams, key: jax.Array) -> tuple[Context, int]:
    """Collect the context, training an expert first if the strategy needs one; or take the file's.

    Returns:
        the context, and the real steps that its expert took.
    """
    if dreams.logged is not None:
        return dreams.logged, 0
    assert dreams.task is not None
    key_expert, key_steps = jax.random.split(key)
    act: Act | None = None
    expert_steps = 0
    if dreams.expert is not None:
        act, expert_steps = train_expert(key_expert, dreams.expert, dreams.task)
    collection = dreams.collection(dreams.strategy, dreams.command.context)
    return dreams.task.collect(key_steps, collection, act), expert_steps
