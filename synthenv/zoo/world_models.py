"""Pretrained world models: those shipped with the package by name, those of ``synthenv oswm pretrain`` by path.

What is shipped comes before a path of the same name, which is told apart from it by ``./`` in front.

A file is safetensors (no pickle) and holds all hyperparameters beside the weights, so a model cannot be loaded as
anything but what it was trained as. ``world_models.json`` has the sha256 and the measured scores of each shipped one.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import jax

from synthenv.core.checkpoint import load_arrays, load_tree
from synthenv.core.errors import UserError
from synthenv.core.types import WorldModel
from synthenv.worldmodel.paper import network as paper_model
from synthenv.worldmodel.paper import world_model as paper_world_model
from synthenv.worldmodel.paper.train_step import PaperPretrainConfig
from synthenv.worldmodel.small import network as model
from synthenv.worldmodel.small import world_model as small_model
from synthenv.worldmodel.small.train_step import PretrainConfig
from synthenv.zoo.registry import ROOT, shipped_file

FILE = "best_proxy.safetensors"  # of a run directory
_REMEDY = "pass the directory of a finished synthenv oswm pretrain, or its best_proxy.safetensors"
# Choices that former versions had and stored, with the one that is left.
_FORMER_CHOICES = {"after_end": "rise", "friction_everywhere": False}


class Form(NamedTuple):
    """A kind of pretrained model.

    Attributes:
        config: class of what is trained, on what, for how long; its ``model`` are the sizes.
        init: (key, sizes) -> weights.
        make: (weights, sizes, name) -> world model.
    """

    config: type
    init: Callable[[jax.Array, Any], Any]
    make: Callable[[Any, Any, str], WorldModel]


FORMS: dict[str, Form] = {
    "small": Form(PretrainConfig, model.init, small_model.make),
    "paper": Form(PaperPretrainConfig, paper_model.init, paper_world_model.make),
}


def load(name: str) -> WorldModel:
    """Load a shipped model by its name, or any by the path of its run directory or file.

    Raises:
        UserError: there is none of that name, the run is not finished, or the file is damaged or no world model.
    """
    path, entry = Path(name), manifest().get(name)
    if entry is None and path.is_dir():
        if not (path / FILE).exists():
            raise UserError(f"{path} holds no finished world model ({FILE} is missing): {_REMEDY}")
        return load_file(path / FILE, name)
    if entry is None and (path.exists() or path.suffix == ".safetensors"):
        return load_file(path, name)
    if entry is None:
        raise UserError(f"no world model {name!r} is shipped with this version: {_REMEDY}")
    return load_file(shipped_file("world model", name, entry), name)


def file_of(name: str) -> Path:
    """Where the weights are of a shipped model, or of a run directory or a file; it need not exist."""
    entry, path = manifest().get(name), Path(name)
    if entry is not None:
        return ROOT / entry["file"]
    return path / FILE if path.is_dir() else path


def load_file(path: Path, name: str) -> WorldModel:
    """Load one file.

    Raises:
        UserError: it is missing, damaged, no world model, or one of another version.
    """
    metadata = load_arrays(path)[1]
    if not isinstance(metadata, dict) or metadata.get("kind") != "world_model":
        raise UserError(f"{path} is no world model: {_REMEDY}")
    try:
        config, form = config_from_stored(metadata), FORMS[metadata["form"]]
        like = jax.eval_shape(lambda key: form.init(key, config.model), jax.random.key(0))
    except (UserError, ValueError) as error:
        raise UserError(f"{path}: {error}; {_REMEDY}") from None
    with jax.ensure_compile_time_eval():  # as proxies, models may be loaded inside jit
        return form.make(load_tree(path, like)[0], config.model, name)


def config_from_stored(stored: Mapping[str, Any]) -> Any:
    """What a file or a run directory says was pretrained, as a config of its form.

    Raises:
        UserError: if it lacks a part or has one that this version does not know.
    """
    try:
        return _rebuild(FORMS[stored["form"]].config, stored["pretrain"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"what was pretrained there is of another version of synthenv ({error!r})") from None


def _rebuild(kind: Any, stored: Any) -> Any:
    """A value of this type from its JSON; dataclasses want all their fields, and none else."""
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        names = {field.name for field in dataclasses.fields(kind)}
        given = set(stored) - {name for name, left in _FORMER_CHOICES.items() if stored.get(name) == left}
        if names != given:
            raise KeyError(", ".join(sorted(names ^ given)))
        return kind(**{name: _rebuild(hints[name], stored[name]) for name in names})  # type: ignore[operator]
    if get_origin(kind) is tuple:
        return tuple(_rebuild(get_args(kind)[0], item) for item in stored)
    return stored


def manifest() -> dict[str, dict[str, Any]]:
    """Shipped models by name: file, sha256, scores; none if this version has none.

    Raises:
        UserError: if the list is damaged.
    """
    path = ROOT / "world_models.json"
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise UserError("the list of shipped world models is damaged: reinstall synthenv") from None
