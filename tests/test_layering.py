"""Hold the source to docs/architecture.md: imports point down the floors, and a few names are banned."""

import ast
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
        },
    ),
    "worldmodel": (
        {"context", "regression"},
        {"dream", "experts", "paper.prior"},
        {"baselines", "small", "small.prior", "paper"},
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
