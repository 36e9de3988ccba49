"""Compiled programs of an agent, a training ground and a task.

One program per shape bucket, built on first use and kept for the life of the process, so that no generation after
the first compiles anything (``num_traces`` counts, and a test holds it to that).
"""

import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from synthenv.agents import registry as agents_by_name
from synthenv.agents.config import AgentConfig
from synthenv.agents.fits import check_fits
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import costs, sample
from synthenv.envs import registry
from synthenv.envs.action_repeat import ActionRepeat
from synthenv.envs.registry import EnvSpec
from synthenv.outer.bilevel import Outcome, Trials
from synthenv.outer.objectives import Objective, max_reward
from synthenv.outer.population import Workload, serve
from synthenv.outer.trial import TrainingGround, TrialResult, TrialTask, make_trials

PyTree = Any


MOST_SLOTS = 4096  # members that an accelerator steps together; its memory may allow fewer


def memory_of_device() -> int | None:
    """Return the bytes that programs may use on an accelerator; None where it does not say."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


class TrialRunner:
    """Trains and tests agents of one config in one training ground.

    Args:
        agent: the agents' config.
        ground: where they train.
        spec: the real task they are tested on.
        num_test_episodes: greedy episodes per agent.
        objective: turns a training and its test into a score.
        shapes: shapes of network from ``few_shapes`` that the agents take by turns; None draws one for each.
        keep: whether results hold the policies that were learnt, which all have to be of one shape then.
    """

    def __init__(
        self,
        agent: AgentConfig,
        ground: TrainingGround,
        spec: EnvSpec,
        num_test_episodes: int,
        objective: Objective = max_reward,
        shapes: dict[str, np.ndarray] | None = None,
        keep: bool = False,
    ):
        if agent.action_repeat > 1:
            ground = ground._replace(env=ActionRepeat(ground.env, agent.action_repeat))
            spec = spec._replace(env=ActionRepeat(spec.env, agent.action_repeat))
        self.agent, self.ground, self.spec = agent, ground, spec
        self.num_test_episodes, self.objective = num_test_episodes, objective
        self.shapes, self.keep = shapes, keep
        self.on_cpu = jax.default_backend() == "cpu"
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = max(1, cores // jax.local_device_count()) if self.on_cpu else 1
        self.num_traces: Counter[Bucket] = Counter()
        self._programs: dict[Bucket, Callable[[TrialTask], TrialResult]] = {}
        self._lock = threading.Lock()

    def program(self, bucket: Bucket) -> Callable[[TrialTask], TrialResult]:
        """Return the jitted program of a bucket."""
        with self._lock:
            if bucket not in self._programs:
                self._programs[bucket] = self._build(bucket)
            return self._programs[bucket]

    def _build(self, bucket: Bucket) -> Callable[[TrialTask], TrialResult]:
        space = self.spec.env.action_space(self.spec.env_params)
        trials = make_trials(
            agents_by_name.make(self.agent, bucket, space, self.spec),
            self.ground,
            self.spec,
            self.num_test_episodes,
            width=1 if self.on_cpu else MOST_SLOTS,
            objective=self.objective,
            memory=None if self.on_cpu else memory_of_device(),
            keep=self.keep,
        )

        def counted(tasks: TrialTask) -> TrialResult:
            self.num_traces[bucket] += 1
            return trials(tasks)

        compiled, lock, warm = jax.jit(counted), threading.Lock(), threading.Event()

        def program(tasks: TrialTask) -> TrialResult:
            if warm.is_set():
                return compiled(tasks)
            with lock:  # two threads that meet an uncompiled program would both compile it
                results = compiled(tasks)
                warm.set()
            return results

        return program

    def run(self, key: jax.Array, proxies: np.ndarray, agents: np.ndarray, num_agents: int) -> TrialResult:
        """Train and test ``len(agents)`` agents; see ``outer.bilevel.Trials`` for the arguments."""
        return self.serve(key, proxies, agents, num_agents)[0]

    def serve(
        self, key: jax.Array, proxies: np.ndarray, agents: np.ndarray, num_agents: int
    ) -> tuple[TrialResult, float]:
        """Train and test as ``run`` does; return the share of the workers' time that advanced a training, too."""
        key_hyperparams, key_seeds = jax.random.split(key)
        hyperparams, buckets = sample(
            key_hyperparams, self.agent, self.spec.solved_return, num_agents, self.on_cpu, self.shapes
        )
        seeds = np.asarray(jax.random.key_data(jax.random.split(key_seeds, num_agents)))
        expected = costs(hyperparams, buckets, self.spec.env.observation_space(self.spec.env_params).shape[0])
        tasks = TrialTask(
            key_data=seeds[agents],
            proxy=np.asarray(proxies, np.float32),
            hyperparams=jax.tree.map(lambda x: x[agents], hyperparams),
        )
        workload = Workload(tasks, [buckets[i] for i in agents], expected[agents])
        with agents_by_name.blamed(self.agent):
            served = serve(
                self.program,
                workload,
                group_size=1 if self.on_cpu else -(-len(agents) // jax.device_count()),
                workers_per_device=self.workers,
            )
        useful = served.results.useful_steps.sum() / served.results.slot_steps.sum()
        return served.results, served.busy_share * float(useful)

    def __call__(self, key: jax.Array, trials: Trials) -> Outcome:
        """Run the trials of one generation."""
        results, busy_share = self.serve(key, trials.proxies, trials.agents, trials.num_agents)
        return Outcome(
            results.score, results.returns.mean(axis=1), results.num_steps, results.num_episodes, busy_share
        )


def proxy_ground(
    proxy: Any, proxy_params: PyTree
) -> tuple[TrainingGround, np.ndarray, Callable[[jax.Array], PyTree]]:
    """Make a proxy a training ground.

    Returns:
        the ground, the flat weights [D] of ``proxy_params``, and the function from flat weights to params.
    """
    flat, unravel = ravel_pytree(proxy_params)
    ground = TrainingGround(proxy, lambda weights, discount: proxy.env_params(unravel(weights), discount))
    return ground, np.asarray(flat), unravel


def real_ground(spec: EnvSpec) -> TrainingGround:
    """Make the real task a training ground, which takes no weights (D = 0)."""
    return TrainingGround(spec.env, lambda weights, discount: spec.env_params)


def task_for(agent: AgentConfig, name: str) -> EnvSpec:
    """Find a task by name that the agent can learn.

    Raises:
        UserError: if the name is unknown, or the task's actions or observations are not the agent's.
    """
    spec = registry.make(name)
    check_fits(agent, name, spec.kind)
    return spec


def zeros(num: int) -> np.ndarray:
    """Return the weights of a training ground that takes none, [num, 0]."""
    return np.zeros((num, 0), np.float32)
