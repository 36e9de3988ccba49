"""The files that the documents show, outside of the package, reach every command with --import, as a user runs them."""

import importlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import pytest

import synthenv
from synthenv.agents.config import AgentConfig, ICMConfig
from synthenv.agents.presets import AGENTS, agent_from_stored
from synthenv.cli import main
from synthenv.core import registry
from synthenv.core.errors import UserError
from synthenv.core.files import to_json
from synthenv.core.traced import traced
from synthenv.envs.tasks import TASKS
from synthenv.outer.strategy import STRATEGIES
from synthenv.proxies.config import SyntheticConfig, from_stored
from synthenv.runs.meta_train.config import on_schedule
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.tune.arguments import Tune
from synthenv.runs.tune.plan import make_plan
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.zoo import registry as zoo
from tests.test_docs import write_files


class OneRange(NamedTuple):
    """All that a curious agent of ours may be drawn from."""

    hidden_size: tuple[int, int] = (4, 8)


SHORT = "--outer.num-generations 1 --outer.num-starts 1 --outer.num-incumbents 1 --outer.num-test-episodes 1"
SEARCH = f"meta-train --preset smoke {SHORT}"
DREAM = "--context 40 --max-steps 64 --evaluations 1 --eval-episodes 1 --test-episodes 1 --seeds 1"
STUDY = "tune --preset smoke --num-trials 1 --num-generations 1"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in a directory that holds the files, and return its results."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)

    def command(file: str, words: str) -> dict:
        assert main([*words.split(), "--import", file, "--json", "results.json"]) == 0, words
        return json.loads((tmp_path / "results.json").read_text())["results"]

    return command


@pytest.mark.rank_promotion_ok
def test_an_agent(run):
    found = run("my_agent.py", f"{SEARCH} --agent boltzmann --out found")
    assert found["generations"] == 1
    trained = run("my_agent.py", "train --env found --num-agents 1 --out trained")
    assert trained["agent"] == "boltzmann" and trained["num_agents"] == 1
    tested = run(
        "my_agent.py", "evaluate --proxy found --agent boltzmann ddqn --num-agents 1 --curves --max-steps 40"
    )
    assert set(tested["agents"]) == {"boltzmann", "ddqn"}
    dreamt = run(
        "my_agent.py", f"oswm run --task CartPole-v0 --model ridge --agent boltzmann {DREAM} --out dreamt"
    )
    assert dreamt["num_seeds"] == 1
    assert "boltzmann" in run("my_agent.py", "list")["agents"]


MISTAKES = {
    "in a line": (
        "values = network.apply(weights.params, obs)",
        "values = obs @ jnp.ones(7)",
        "obs @ jnp.ones(7)",
    ),
    "of a shape": (
        "return Weights(params, target, moments)",
        "return Weights(params, target, None)",
        "def make(",
    ),
}


