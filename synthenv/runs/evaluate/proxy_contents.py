"""The contents of proxies as numbers: states and rewards of synthetic environments, rewards of reward networks.

References:
    Ferreira et al. (2022), figures 4 and 8 (histograms of a synthetic environment) and 11 (rewards of reward networks
    in every state of a gridworld).
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.agents import registry as agents
from synthenv.agents.training.hyperparams import sample
from synthenv.agents.training.replay import unpack
from synthenv.core.errors import UserError
from synthenv.core.types import Agent, Transition
from synthenv.envs import gridworld
from synthenv.envs.action_repeat import ActionRepeat
from synthenv.envs.action_units import actions_of
from synthenv.envs.rollout import Act, rollout
from synthenv.envs.tasks import TASKS
from synthenv.proxies.reward_network import RewardNetwork, RewardParams, RewardState
from synthenv.proxies.synthetic_env import SyntheticBandit, SyntheticState
from synthenv.runs.statistics.distributions import Histogram, histogram
from synthenv.runs.training.evaluation import Scores
from synthenv.runs.training.places import Place

TRAINING, TESTING, RESPONSE = (
    "training in the SE",
    "testing on the real task",
    "the SE's response to the tests",
)
LEARNED, REAL = "learned reward", "real reward"


class Experience(NamedTuple):
    """What A agents met: next states and, in the last column, rewards.

    Attributes:
        training: what they met in the synthetic environment, as their replay holds it. [N, obs + 1]
        testing: what they met in their test episodes on the real task. [M, obs + 1]
        response: what the synthetic environment answers to the states and actions of these tests. [M, obs + 1]
        scores: the scores of the tests.
    """

    training: np.ndarray
    testing: np.ndarray
    response: np.ndarray
    scores: Scores


class PaidRewards(NamedTuple):
    """The test episodes of A agents: observations [M, obs], the learned and the real reward [M] of every decision.

    ``returns`` [A, E] are those of the real reward.
    """

    obs: np.ndarray
    learned: np.ndarray
    real: np.ndarray
    returns: np.ndarray


def dimensions(task: str, size: int) -> tuple[str, ...]:
    """Return names of the entries of an observation."""
    named = TASKS[task].observations if task in TASKS else ()
    return named or tuple(f"observation {i}" for i in range(size))


def experience(place: Place, num_agents: int, seed: int = 0, num_test_episodes: int = 10) -> Experience:
    """Train agents in synthetic environments, test them on the real task, and ask the former about the tests.

    Args:
        place: synthetic environments and the agents' schedule.
        num_agents: A, spread evenly over the environments.
        seed: randomness.
        num_test_episodes: E, greedy.

    Raises:
        UserError: if the agent keeps no replay, or the task's states are cells.
    """
    config, spec, env = place.agent, place.spec, place.ground.env
    if config.replayed_actions == "none":
        raise UserError(
            f"{config.name} keeps no replay to look into: choose --agent ddqn, dueling_ddqn or td3"
        )
    if spec.kind == "table":
        raise UserError(
            f"the states of {spec.name} are cells and have no histogram: choose an SE of another task"
        )
    agent, hyperparams = _agent_of(place)

    def member(key: jax.Array, weights: jax.Array) -> tuple[Any, ...]:
        env_params = place.ground.env_params(weights, hyperparams.discount)
        key_train, key_test, key_ask = jax.random.split(key, 3)
        state = agent.final_state(key_train, env, env_params, hyperparams)
        trained = agent.result(state)
        tests, played = play(
            key_test,
            spec.env,
            spec.env_params,
            lambda key, obs: agent.act(key, trained.params, obs),
            num_test_episodes,
            spec.max_steps,
        )
        answers = jax.vmap(jax.vmap(lambda obs, action: ask(key_ask, env, env_params, obs, action)))
        used = trained.num_steps, trained.num_episodes
        return state.replay, tests, played, answers(tests.obs, tests.action), used

    obs_size = int(np.prod(env.observation_space(None).shape))
    is_vector = config.replayed_actions == "vector"
    action_size = actions_of(env.action_space()).size if is_vector else None
    training, testing, response, returns, used = [], [], [], [], []
    for replay, tests, played, answers, steps in _each_agent(member, place, num_agents, seed):
        rows = unpack(replay.rows[: replay.size], obs_size, action_size)
        training.append(_beside(rows.next_obs, rows.reward))
        testing.append(_beside(tests.next_obs[played], tests.reward[played]))
        response.append(_beside(*(x[played] for x in answers)))
        returns.append(np.where(played, tests.reward, 0).sum(axis=1))
        used.append(steps)
    num_steps, num_episodes = np.array(used).T
    scores = Scores(np.array(returns), num_steps, num_episodes, np.arange(num_agents) % len(place.weights))
    return Experience(np.concatenate(training), np.concatenate(testing), np.concatenate(response), scores)


def ask(
    key: jax.Array, env: Any, env_params: Any, obs: jax.Array, action: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the next state and the reward that a synthetic environment gives for any state and action.

    Args:
        key: random key.
        env: a synthetic environment.
        env_params: its parameters.
        obs: the state. [obs]
        action: what is done there.
    """
    state = SyntheticState(time=jnp.int32(0), raw=obs.ravel())
    next_obs, _, reward, _, _ = env.step_env(key, state, action, env_params)
    return next_obs, reward


