"""Hold the source to docs/architecture.md: imports point down the floors, and a few names are banned."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "synthenv"
FLOORS = (
    {"core"},
    {"nets", "envs"},
    {"agents", "proxies", "outer", "worldmodel", "selection", "selfsup"},
    {"zoo"},
    {"runs"},
    {"cli"},
    {"face", "__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Rooms within a room, floor by floor; rooms of one floor know nothing of each other but what is listed.
WINGS = {
    "runs": (
        {"storage", "display", "statistics"},
        {"training"},
        {
            "meta_train",
            "evaluate",
            "tune",
            "oswm",
            "oswm.run",
            "oswm.benchmark",
            "oswm.pretrain",
            "demo",
            "list_names",
            "select",
            "select.rank",
            "select.simulate",
            "select.run",
        },
    ),
    "worldmodel": (
        {"context", "regression"},
        {"dream", "experts", "paper.prior"},
        {"baselines", "small", "small.prior", "paper"},
    ),
    "selection": (
        {"tables"},
        {"readers", "curve_prior"},
        {"surrogates", "surrogates.ranking", "surrogates.transformer"},
        {"search", "zero_shot"},
        {"tuner"},
    ),
}
DOORS = {
    ("context", "regression"),
    ("tune", "meta_train"),
    ("demo", "meta_train"),
    ("list_names", "meta_train"),  # presets
    ("list_names", "oswm.run"),
    ("list_names", "oswm.pretrain"),
    ("oswm.benchmark", "oswm.run"),
    ("oswm.pretrain", "oswm.run"),
    ("small", "small.prior"),
}
MOST_MODULES = 12
OUTSIDE = {"experiments", "benchmarks", "notebooks", "tests"}
INIT_NAMES = {"__all__", "__version__"}
BANNED_NAMES = ("utils", "helpers", "manager")


def imported_modules(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import, wherever it stands; ``.`` first marks a relative one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def import_violations(tree: ast.Module, room: str) -> Iterator[str]:
    """Say which imports a module of ``room`` must not have."""
    for line, name in imported_modules(tree):
        top, *rest = name.split(".")
        if not top:
            yield f"{line}: relative import of {name}"
        elif top in OUTSIDE:
            yield f"{line}: the package must not know {top}"
        elif top == "synthenv" and rest != ["__version__"]:
            target = rest[0] if rest else ""
            if target != room and FLOOR.get(target, len(FLOORS)) >= FLOOR[room]:
                yield f"{line}: {room} imports {name}, which is not below it"


def init_violations(tree: ast.Module, is_top: bool) -> Iterator[str]:
    """Say which statements of an ``__init__.py`` are more than a table of contents."""
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Assign) and {ast.unparse(t) for t in node.targets} <= INIT_NAMES:
            continue
        if is_top and isinstance(node, ast.FunctionDef) and node.name in {"__getattr__", "__dir__"}:
            continue
        if is_top and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue  # what __getattr__ loads, for readers of types
        yield f"{node.lineno}: __init__.py with a side effect"


def name_violations(tree: ast.Module) -> Iterator[str]:
    """Find arguments called ``rng``; a random key is a ``key``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.arg == "rng":
            yield f"{node.lineno}: argument rng, call it key"


def inner_room(wing: str, name: str) -> str | None:
    """The room of ``WINGS`` that a dotted name leads into; None if it is none of its."""
    rest = name.split(".")
    found = [".".join(rest[:n]) for n in (2, 1) if any(".".join(rest[:n]) in floor for floor in WINGS[wing])]
    return found[0] if found else None


def wing_violations(tree: ast.Module, wing: str, room: str) -> Iterator[str]:
    """Say which imports a module of a room within a room must not have."""
    floors = {name: floor for floor, names in enumerate(WINGS[wing]) for name in names}
    for line, name in imported_modules(tree):
        prefix = f"synthenv.{wing}."
        target = inner_room(wing, name.removeprefix(prefix)) if name.startswith(prefix) else None
        if target is None or target == room or (room, target) in DOORS:
            continue
        if target.startswith(f"{room}.") or room.startswith(f"{target}."):
            continue  # a house and its rooms
        if floors[target] >= floors[room]:
            yield f"{line}: {room} imports {name}, which is not below it"


def violations(path: str, source: str) -> list[str]:
    """Check one file, given by its path relative to the package, against every rule."""
    tree = ast.parse(source)
    parts = Path(path).with_suffix("").parts
    room = parts[0]
    found = list(name_violations(tree))
    found += [f"0: {part} is not a name" for part in parts if part.strip("_") in BANNED_NAMES]
    if parts[-1] == "__init__":
        found += init_violations(tree, is_top=parts == ("__init__",))
    if room in FLOOR:
        found += import_violations(tree, room)
        if room in WINGS and (inner := inner_room(room, ".".join(parts[1:-1]))):
            found += wing_violations(tree, room, inner)
    elif parts != ("__init__",):
        found.append(f"0: {room} is no room; a file that fits no room means that an idea is missing")
    return [f"synthenv/{path}:{violation}" for violation in found]


def test_package_keeps_the_rules():
    paths = sorted(PACKAGE.rglob("*.py"))
    assert paths
    found = [v for p in paths for v in violations(p.relative_to(PACKAGE).as_posix(), p.read_text("utf-8"))]
    assert not found, "\n".join(found)


