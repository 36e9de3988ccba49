"""What every proxy of a real task shares: its actions, and the proxy interface."""

from functools import cached_property
from typing import Any

import chex
import jax
from gymnax.environments import environment

from synthenv.core.errors import UserError


class AroundTask(environment.Environment):
    """A proxy that knows its real task; subclasses add networks and transitions."""

    def __init__(self, real_env: Any, real_params: Any, config: Any):
        super().__init__()
        self.real_env, self.real_params, self.config = real_env, real_params, config

    def init_params(self, key: jax.Array) -> Any:
        """Draw fresh networks, PyTorch style."""
        raise NotImplementedError

    def env_params(self, proxy_params: Any, discount: Any = 0.99) -> Any:
        """Put evolved weights, and the discount of the agent in training, where the environment finds them."""
        raise NotImplementedError

    def check_weights(self, proxy_params: Any) -> None:
        """Check that weights fit this proxy.

        Raises:
            AssertionError: they have another structure or shape than ``init_params`` draws.
        """
        chex.assert_trees_all_equal_shapes(proxy_params, self._weight_shapes)

    @cached_property
    def _weight_shapes(self) -> Any:
        return jax.eval_shape(lambda: self.init_params(jax.random.key(0)))

    @property
    def default_params(self) -> Any:
        """Return params without weights, which ``reset`` and ``step`` refuse.

        Some loops evaluate them whatever params they are given.
        """
        raise NotImplementedError

    @property
    def num_actions(self) -> int:
        """Return the number of actions of the real task."""
        return self.real_env.num_actions

    @property
    def name(self) -> str:
        """Return the name of the class and of the task."""
        return f"{type(self).__name__}-{self.real_env.name}"

    def action_space(self, params: Any = None) -> Any:
        """Return the action space of the real task."""
        return self.real_env.action_space(self.real_params)


def held(params: Any, weights: str) -> Any:
    """Return the weights that params hold in the field of this name.

    Raises:
        UserError: they hold none. Networks drawn at random instead would teach nothing, and nobody would notice.
    """
    found = getattr(params, weights, None)
    if found is None:
        raise UserError(
            "these params hold no evolved weights: pass the params that came with the environment"
            " (env, params = synthenv.make(...)) to reset and step, or env.env_params(weights)"
        )
    return found
