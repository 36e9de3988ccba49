"""The words that strangers share: transitions, results, and the interfaces of the rooms.

Axis letters, used in every shape comment of this code base:

    P population   S seeds   R runs   E episodes   T time   B batch   V views   D datasets   N pipelines
    C context

Three words that never mix: ``config`` is static and hashable, ``hyperparams`` are traced arrays that may
differ between population members, ``params`` are weights.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

PyTree = Any


def brief(self: Any) -> str:
    """What a dataclass prints, in a line: of a field that holds arrays only how many numbers there are."""

    def shown(value: Any) -> str:
        sizes = [getattr(leaf, "size", 1) for leaf in jax.tree.leaves(value)]
        return f"<{sum(sizes):,} numbers>" if max(sizes, default=0) > 1 else repr(value)

    fields = [f"{field.name}={shown(getattr(self, field.name))}" for field in dataclasses.fields(self)]
    return f"{type(self).__name__}({', '.join(fields)})"


class Transition(NamedTuple):
    """One interaction, or a batch of them along leading axes.

    ``next_obs`` is the observation *before* any automatic reset (gymnax 1.x: ``info["final_observation"]``).
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    next_obs: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Curve(NamedTuple):
    """Mean real test returns [K] after each of K training episodes, and the training steps used by then [K].

    Episodes that were not reached hold zeros. Agents that learn in iterations (``agents.training.on_policy``) are
    tested after each of these instead.
    """

    returns: jax.Array
    steps: jax.Array


class TrainResult(NamedTuple):
    """What is left of one training of one agent.

    Attributes:
        params: weights of the policy after the last gradient step.
        num_steps: environment steps used, warm-up episodes included. int32 [].
        num_episodes: finished training episodes. int32 [].
        stopped_early: whether an early-stop rule ended training before its bounds did. bool [].
        curve: tests on the way, if there were any.
    """

    params: PyTree
    num_steps: jax.Array
    num_episodes: jax.Array
    stopped_early: jax.Array
    curve: Curve | None = None


class EvalResult(NamedTuple):
    """Returns and lengths of test episodes, float32 [E] and int32 [E]."""

    returns: jax.Array
    lengths: jax.Array


class Agent(NamedTuple):
    """A learner as pure functions closed over a static config (optax style).

    Attributes:
        init: (key, env, env_params, hyperparams) -> training state.
        step: (state, env, env_params, hyperparams) -> state after one environment step, or after an iteration of an
            agent that steps several environments before it learns; leaves a finished training as it is.
        finished: state -> bool [].
        result: state -> TrainResult.
        act: (key, params, obs [obs]) -> action, as in a test; most agents are greedy there and need no key.
        stride: environment steps of one ``step``.
    """

    init: Callable[[jax.Array, Any, Any, Any], PyTree]
    step: Callable[[PyTree, Any, Any, Any], PyTree]
    finished: Callable[[PyTree], jax.Array]
    result: Callable[[PyTree], TrainResult]
    act: Callable[[jax.Array, PyTree, jax.Array], jax.Array]
    stride: int = 1

    def train(self, key: jax.Array, env: Any, env_params: Any, hyperparams: Any) -> TrainResult:
        """Train one fresh agent to its end: a real loop with real branches, for a single member on a CPU core.

        Pure; jit it where the loop is owned. Under ``vmap`` it would run until the slowest member ends, see
        ``outer.slots``.
        """
        return self.result(self.final_state(key, env, env_params, hyperparams))

    def final_state(self, key: jax.Array, env: Any, env_params: Any, hyperparams: Any) -> PyTree:
        """As ``train``, with all that the training holds at its end, such as the replay of those that have one."""
        return jax.lax.while_loop(
            lambda state: ~self.finished(state),
            lambda state: self.step(state, env, env_params, hyperparams),
            self.init(key, env, env_params, hyperparams),
        )


class Prediction(NamedTuple):
    """What a world model expects of one step.

    Attributes:
        next_obs: [d].
        reward: [].
        next_obs_std: how unsure it is of these. [d]
        reward_std: [].
        termination: probability that the episode ends here. []
    """

    next_obs: jax.Array
    reward: jax.Array
    next_obs_std: jax.Array
    reward_std: jax.Array
    termination: jax.Array


class WorldModel(NamedTuple):
    """A model of any task, told which one by a context of its transitions.

    Attributes:
        name: how tables call it.
        encode: (params, transitions [C], num_actions) -> cache; done once.
        predict: (cache, obs [d], action) -> Prediction; pure, vmap it over queries with the cache shared.
        params: its weights, None for models that have none.
        knows_ends: whether its predictions say where episodes end.
        bytes_per_pair: memory that ``encode`` takes for every pair of rows of a context, where it compares them all.
    """

    name: str
    encode: Callable[[PyTree, Transition, int | None], PyTree]
    predict: Callable[[PyTree, jax.Array, jax.Array], Prediction]
    params: PyTree = None
    knows_ends: bool = False
    bytes_per_pair: float = 0.0
