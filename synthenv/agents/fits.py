"""Which agents can learn which tasks."""

from synthenv.agents.config import AgentConfig
from synthenv.agents.presets import AGENTS
from synthenv.core.errors import UserError
from synthenv.envs import tasks

# The agent that learns a task where none is named, by the kind of its actions and observations.
BY_KIND = {"table": "q_learning", "discrete": "ddqn", "continuous": "td3"}


def check_fits(agent: AgentConfig, name: str, kind: str) -> None:
    """Check that an agent can learn a task of this kind: table, discrete or continuous.

    Raises:
        UserError: it cannot; the message names agents that can.
    """
    if _fits(agent, kind):
        return
    able = [known for known, other in AGENTS.items() if _fits(other, kind) and other.bare() == other]
    choose = f"choose another --agent, such as {', '.join(able)}"
    has = "continuous" if kind == "continuous" else "discrete"
    if has not in agent.actions:
        needs = " or ".join(agent.actions)
        raise UserError(f"{agent.name} needs {needs} actions, but {name} has {has} ones: {choose}")
    raise UserError(
        f"{agent.name} needs a table's worth of observations, but {name} has real-valued ones: {choose}"
    )


def _fits(agent: AgentConfig, kind: str) -> bool:
    if agent.needs_table:
        return kind == "table"
    return ("continuous" if kind == "continuous" else "discrete") in agent.actions


def fitting_agent(name: str) -> str:
    """Name the agent for a task where none is named: Q-learning in tables, TD3 for continuous actions, else DDQN."""
    return BY_KIND[tasks.kind_of(name)]
