"""Which agents learn which tasks: every agent, with discrete and continuous actions, with a table and without."""

import pytest

from synthenv.agents.fits import check_fits, fitting_agent
from synthenv.agents.presets import AGENTS
from synthenv.core.errors import UserError
from synthenv.runs.training.trial_runner import task_for

REMEDIES = {
    "td3": ": choose td3_discrete, or a task such as Pendulum-v1",
    "continuous": ": choose a task such as CartPole-v0, or the agent td3 or ppo",
    "table": ": choose ddqn, or a task such as CliffWalking",
}
TAKES = {
    "discrete": {"ddqn", "dueling_ddqn", "td3_discrete", "ppo", "ppo_monte_carlo"},
    "continuous": {"td3", "ppo", "ppo_monte_carlo"},
    "table": {"ddqn", "dueling_ddqn", "td3_discrete", "ppo", "ppo_monte_carlo", "q_learning", "sarsa"},
}


@pytest.mark.parametrize("kind", TAKES)
@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_and_kind_of_task(name, kind):
    agent = AGENTS[name]
    asked = {"discrete": kind != "continuous", "is_table": kind == "table"}
    if agent.name in TAKES[kind]:
        check_fits(agent, "Task-v0", **asked)
        return
    with pytest.raises(UserError) as refused:
        check_fits(agent, "Task-v0", **asked)
    said = str(refused.value)
    why = (
        "td3 needs continuous actions, but Task-v0 has discrete ones" + REMEDIES["td3"]
        if agent.name == "td3"
        else f"{agent.name} needs discrete actions, but Task-v0 has continuous ones" + REMEDIES["continuous"]
        if kind == "continuous"
        else f"{agent.name} needs a table's worth of observations, but Task-v0 has real-valued ones"
        + REMEDIES["table"]
    )
    assert said == why


@pytest.mark.parametrize(
    ("task", "agent", "another"),
    [("CliffWalking", "q_learning", "td3"), ("CartPole-v0", "ddqn", "sarsa"), ("Pendulum-v1", "td3", "ddqn")],
)
def test_tasks_say_of_which_kind_they_are(task, agent, another):
    """Whoever learns a task if nobody is named can learn it; agents of another kind are refused by its name."""
    assert fitting_agent(task) == agent
    assert task_for(AGENTS[agent], task).name == task
    with pytest.raises(UserError, match=rf"^{another} needs .*, but {task} has "):
        task_for(AGENTS[another], task)
