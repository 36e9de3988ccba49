"""Which agents learn which tasks: every agent, with discrete and continuous actions, with a table and without."""

import pytest

from synthenv.agents.fits import check_fits, fitting_agent
from synthenv.agents.presets import AGENTS
from synthenv.core.errors import UserError
from synthenv.runs.training.trial_runner import task_for

TAKES = {
    "discrete": {"ddqn", "dueling_ddqn", "td3_discrete", "ppo", "ppo_monte_carlo"},
    "continuous": {"td3", "ppo", "ppo_monte_carlo"},
    "table": {"ddqn", "dueling_ddqn", "td3_discrete", "ppo", "ppo_monte_carlo", "q_learning", "sarsa"},
}


@pytest.mark.parametrize("kind", TAKES)
@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_and_kind_of_task(name, kind):
    agent = AGENTS[name]
    if agent.name in TAKES[kind]:
        check_fits(agent, "Task-v0", kind)
        return
    with pytest.raises(UserError) as refused:
        check_fits(agent, "Task-v0", kind)
    said = str(refused.value)
    needs = {"td3": "continuous actions"}.get(agent.name, "discrete actions")
    has = {"continuous": "continuous ones", "discrete": "discrete ones", "table": "discrete ones"}[kind]
    if agent.name in ("q_learning", "sarsa") and kind == "discrete":
        needs, has = "a table's worth of observations", "real-valued ones"
    able = ", ".join(name for name in AGENTS if name in TAKES[kind])
    assert (
        said == f"{agent.name} needs {needs}, but Task-v0 has {has}: choose another --agent, such as {able}"
    )


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