def test_folders_stay_small():
    for wing in (path.name for path in PACKAGE.iterdir() if path.is_dir()):
        for folder in [PACKAGE / wing, *(p for p in (PACKAGE / wing).rglob("*") if p.is_dir())]:
            modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
            assert len(modules) <= MOST_MODULES, folder


MODULES = {
    ".".join(("synthenv", *p.relative_to(PACKAGE).with_suffix("").parts)): p for p in PACKAGE.rglob("*.py")
}
LONGEST_CHAIN = 5  # modules of one folder of runs that import one another in a row
# Who may draw on the terminal or with matplotlib; everything else returns what there is to see.
MAY_SHOW = {
    "rich": ("command.py", "runs/display/"),
    "matplotlib": ("plot.py", "plot_command.py", "runs/display/", "face/results.py"),
}
MAY_PRINT = {"cli.py", "runs/command_line.py"}  # help and errors, before anything else is there
# Configs and the rooms that know what kinds there are; others ask a config by its methods.
CONFIGS = {
    "agents": r"\w*(DDQN|TD3|PPO|PPOMonteCarlo|Tabular|Agent)Config|\w*Variation",
    "proxies": r"(Synthetic|Reward|Proxy)Config",
    "worldmodel": r"(\w*Pretrain|Model|Prior)Config",
}


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a module imports."""
    names = [name for _, name in imported_modules(ast.parse(path.read_text("utf-8")))]
    return {name if name in MODULES else name.rpartition(".")[0] for name in names} & set(MODULES)


def longest_chain(folder: str) -> int:
    """The most modules of a folder that import one another in a row; a circle never ends, which is refused."""
    inside = {name for name in MODULES if name.rpartition(".")[0] == folder}

    def length(name: str, above: tuple[str, ...] = ()) -> int:
        assert name not in above, f"{folder}: {' imports '.join((*above, name))}"
        below = imports_of(MODULES[name]) & inside
        return 1 + max((length(one, (*above, name)) for one in below), default=0)

    return max(map(length, inside), default=0)


@pytest.mark.parametrize("folder", sorted({name.rpartition(".")[0] for name in MODULES}))
def test_no_circles_and_short_chains(folder):
    length = longest_chain(folder)
    assert length <= LONGEST_CHAIN or not folder.startswith("synthenv.runs."), (folder, length)


def test_runs_has_few_rooms():
    folders = [path for path in (PACKAGE / "runs").rglob("*") if (path / "__init__.py").exists()]
    assert len(folders) <= 17 and len(WINGS["runs"]) <= 5


def test_few_modules_show_anything():
    for name, path in MODULES.items():
        place, tree = path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text("utf-8"))
        for library, allowed in MAY_SHOW.items():
            uses = any(imported.split(".")[0] == library for _, imported in imported_modules(tree))
            assert not uses or any(part in place for part in allowed), f"{name} imports {library}"
        prints = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        prints = [node for node in prints if isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert not prints or place in MAY_PRINT, f"{name} prints"


def test_configs_are_asked_and_not_told_apart():
    """No isinstance on a config outside of the room that it belongs to."""
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (
                isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass")
            ):
                continue
            asked = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
            for room, pattern in CONFIGS.items():
                told = [kind for kind in asked if re.fullmatch(pattern, kind)]
                assert not told or name.split(".")[1] == room, f"{name}:{node.lineno} tells {told} apart"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("runs/storage/metrics.py", "from synthenv.runs.training import places"),  # up within a wing
        ("runs/evaluate/plot_command.py", "from synthenv.runs.tune import spaces"),  # sideways within a wing
        ("worldmodel/experts/robust.py", "from synthenv.worldmodel.small.network import encode"),
        ("core/types.py", "from synthenv.envs import registry"),  # up
        ("agents/ddqn.py", "import synthenv.proxies.synthetic_env"),  # sideways
        ("agents/ddqn.py", "def f():\n    from synthenv import runs"),  # up, inside a function
        ("agents/ddqn.py", "from synthenv import make"),  # the facade knows every floor
        ("envs/rollout.py", "from . import registry"),  # relative
        ("runs/demo.py", "import experiments.se"),  # outside
        ("zoo/__init__.py", "print('hello')"),  # side effect
        ("nets/__init__.py", "def __getattr__(name): ..."),  # only the top may be lazy
        ("core/utils.py", ""),
        ("managers.py", ""),  # no such room
        ("core/keys.py", "def split(rng): ..."),
        ("core/keys.py", "split = lambda *, rng: rng"),
    ],
)
def test_checker_catches_a_planted_violation(path, source):
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "agents/ddqn.py",
            "import jax\nfrom synthenv.core import types\nfrom synthenv.agents import presets",
        ),
        ("cli.py", "from synthenv import __version__\nfrom synthenv.runs import demo"),
        ("__init__.py", '"""Doc."""\n__version__ = "0"\ndef __getattr__(name): ...'),
        ("envs/__init__.py", '"""Doc."""\nfrom synthenv.envs import registry\n__all__ = ["registry"]'),
    ],
)
def test_checker_lets_good_code_pass(path, source):
    assert violations(path, source) == []