def play(
    key: jax.Array, env: Any, env_params: Any, act: Act, num_episodes: int, max_steps: int
) -> tuple[Transition, jax.Array]:
    """Play test episodes.

    Args:
        key: random key.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        act: the policy, (key, obs) -> action.
        num_episodes: E.
        max_steps: T.

    Returns:
        transitions [E, T], and which of them belong to the episode, bool [E, T]; the rest came after its end.
    """
    keys = jax.random.split(key, num_episodes)
    steps = jax.vmap(lambda key: rollout(key, env, env_params, act, max_steps))(keys)
    ended = (steps.terminated | steps.truncated).astype(jnp.int32)
    return steps, jnp.cumsum(ended, axis=1) == ended


def histograms(place: Place, met: Experience) -> list[Histogram]:
    """Count figure 4: every entry of the next state, and the reward, in training, in the tests and in the response.

    A bandit moves no state: its histograms are those of its contexts, which it does not answer with.
    """
    bandit = isinstance(place.ground.env, SyntheticBandit)
    names = dimensions(place.spec.name, met.testing.shape[1] - 1)
    series = {TRAINING: met.training, TESTING: met.testing, RESPONSE: met.response}
    states = {TRAINING: met.training, TESTING: met.testing} if bandit else series
    found = [
        histogram(f"{'' if bandit else 'next '}{name}", {label: x[:, i] for label, x in states.items()})
        for i, name in enumerate(names)
    ]
    return [*found, histogram("reward", {label: x[:, -1] for label, x in series.items()})]


def grid_rewards(place: Place) -> np.ndarray:
    """Return figure 11: what N reward networks of a gridworld pay for each action in each cell, [N, rows, columns, 4].

    The state is set and one step made, also in cells where an episode would have ended; the discount is that of the
    place's agent.
    """
    env, world = place.ground.env, place.ground.env.real_env

    def reward(weights: jax.Array, cell: jax.Array, action: jax.Array) -> jax.Array:
        real = gridworld.EnvState(cell=cell, time=jnp.int32(0))
        state = RewardState(time=jnp.int32(0), real=real, obs=world.get_obs(real))
        env_params = place.ground.env_params(weights, place.agent.discount)
        return env.step_env(jax.random.key(0), state, action, env_params)[2]

    of_cell = jax.vmap(reward, (None, None, 0))
    of_network = jax.vmap(jax.vmap(of_cell, (None, 0, None)), (0, None, None))
    rewards = jax.jit(of_network)(place.weights, jnp.arange(world.num_cells), jnp.arange(world.num_actions))
    return np.asarray(rewards).reshape(-1, world.num_rows, world.num_cols, world.num_actions)