@pytest.mark.rank_promotion_ok
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_an_agent_is_told_in_a_line(mistake, tmp_path, monkeypatch, capsys):
    """Found while it is traced, in a line of the user's or by JAX after that; whoever asks gets the traceback."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    right, wrong, blamed = MISTAKES[mistake]
    source = (tmp_path / "my_agent.py").read_text()
    assert right in source
    source = source.replace(right, wrong)
    (tmp_path / "my_agent.py").write_text(source)
    number = next(i for i, line in enumerate(source.splitlines(), 1) if blamed in line)
    words = [
        "train",
        "--import",
        "my_agent.py",
        "--env",
        "CartPole-v0",
        "--agent",
        "boltzmann",
        "--num-agents",
        "1",
    ]
    monkeypatch.delenv("JAX_TRACEBACK_FILTERING", raising=False)
    assert main(words) == 2
    said = capsys.readouterr().err
    place = (
        f"synthenv: the agent 'boltzmann' failed at {tmp_path / 'my_agent.py'}, line {number}: TypeError: "
    )
    assert said.startswith(place) and said.endswith(" (JAX_TRACEBACK_FILTERING=off shows the traceback)\n")
    assert said.count("\n") == 1
    with pytest.raises(TypeError) as raised:
        synthenv.train("CartPole-v0", agent="boltzmann", num_agents=1)
    (note,) = [note for note in raised.value.__notes__ if "boltzmann" in note]
    assert said.startswith(f"synthenv: {note} (")
    monkeypatch.setenv("JAX_TRACEBACK_FILTERING", "off")
    with pytest.raises(TypeError):
        main(words)


@pytest.mark.rank_promotion_ok
def test_a_task(run):
    run("my_task.py", f"{SEARCH} --task Tank-v0 --out found")
    run("my_task.py", "evaluate --proxy found --num-agents 1 --out tested")
    run("my_task.py", "train --env Tank-v0 --agent td3 --num-agents 1 --max-steps 60 --out trained")
    run("my_task.py", f"oswm run --task Tank-v0 {DREAM} --out dreamt")
    assert "Tank-v0" in run("my_task.py", "list")["tasks"]


@pytest.mark.rank_promotion_ok
def test_a_proxy(run):
    run("my_proxy.py", f"{SEARCH} --proxy residual --proxy.width 4 --out found")
    stored = json.loads(Path("found/config.json").read_text())["config"]["proxy"]
    assert stored == {"kind": "residual", "width": 4, "max_steps": 4}
    run("my_proxy.py", "train --env found --num-agents 1 --out trained")
    run("my_proxy.py", "meta-train --resume --out found --outer.num-generations 2")
    assert "residual" in run("my_proxy.py", "list")["proxies of meta-train"]


def test_a_layout_of_meta_data_sets(tmp_path, monkeypatch):
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    registry.load_extension("my_layout.py")
    lines = [{"data": "cats", "settings": {"lr": lr}, "accuracy": [0.5, 0.6], "seconds": 3} for lr in (1, 2)]
    Path("runs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    meta = read_meta_dataset("runs.jsonl")
    assert meta.datasets == ("cats",) and meta.config_names == ("run 1", "run 2")
    assert read_meta_dataset("runs.jsonl", layout="one_line_a_run").curves.tolist() == meta.curves.tolist()
    Path("runs.jsonl").write_text("half a lin")
    with pytest.raises(UserError, match="line 1 is not one of my runs"):
        read_meta_dataset("runs.jsonl")


@pytest.mark.rank_promotion_ok
def test_a_strategy_and_a_score_transformation(run):
    run("my_strategy.py", f"{SEARCH} --strategy.name best_quarter --out found")
    paper = "--strategy.name paper_nes --strategy.transformation better_half"
    run("my_strategy.py", f"{SEARCH} {paper} --out weighed")
    assert "best_quarter" in run("my_strategy.py", "list")["evolution strategies"]


@pytest.mark.rank_promotion_ok
def test_a_world_model(run):
    found = run(
        "my_model.py",
        f"oswm run --task SimpleEnv --model fitted-network {DREAM} --termination known --out dreamt",
    )
    assert found["num_seeds"] == 1


@pytest.mark.long
@pytest.mark.rank_promotion_ok
def test_studies_take_them_into_processes_of_their_own(run):
    run("my_agent.py", f"{STUDY} --proxy se --agent boltzmann --out agents")
    run("my_task.py", f"{STUDY} --proxy rn --task Tank-v0 --out tasks")
    run("my_proxy.py", f"{STUDY} --proxy residual --out proxies")
    run("my_strategy.py", f"{STUDY} --proxy se --strategies best_quarter paper_nes --out strategies")


@pytest.mark.long
@pytest.mark.rank_promotion_ok
def test_a_family_of_random_systems(run):
    run("my_family.py", "oswm pretrain --preset smoke --families linear tanks --steps 4 --out pretrained")
    stored = json.loads(Path("pretrained/config.json").read_text())["config"]["pretrain"]["prior"]
    assert stored["families"] == ["linear", "tanks"]


BROKEN = {
    "nowhere.py": "there is no file nowhere.py to import: pass the path of a Python file, or a module's name",
    "broken.py": "--import broken.py failed (ZeroDivisionError: division by zero): see that it runs by itself",
    "no_such_module": (
        "--import no_such_module failed (ModuleNotFoundError: No module named 'no_such_module'): "
        "see that it runs by itself"
    ),
    "ours.py": "synthenv has a task called 'CartPole-v0' of its own: register yours by another name",
    "thing.py": (
        "register does not know what a int is: pass one of AgentConfig, Family, NetworkKind, ProxyConfig, Reader, "
        "SearchMethod, Shaping, StrategyKind, Surrogate, Task, WorldModel"
    ),
}


@pytest.mark.parametrize("place", BROKEN)
def test_a_file_that_does_not_do_is_told_in_a_line(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0")
    task = "from synthenv import register\nfrom synthenv.envs.tasks import Task\n"
    (tmp_path / "ours.py").write_text(task + "register(Task('CartPole-v0', int, 1, 1.0))")
    everything = "import synthenv.outer.strategy, synthenv.worldmodel.registry, synthenv.nets.registry\n"
    everything += "import synthenv.worldmodel.small.prior.sample, synthenv.proxies.config\n"
    (tmp_path / "thing.py").write_text(everything + task + "register(3)")
    assert main(["list", "--import", place]) == 2
    assert capsys.readouterr().err == f"synthenv: {BROKEN[place]}\n"


def test_a_module_that_is_mended_in_the_session_counts_as_an_extension(tmp_path, monkeypatch):
    """A notebook mends what ``--import`` could not run, and imports it as Python does."""
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "mended_module.py"
    module.write_text("1 / 0")
    with pytest.raises(UserError, match="--import mended_module failed"):
        registry.load_extension("mended_module")
    module.write_text(
        "from synthenv import register\n"
        "from synthenv.outer.strategy import STRATEGIES\n"
        "register(STRATEGIES['open_es']._replace(name='mended'))\n"
    )
    importlib.invalidate_caches()
    importlib.import_module("mended_module")
    assert str(module) in registry.extensions()


def test_a_cell_that_is_run_twice_replaces_its_own():
    first, second = (STRATEGIES["open_es"]._replace(name="mine") for _ in range(2))
    registry.register(first)
    registry.register(second)
    assert STRATEGIES["mine"] is second
    with pytest.raises(UserError, match="synthenv has a strategy called 'open_es' of its own"):
        registry.register(first._replace(name="open_es"))


@dataclass(frozen=True)
class Curious(AgentConfig):
    """Curious unless told otherwise, without a batch, and with one range to draw from."""

    module: ClassVar[str] = "synthenv.agents.ddqn"
    name: str = "curious"
    hidden_size: int = traced(8)
    curiosity: ICMConfig | None = field(default_factory=ICMConfig)
    network: str = "mine"
    variation: Any = field(default_factory=OneRange)


@dataclass(frozen=True)
class OwnBandit(SyntheticConfig):
    """A kind of its own that derives from one of ours."""

    kind: ClassVar[str] = "own"
    bound: float | None = 5.0


def test_what_a_config_of_a_user_may_lack_or_leave_open():
    curious, plain_one = Curious(), replace(Curious(), curiosity=None, network="")
    registry.register(curious)
    assert AGENTS["curious_icm"] == curious and not list(replace(curious, network="").contradictions())
    for agent in (curious, plain_one):
        assert agent_from_stored(json.loads(to_json(agent.stored()))) == agent
    config = on_schedule(curious, preset("se", "fast").agent)
    assert config.variation.hidden_size == (32, 64) and config.max_steps == 600
    registry.register(OwnBandit())
    for proxy in (OwnBandit(), OwnBandit(bound=None, max_steps=3)):
        assert from_stored(json.loads(to_json(proxy.stored()))) == proxy


def test_an_entry_may_come_before_its_registry():
    code = "from synthenv.core.types import WorldModel; import synthenv; "
    code += "print(synthenv.register(WorldModel('m', None, None)).name); "
    code += (
        "from synthenv.agents.config import AgentConfig; print(synthenv.register(AgentConfig(name='a')).name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["m", "a"], done.stderr


def test_a_study_cannot_know_what_was_typed_in(monkeypatch):
    monkeypatch.setattr(
        registry.sys, "_getframe", lambda depth: SimpleNamespace(f_globals={"__name__": "__main__"})
    )
    registry.register(TASKS["CartPole-v0"]._replace(name="typed"))
    with pytest.raises(
        UserError, match=r"^typed was registered in this session, and processes of their own know"
    ):
        make_plan(Tune(proxy="se", task="typed"))


def test_a_kind_that_there_is_not():
    registry.register(TASKS["CartPole-v0"]._replace(name="odd", kind="Discrete"))
    with pytest.raises(
        UserError, match="said to be Discrete: pass kind=table or discrete or continuous, or leave it"
    ):
        preset("se", "fast", "odd")


def test_a_task_registered_anew_is_built_anew():
    registry.register(TASKS["CartPole-v0"]._replace(name="mine", max_steps=30))
    first = zoo._environment("mine", SyntheticConfig())
    assert zoo._environment("mine", SyntheticConfig()) is first
    registry.register(TASKS["CartPole-v0"]._replace(name="mine", max_steps=20))
    assert zoo._environment("mine", SyntheticConfig()).real_params.max_steps_in_episode == 20


def test_names_that_are_none():
    with pytest.raises(UserError, match="a strategy needs a name to be registered by, not ' x'"):
        registry.register(STRATEGIES["open_es"]._replace(name=" x"))
    assert "mine" not in STRATEGIES and "boltzmann" not in AGENTS and "Tank-v0" not in TASKS, (
        "tests leave nothing"
    )


def test_neighbours_of_a_file_can_be_imported(tmp_path, monkeypatch, capsys):
    write_files(tmp_path)
    shutil.move(tmp_path / "my_task.py", tmp_path / "tank.py")
    (tmp_path / "my_study.py").write_text("import tank\n")
    monkeypatch.chdir("/")
    assert main(["list", "--import", str(tmp_path / "my_study.py")]) == 0
    assert "Tank-v0" in capsys.readouterr().out
