"""One training inside a dream, in chunks between which the policy is tested, and the controls that such tests need.

The agents' own tests on the way tell neither how many real steps they took nor which policy did best, and they play
compiled tasks only. So the host owns the loop here, for every agent and every kind of task alike.

Picking the best of many tested policies rewards luck, even where nothing was learnt. The control therefore picks the
best of as many untrained policies by as many episodes.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.agents import registry as agents_by_name
from synthenv.agents.config import AgentConfig
from synthenv.agents.training.hyperparams import sample
from synthenv.core.types import EvalResult
from synthenv.envs.action_units import Actions
from synthenv.runs.oswm.run.real_tasks import PolicyAct, RealTask
from synthenv.worldmodel.context.action_strategies import Act

PyTree = Any
Test = Callable[[jax.Array, PyTree], EvalResult]  # (key, params) -> returns and lengths of some test episodes
Tell = Callable[[int, float], None]  # training steps so far, mean return of the test after them


class SeedKeys(NamedTuple):
    """Random keys of one seed by use; equal seeds give equal contexts, starts and tests, whichever agent learns."""

    context: jax.Array
    train: jax.Array
    tests: jax.Array
    untrained: jax.Array
    judge: jax.Array
    held_out: jax.Array


def keys_of_seed(root: int, seed: int) -> SeedKeys:
    """Return the keys of the ``seed``-th seed of a run with the seed ``root``."""
    return SeedKeys(*jax.random.split(jax.random.fold_in(jax.random.key(root), seed), 6))


class Picked(NamedTuple):
    """Policies that were tested, and the best of them.

    Attributes:
        best: params of the policy with the highest mean return; among equals the last, which has learnt longest.
        returns: mean return of each test. [K]
        num_real_steps: real steps of all tests.
    """

    best: PyTree
    returns: np.ndarray
    num_real_steps: int


class Learned(NamedTuple):
    """What one training leaves behind.

    Attributes:
        params: params of the policy at the end.
        picked: the tests on the way; the last one tests the policy at the end.
        steps: training steps before each test. [K]
        seconds: time of training, including compilation of its steps but neither tests nor the making of the agent.
    """

    params: PyTree
    picked: Picked
    steps: np.ndarray
    seconds: float


class Trainer:
    """Agents of one config bound to compiled pieces: all trainings of a run go through the same programs.

    Args:
        config: the agents.
        env: where they train; its ``EnvParams`` are given later.
        env_params: any parameters that the spaces can be read off.
    """

    def __init__(self, config: AgentConfig, env: Any, env_params: Any = None):
        many, buckets = sample(jax.random.key(0), config, float("inf"), 1)  # nothing varies: no draws
        hyperparams = jax.tree.map(lambda leaf: leaf[0], many)
        agent = agents_by_name.make(config, buckets[0], env.action_space(env_params))
        self.config = config
        self.act: PolicyAct = agent.act

        @jax.jit
        def begin(key: jax.Array, env_params: Any) -> PyTree:
            return agent.init(key, env, env_params, hyperparams)

        @jax.jit
        def advance(state: PyTree, env_params: Any, until: jax.Array) -> tuple[PyTree, jax.Array, jax.Array]:
            state = jax.lax.while_loop(
                lambda state: ~agent.finished(state) & (agent.result(state).num_steps < until),
                lambda state: agent.step(state, env, env_params, hyperparams),
                state,
            )
            return state, agent.result(state).num_steps, agent.finished(state)

        self.begin: Any = begin
        self.advance: Any = advance
        self.policy: Callable[[PyTree], PyTree] = lambda state: agent.result(state).params

    def train(self, key: jax.Array, env_params: Any) -> tuple[PyTree, int]:
        """Train to the end without a test; return the policy and the steps that it took."""
        state, steps, _ = self.advance(self.begin(key, env_params), env_params, jnp.int32(2**31 - 1))
        return self.policy(state), int(steps)


def learn(
    trainer: Trainer,
    key: jax.Array,
    key_tests: jax.Array,
    env_params: Any,
    test: Test,
    num_tests: int,
    tell: Tell = lambda steps, mean: None,
) -> Learned:
    """Train one fresh agent and test its policy at equal distances, the last time at the end.

    There are fewer tests where the agent learns in fewer iterations than that, or stops early.

    Args:
        trainer: the agents.
        key: random key of the training.
        key_tests: random key of the tests, on which the training does not depend.
        env_params: the dream's.
        test: plays a policy.
        num_tests: K.
        tell: called after every test.
    """
    state, steps, finished, seconds = trainer.begin(key, env_params), 0, False, 0.0
    tested, lengths, before = [], 0, []
    best: tuple[float, PyTree] = (-np.inf, trainer.policy(state))
    for until in np.ceil(np.linspace(0, trainer.config.max_steps, num_tests + 1)[1:]):
        if finished or steps >= until:
            continue
        start = time.perf_counter()
        state, num_steps, is_over = trainer.advance(state, env_params, jnp.int32(until))
        steps, finished = int(num_steps), bool(is_over)  # waits for the device
        seconds += time.perf_counter() - start
        mean, length = _tested(test, jax.random.fold_in(key_tests, len(tested)), trainer.policy(state))
        if mean >= best[0]:
            best = (mean, trainer.policy(state))
        tested.append(mean)
        before.append(steps)
        lengths += length
        tell(steps, mean)
    picked = Picked(best[1], np.array(tested), lengths)
    return Learned(trainer.policy(state), picked, np.array(before), seconds)


def pick_untrained(
    trainer: Trainer, key: jax.Array, key_tests: jax.Array, env_params: Any, test: Test, num_tests: int
) -> Picked:
    """Return the best of ``num_tests`` untrained policies, each of which is tested once.

    Args:
        trainer: the agents.
        key: random key of the policies.
        key_tests: random key of the tests.
        env_params: the dream's.
        test: plays a policy.
        num_tests: K.
    """
    best: tuple[float, PyTree] = (-np.inf, None)
    tested, lengths = [], 0
    for index in range(num_tests):
        policy = trainer.policy(trainer.begin(jax.random.fold_in(key, index), env_params))
        mean, length = _tested(test, jax.random.fold_in(key_tests, index), policy)
        if mean >= best[0]:
            best = (mean, policy)
        tested.append(mean)
        lengths += length
    return Picked(best[1], np.array(tested), lengths)


def _tested(test: Test, key: jax.Array, params: PyTree) -> tuple[float, int]:
    """Return the mean return of a test, where NaN is worst, and its real steps."""
    result = test(key, params)
    mean = float(np.mean(result.returns))
    return (-np.inf if np.isnan(mean) else mean), int(np.sum(result.lengths))


def random_act(actions: Actions) -> PolicyAct:
    """Return the policy of uniform actions, which has no params."""

    def act(key: jax.Array, params: None, obs: jax.Array) -> jax.Array:
        return actions.from_uniform(jax.random.uniform(key, (actions.width,)))

    return act


def zero_act(actions: Actions) -> PolicyAct:
    """Return the policy of always 0, which is the first action where there is a finite number of them."""

    def act(key: jax.Array, params: None, obs: jax.Array) -> jax.Array:
        return actions.zero()

    return act


def train_expert(key: jax.Array, trainer: Trainer, task: RealTask) -> tuple[Act, int]:
    """Train an agent on the real task; return it as a policy of ``collect``, and the real steps that it took."""
    assert task.spec is not None
    policy, num_steps = trainer.train(key, task.spec.env_params)
    return lambda key, obs: trainer.act(key, policy, obs), num_steps
