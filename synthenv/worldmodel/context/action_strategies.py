"""The choice of actions for a context: five strategies of the One-Shot World Model paper and one of ours.

    random    a uniform action in every step
    repeat    a uniform action, held for 4 steps
    held      a uniform action, held for 1 to ``max_hold`` steps, log-uniformly: without it slow tasks show little
    expert    what a given policy does
    p-expert  in every step with even odds the expert's action or a uniform one
    mixture   a third of random, one of p-expert, one of expert

Held actions are drawn anew where an episode begins. "repeat" is 4 as in the paper's code; its text says 3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core.errors import UserError
from synthenv.envs.action_units import Actions

Act = Callable[[jax.Array, Any], Any]  # (key, obs [d]) -> action


@dataclass(frozen=True)
class Collection:
    """What to collect.

    Attributes:
        strategy: one of ``STRATEGIES``.
        num_steps: steps to take and keep, C.
        max_hold: longest hold of ``held``, in steps.
        episode_cap: cut episodes after so many steps if the task does not do so before; None leaves it to the task. The
            paper's code has 50.
        post_failure_steps: go on for so many steps after a termination before the next episode. The paper's code goes
            on for 4 on CartPole-v0, which pays 0 there and always 1 elsewhere, so that only these rows tell what the
            reward depends on.
        num_resets: how many first observations to take from resets, R. These cost no steps.
    """

    strategy: str = "random"
    num_steps: int = 1000
    max_hold: int = 40
    episode_cap: int | None = None
    post_failure_steps: int = 0
    num_resets: int = 1000


class Strategy(NamedTuple):
    """One row of the table above.

    Attributes:
        hold: steps that a drawn action is held at least and at most; None stands for ``max_hold``.
        expert_share: odds of the expert's action in the first, second and last third of the steps.
    """

    hold: tuple[int, int | None] = (1, 1)
    expert_share: tuple[float, float, float] = (0.0, 0.0, 0.0)


STRATEGIES = {
    "random": Strategy(),
    "repeat": Strategy(hold=(4, 4)),
    "held": Strategy(hold=(1, None)),
    "expert": Strategy(expert_share=(1.0, 1.0, 1.0)),
    "p-expert": Strategy(expert_share=(0.5, 0.5, 0.5)),
    "mixture": Strategy(expert_share=(0.0, 0.5, 1.0)),
}


class Held(NamedTuple):
    """The drawn action and how many more steps it is to be held, int32 []."""

    action: jax.Array
    steps_left: jax.Array


def nothing_held(actions: Actions) -> Held:
    """Return what is held before the first step."""
    return Held(actions.zero(), jnp.int32(0))


def propose(
    key: jax.Array, collection: Collection, actions: Actions, held: Held, begins: Any, step: Any
) -> tuple[jax.Array, Held]:
    """Say who acts in a step, and what the random actor would do.

    Args:
        key: consumed whole.
        collection: static.
        actions: static.
        held: what is being held.
        begins: whether an episode begins with this step, bool [].
        step: number of this step, 0 to ``num_steps`` - 1, int32 [].

    Returns:
        whether the expert acts, bool [], and the random actor's action with the steps that it is still to be held.
    """
    strategy = STRATEGIES[collection.strategy]
    shortest, longest = strategy.hold
    ratio = ((longest or collection.max_hold) + 1) / shortest
    draws = jax.random.uniform(key, (2 + actions.width,))  # all at once: every call takes long to compile
    hold = (shortest * ratio ** draws[0]).astype(jnp.int32)  # log-uniform: as many short holds as long ones
    redraw = jnp.asarray(begins) | (held.steps_left == 0)
    action = jnp.where(redraw, actions.from_uniform(draws[2:]), held.action)
    steps_left = jnp.where(redraw, hold, held.steps_left) - 1
    share = jnp.array(strategy.expert_share)[3 * step // collection.num_steps]
    return draws[1] < share, Held(action, steps_left)


def check_collection(collection: Collection, act: Act | None) -> None:
    """Check that a collection can be carried out.

    Raises:
        UserError: the strategy is unknown or lacks its expert, or a number is out of its range.
    """
    strategy = STRATEGIES.get(collection.strategy)
    if strategy is None:
        known = ", ".join(STRATEGIES)
        raise UserError(f"unknown context strategy {collection.strategy!r}: choose from {known}")
    if any(strategy.expert_share) and act is None:
        raise UserError(
            f"the context strategy {collection.strategy!r} needs an expert: pass one, or choose 'held'"
        )
    least = {"num_steps": 1, "max_hold": 1, "episode_cap": 1, "post_failure_steps": 0, "num_resets": 1}
    for name, low in least.items():
        value = getattr(collection, name)
        if value is not None and value < low:
            raise UserError(f"{name} is {value}: make it at least {low}")
