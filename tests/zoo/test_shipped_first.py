"""What is shipped comes before a path of the same name, for everything that is shipped and whoever takes a name."""

from pathlib import Path

import pytest

import synthenv
from synthenv.core.errors import UserError
from synthenv.runs import shipped_names
from synthenv.runs.evaluate import plot_command
from synthenv.runs.evaluate.arguments import Evaluate, Plot, Train
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark, Row
from synthenv.runs.oswm.run import real_tasks
from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.training import places
from synthenv.worldmodel import registry as models
from synthenv.zoo import registry as zoo
from synthenv.zoo import world_models

PROXIES = ("synthetic/CartPole-v0:0", "bandit/CartPole-v0:0", "reward/CliffWalking:0")
SHIPPED_MODEL = next(iter(world_models.manifest()))


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", PROXIES)
def test_a_shipped_proxy_comes_before_a_run_of_its_name(name):
    """The whole name, and that of all of a task, which is the first one for ``synthenv.make``."""
    (shipped,) = zoo.load(name)
    other = next(key for key in zoo.names() if key.split(":")[0] == name.split(":")[0] and key != name)
    for path in (name, name.split(":")[0]):
        Path(path).mkdir(parents=True)
        file = zoo.ROOT / zoo.manifest()[other]["file"]
        Path(path, "best_proxy.safetensors").write_bytes(file.read_bytes())
    assert zoo.load(name)[0].metadata == shipped.metadata
    assert len(zoo.load(name.split(":")[0])) > 1
    assert synthenv.make(name)[0] is shipped.env
    (own,) = zoo.load(f"./{name}")
    assert own.name == f"./{name}" and own.metadata != shipped.metadata
    assert plot_command._home((name,)) is None, "pictures of a shipped proxy do not go into another run"
    assert plot_command._home((f"./{name}",)) == Path(name, "plots")


def test_paths_that_only_begin_like_a_shipped_name_are_paths():
    file = zoo.ROOT / zoo.manifest()["reward/CliffWalking:0"]["file"]
    Path("synthetic/mine").mkdir(parents=True)
    Path("synthetic/mine/best_proxy.safetensors").write_bytes(file.read_bytes())
    for name in ("synthetic/mine", "synthetic/mine/best_proxy.safetensors"):
        assert zoo.load(name)[0].metadata["task"] == "CliffWalking"


def test_a_damaged_list_of_shipped_proxies_does_not_hide_a_run(monkeypatch, tmp_path):
    file = zoo.ROOT / zoo.manifest()["reward/CliffWalking:0"]["file"]
    Path("mine.safetensors").write_bytes(file.read_bytes())
    monkeypatch.setattr(zoo, "ROOT", tmp_path)
    assert zoo.load("mine.safetensors")[0].metadata["task"] == "CliffWalking"


@pytest.mark.parametrize("name", ["ridge", SHIPPED_MODEL])
def test_a_world_model_of_the_package_comes_before_a_directory(name):
    Path(name).mkdir()
    Path(name, "best_proxy.safetensors").write_bytes(b"of something else")
    assert real_tasks.world_model(name).name == name
    with pytest.raises(UserError, match=r"best_proxy\.safetensors is damaged"):
        real_tasks.world_model(f"./{name}")


def test_what_stands_behind_a_name_is_on_record():
    """Of a shipped model too: another version may ship another one by the same name."""
    Path(SHIPPED_MODEL).mkdir()
    Path(SHIPPED_MODEL, "best_proxy.safetensors").write_bytes(b"of something else")
    contents = real_tasks.contents_of("ridge", SHIPPED_MODEL, f"./{SHIPPED_MODEL}", "missing")
    assert set(contents) == {SHIPPED_MODEL, f"./{SHIPPED_MODEL}"}
    assert contents[SHIPPED_MODEL] == world_models.manifest()[SHIPPED_MODEL]["sha256"][:16]
    assert contents[f"./{SHIPPED_MODEL}"] != contents[SHIPPED_MODEL]


def test_rows_of_a_shipped_model_and_of_a_path_are_two():
    rows = [Row("SimpleEnv", name, "held").place for name in ("small", "./small", "runs/small")]
    assert [str(row) for row in rows] == [
        "SimpleEnv/small-held",
        "SimpleEnv/_small-held",
        "SimpleEnv/runs_small-held",
    ]


def test_a_path_that_was_not_meant_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(shipped_names, "say", lambda line, style=None: told.append(line))
    asked = {
        "synthetic/CartPole-v0": Train(env="synthetic/CartPole-v0"),
        "CartPole-v0": Train(env="CartPole-v0"),
        "reward/CliffWalking:0": Evaluate(proxy=("reward/CliffWalking:0",)),
        "bandit/CartPole-v0": Plot(proxy=("bandit/CartPole-v0",)),
        SHIPPED_MODEL: OswmRun(model=SHIPPED_MODEL),
        next(iter(models.MODELS)): OswmBenchmark(models=(next(iter(models.MODELS)),)),
    }
    for command in asked.values():
        shipped_names.tell_twins(command)
    assert told == []
    for name in asked:
        Path(name).mkdir(parents=True)
    for name, command in asked.items():
        shipped_names.tell_twins(command)
        assert (
            told.pop() == f"{name} is what synthenv ships under this name: pass ./{name} for what lies here"
        )
    shipped_names.tell_twins(Train(env="./CartPole-v0"))
    assert told == []


def test_names_of_tasks_are_shipped_too():
    assert places.is_shipped("CartPole-v0") and not places.is_shipped("./CartPole-v0")
