"""meta-train on every task: ours, gymnasium's and a user's, with agents by the kind of its actions or by name."""

import json
from dataclasses import replace

import jax
import pytest

from synthenv.agents.fits import check_fits
from synthenv.agents.presets import AGENTS
from synthenv.cli import main
from synthenv.core.errors import UserError
from synthenv.core.registry import register
from synthenv.envs import registry
from synthenv.envs.tasks import TASKS, Task, kind_of
from synthenv.runs.meta_train.config import check
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.meta_train.search import Search

SHORT = "--outer.num-generations 1 --outer.num-starts 1 --outer.num-incumbents 1 --outer.num-test-episodes 1"
DEAR = ("HalfCheetah", "brax/reacher")  # minutes to compile
LIGHT = [name for name in TASKS if name not in DEAR]
# Those of one kind share what is compiled of agents, but not the real task: one variant of each is enough here.
QUICK = "--agent.no-vary --agent.batch-size 16 --agent.hidden-size 8 --agent.depth 1"


def search(task, form, tmp_path, more=""):
    """A generation of the smoke preset; returns its line of metrics."""
    words = (
        f"meta-train --preset smoke --task {task} --proxy {form} {SHORT} {more} --out {tmp_path / 'found'}"
    )
    assert main(words.split()) == 0
    return json.loads((tmp_path / "found" / "metrics.jsonl").read_text().splitlines()[0])


@pytest.mark.rank_promotion_ok
@pytest.mark.parametrize("task", LIGHT)
def test_every_task_has_a_synthetic_environment(task, tmp_path):
    line = search(task, "se", tmp_path, QUICK)
    assert line["train_steps_mean"] > 1 and len(line["member_scores"]) == 4


@pytest.mark.long
@pytest.mark.rank_promotion_ok
@pytest.mark.parametrize("form", ["rn", "scb"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_every_proxy(task, form, tmp_path):
    assert search(task, form, tmp_path)["train_steps_mean"] > 1


@pytest.mark.long
@pytest.mark.rank_promotion_ok
@pytest.mark.parametrize("task", DEAR)
def test_dear_tasks_have_synthetic_environments(task, tmp_path):
    assert search(task, "se", tmp_path)["train_steps_mean"] > 1


@pytest.mark.long
@pytest.mark.rank_promotion_ok
@pytest.mark.parametrize(
    ("task", "agent"), [("CartPole-v0", "ppo"), ("Pendulum-v1", "ppo"), ("EmptyRoom22", "sarsa")]
)
def test_an_agent_by_name(task, agent, tmp_path):
    search(task, "se", tmp_path, f"--agent {agent}")
    assert json.loads((tmp_path / "found" / "config.json").read_text())["config"]["agent"]["name"] == agent


@pytest.mark.parametrize("form", ["se", "scb", "rn"])
@pytest.mark.parametrize("task", TASKS)
def test_every_agent_that_fits_has_a_sound_schedule(task, form):
    """On the preset's own: as many episodes, and at least twenty updates; what does not fit is refused."""
    kind = kind_of(task)
    base = preset(form, "fast", task)
    check_fits(base.agent, task, kind)
    for name, agent in AGENTS.items():
        config = preset(form, "fast", task, name)
        check(config)
        assert config.agent.full_name == name and config.task == task
        assert config.agent.test_episodes == base.agent.test_episodes
        assert config.agent.max_steps >= 20 * agent.steps_per_update or name == base.agent.full_name
        if kind == "continuous" and "continuous" not in agent.actions:
            with pytest.raises(
                UserError, match=f"^{agent.name} needs discrete actions, but {task} has continuous"
            ):
                check_fits(config.agent, task, kind)


def test_presets_go_by_kind_and_not_by_name():
    """A task of ours by another name has the same presets, but for what its own entry says."""
    for name, task in list(TASKS.items()):
        register(task._replace(name="twin", differs={}))
        for form in ("se", "rn"):
            twin, own = preset(form, "fast", "twin"), preset(form, "fast", name)
            assert twin.agent.name == own.agent.name and twin.proxy.kind == own.proxy.kind
            if not task.differs:
                assert twin == replace(own, task="twin")


def test_what_a_task_says_of_itself_holds():
    differs = {"rn/fast": {"agent.action_repeat": 3, "outer.num_generations": 7}}
    register(TASKS["Pendulum-v1"]._replace(name="slow", differs=differs))
    config = preset("rn", "fast", "slow")
    assert (config.agent.action_repeat, config.outer.num_generations) == (3, 7)
    assert preset("rn", "paper", "slow").agent.action_repeat == 1


def test_a_threshold_that_nobody_has_named():
    """Without one a reward network's search has nothing to reach; a synthetic environment's has the returns."""
    endless = TASKS["CartPole-v0"]._replace(name="endless", solved_return=float("inf"))
    register(endless)
    with pytest.raises(UserError, match="nobody has said from which return on endless counts as solved"):
        Search(preset("rn", "fast", "endless"), 0)
    Search(preset("se", "smoke", "endless"), 0)


def test_kinds_are_read_off_where_a_task_does_not_say():
    for name in ("CartPole-v0", "Pendulum-v1", "CliffWalking"):
        register(Task("unsaid", TASKS[name].build, 10, 0.0))
        assert kind_of("unsaid") == TASKS[name].kind
    assert registry.make("unsaid").env_params.max_steps_in_episode == 10
    assert registry.make("unsaid") is registry.make("unsaid") and jax.devices()
