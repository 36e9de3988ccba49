"""Agents in learned environments, in JAX: synthetic environments, reward networks and one-shot world models.

Everything that the command line does, for notebooks and scripts; docs/python.md shows it at work.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthenv.core.errors import UserError as UserError
    from synthenv.core.registry import register as register
    from synthenv.face.commands import dream as dream
    from synthenv.face.commands import evaluate as evaluate
    from synthenv.face.commands import list_names as list_names
    from synthenv.face.commands import meta_train as meta_train
    from synthenv.face.commands import plot as plot
    from synthenv.face.commands import train as train
    from synthenv.face.commands import tune as tune
    from synthenv.face.places import load as load
    from synthenv.face.places import make as make
    from synthenv.face.places import rollout as rollout
    from synthenv.runs.select.run.tuner import Tuner as Tuner

__version__ = "0.1.0"
__all__ = [
    "Tuner",
    "UserError",
    "__version__",
    "dream",
    "evaluate",
    "list_names",
    "load",
    "make",
    "meta_train",
    "plot",
    "register",
    "rollout",
    "train",
    "tune",
]


def __getattr__(name: str):
    """Load a name on first use, so that importing the package costs nothing."""
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'synthenv' has no attribute {name!r}")
    places = {"load": "face.places", "make": "face.places", "rollout": "face.places"}
    places |= {"UserError": "core.errors", "register": "core.registry", "Tuner": "runs.select.run.tuner"}
    return getattr(importlib.import_module(f"synthenv.{places.get(name, 'face.commands')}"), name)


def __dir__() -> list[str]:
    """All names, loaded or not."""
    return __all__
