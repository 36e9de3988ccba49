"""From an agent's config to its learner."""

import contextlib
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthenv.agents.config import AgentConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.core.errors import Told, UserError, told_of
from synthenv.core.traced import traced_struct
from synthenv.core.types import Agent
from synthenv.envs.registry import EnvSpec


def hyperparams_class(config: AgentConfig) -> Any:
    """Return the struct of what may differ between agents of one program: traced fields and the solved threshold."""
    return traced_struct(type(config), "solved_return")


_OURS = Path(__file__).parents[1]


@contextlib.contextmanager
def blamed(config: AgentConfig) -> Iterator[None]:
    """Note on an exception which agent of a user's raised it, and the line in its file that was the last to run.

    Most mistakes show while JAX traces the agent. Of those that JAX finds after a function of it has returned, such as
    a state of another shape, the line is that of the config's ``make``.
    """
    try:
        yield
    except Exception as error:
        code = _code_of_user(config)
        if code is not None and not isinstance(error, UserError) and told_of(error) is None:
            file, frames = code.co_filename, traceback.extract_tb(error.__traceback__)
            line = next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)
            what = " ".join(f"{type(error).__name__}: {error}".split())
            place = f"{file}, line {line or code.co_firstlineno}"
            error.add_note(Told(f"the agent {config.full_name!r} failed at {place}: {what}"))
        raise


def _code_of_user(config: AgentConfig) -> types.CodeType | None:
    """What makes an agent of a user's; None of ours."""
    code = getattr(type(config).make, "__code__", None)
    return None if code is None or _OURS in Path(code.co_filename).parents else code


def make(config: AgentConfig, bucket: Bucket, action_space: Any, task: EnvSpec | None = None) -> Agent:
    """Build an agent.

    Args:
        config: what it is.
        bucket: the static shape of its networks and batches.
        action_space: of the environments it trains in.
        task: the real task, where it is tested while it trains; only if ``config.test_episodes`` is above 0.
    """
    with blamed(config):
        agent = config.make(bucket, action_space, task if config.test_episodes else None)
    if _code_of_user(config) is None:
        return agent
    functions = ("init", "step", "finished", "result", "act")
    return agent._replace(**{name: blamed(config)(getattr(agent, name)) for name in functions})
