"""Which agents can learn which tasks."""

from synthenv.agents.config import AgentConfig, TabularConfig
from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.envs.gridworld import GridWorld


def check_fits(agent: AgentConfig, name: str, discrete: bool, is_table: bool) -> None:
    """See that an agent can learn a task of such actions, whose observations are or are not those of a table.

    Raises:
        UserError: it cannot.
    """
    if agent.name == "td3" and discrete:
        raise UserError(
            f"td3 needs continuous actions, but {name} has discrete ones: choose td3_discrete, or a task such as"
            " Pendulum-v1"
        )
    if not discrete and agent.name not in ("td3", "ppo", "ppo_monte_carlo"):
        raise UserError(
            f"{agent.name} needs discrete actions, but {name} has continuous ones: choose a task such as"
            " CartPole-v0, or the agent td3 or ppo"
        )
    if isinstance(agent, TabularConfig) and not is_table:
        raise UserError(
            f"{agent.name} needs a table's worth of observations, but {name} has real-valued ones: choose ddqn, or a"
            " task such as CliffWalking"
        )


def fitting_agent(name: str) -> str:
    """Who learns a task if nobody is named: Q-learning in gridworlds, TD3 where actions are continuous, else DDQN."""
    spec = registry.make(name)
    if isinstance(spec.env, GridWorld):
        return "q_learning"
    return "ddqn" if hasattr(spec.env.action_space(spec.env_params), "n") else "td3"