class BothRewards(RewardNetwork):
    """A reward network that pays the learned and the real reward side by side, [2]."""

    def step_env(
        self, key: jax.Array, state: RewardState, action: jax.Array, params: RewardParams
    ) -> tuple[jax.Array, RewardState, jax.Array, jax.Array, dict[str, Any]]:
        """Make the same transition, and pay both rewards."""
        obs, state, reward, terminated, info = super().step_env(key, state, action, params)
        return obs, state, jnp.stack([reward, info["real_reward"]]), terminated, info


def paid_rewards(place: Place, num_agents: int, seed: int = 0, num_test_episodes: int = 10) -> PaidRewards:
    """Train agents in reward networks, and read both rewards along their real test episodes."""
    env, spec = place.ground.env, place.spec
    repeat = place.agent.action_repeat
    agent, hyperparams = _agent_of(place)
    both = ActionRepeat(BothRewards(env.real_env, env.real_params, env.config), repeat)

    def member(key: jax.Array, weights: jax.Array) -> tuple[Transition, jax.Array]:
        env_params = place.ground.env_params(weights, hyperparams.discount)
        key_train, key_test = jax.random.split(key)
        trained = agent.train(key_train, ActionRepeat(env, repeat), env_params, hyperparams)
        act = lambda key, obs: agent.act(key, trained.params, obs)  # noqa: E731
        return play(key_test, both, env_params, act, num_test_episodes, spec.max_steps)

    obs, rewards, returns = [], [], []
    for tests, played in _each_agent(member, place, num_agents, seed):
        obs.append(tests.obs[played])
        rewards.append(tests.reward[played])
        returns.append(np.where(played, tests.reward[..., 1], 0).sum(axis=1))
    learned, real = np.concatenate(rewards).T
    return PaidRewards(np.concatenate(obs), learned, real, np.array(returns))


def phi_map(place: Place, num: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map N reward networks, averaged, over a task's two observations: both axes [num], values [num, num]."""
    env, space = place.ground.env, place.spec.env.observation_space(place.spec.env_params)
    low, high = (np.broadcast_to(np.asarray(end), space.shape) for end in (space.low, space.high))
    x, y = (np.linspace(*ends, num) for ends in zip(low, high, strict=True))
    points = jnp.asarray(np.stack(np.meshgrid(x, y), axis=-1), jnp.float32)  # [y, x, 2]
    phi = jax.vmap(
        lambda weights: env.phi(place.ground.env_params(weights, place.agent.discount).net, points)
    )
    return x, y, np.asarray(phi(jnp.asarray(place.weights))).mean(axis=0)


def _agent_of(place: Place) -> tuple[Agent, Any]:
    """Return the agent of the place's schedule, and its hyperparameters."""
    config, spec = place.agent, place.spec
    if config.action_repeat > 1:
        spec = spec._replace(env=ActionRepeat(spec.env, config.action_repeat))
    hyperparams, (bucket,) = sample(jax.random.key(0), config, spec.solved_return, 1)
    agent = agents.make(config, bucket, spec.env.action_space(spec.env_params), spec)
    return agent, jax.tree.map(lambda x: x[0], hyperparams)


def _each_agent(member: Callable[..., Any], place: Place, num_agents: int, seed: int) -> Iterator[Any]:
    """Yield results of ``member(key, weights)``, agent by agent: one program, one replay in memory at a time."""
    program = jax.jit(member)
    # These keys are apart from those of a search, an evaluation and curves with this seed.
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2**31 - 4), num_agents)
    for i, key in enumerate(keys):
        yield jax.device_get(program(key, place.weights[i % len(place.weights)]))


def _beside(states: Any, rewards: Any) -> np.ndarray:
    """Return states [N, ...] flattened, with rewards [N] as the last column."""
    return np.column_stack([np.reshape(states, (len(states), -1)), rewards])
