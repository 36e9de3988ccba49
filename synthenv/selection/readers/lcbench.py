"""YAHPO's surrogate of LCBench (Pfisterer et al., 2022): accuracies of any configuration on 34 OpenML tasks.

model.onnx
    the network; read once and evaluated in JAX.
config_space.json
    tasks and hyperparameters with their bounds.
encoding.json
    the number of each task.

:func:`load_surrogate` gives curves of any configurations; :func:`read` draws some and asks for all of them on every
task. A score is the validation accuracy in %, a cost what the predicted runtime grows by in an epoch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.readers.onnx_network import Network, read_network
from synthenv.selection.tables.columns import MOST_LEVELS, Column, stored
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.tables.text_files import read_object

_TASK = "OpenML_task_id"
# In which order the network wants its numbers, told from the bounds that it normalises them by.
_INPUTS = (
    "epoch",
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)
_SECONDS, _ACCURACY = 0, 1  # of its outputs


def recognises(path: Path) -> bool:
    """Whether a directory looks like one."""
    return (path / "model.onnx").is_file() and (path / "encoding.json").is_file()


class Surrogate(NamedTuple):
    """A network that knows what a configuration would have reached.

    Attributes:
        network: takes a batch of tasks and numbers.
        tasks: the number of each task by its name.
        columns: the hyperparameters. [H]
        whole: names of those that are whole numbers.
        num_epochs: steps of a curve, T.
    """

    network: Network
    tasks: Mapping[str, int]
    columns: tuple[Column, ...]
    whole: frozenset[str]
    num_epochs: int

    def sample(self, num_configs: int, seed: int) -> list[dict[str, Any]]:
        """Configurations drawn uniformly, by the logarithm where a column says so. [M]"""
        draws = np.random.default_rng(seed).random((num_configs, len(self.columns)))
        return [self._config(row) for row in draws]

    def curves(
        self, configs: Sequence[Mapping[str, float]], tasks: Sequence[str]
    ) -> tuple[jax.Array, jax.Array]:
        """Validation accuracies in % after each epoch, and the seconds until then. Each float32 [D, M, T]

        Raises:
            UserError: a task is unknown, or a configuration lacks a hyperparameter.
        """
        for task in tasks:
            if task not in self.tasks:
                raise UserError(f"the surrogate knows no task {task!r}: it knows {', '.join(self.tasks)}")
        rows = np.array([[_value(config, name) for name in _INPUTS[1:]] for config in configs], np.float32)
        epochs = np.arange(1, self.num_epochs + 1, dtype=np.float32)
        by_epoch = np.repeat(rows, self.num_epochs, axis=0)
        numbers = jnp.asarray(np.concatenate([np.tile(epochs, len(rows))[:, None], by_epoch], axis=1))

        def of_task(task: jax.Array) -> jax.Array:
            chosen = jnp.full((len(numbers), 1), task)
            (output,) = self.network({"x_cat": chosen, "x_cont": numbers}).values()
            return output[:, jnp.array([_ACCURACY, _SECONDS])]

        places = jnp.array([self.tasks[task] for task in tasks])
        found = jax.jit(lambda places: jax.lax.map(of_task, places))(places)
        found = found.reshape(len(tasks), len(rows), self.num_epochs, 2)
        return found[..., 0], found[..., 1]

    def _config(self, draw: np.ndarray) -> dict[str, Any]:
        config: dict[str, Any] = {}
        for column, x in zip(self.columns, draw, strict=True):
            if column.kind == "levels":
                config[column.name] = column.values[int(x * len(column.values))]
            else:
                value = column.original(float(x))
                config[column.name] = float(round(value)) if column.name in self.whole else value
        return config


def load_surrogate(path: Path) -> Surrogate:
    """Read the surrogate.

    Raises:
        UserError: a file is missing or damaged, or onnx is not installed.
    """
    space = read_object(path / "config_space.json").get("hyperparameters", [])
    by_name = {entry.get("name"): entry for entry in space}
    if missing := [name for name in (_TASK, *_INPUTS) if name not in by_name]:
        raise UserError(f"{path / 'config_space.json'} has no {missing[0]}: this is no space of LCBench")
    numbers = read_object(path / "encoding.json").get(_TASK, {})
    if missing := [task for task in by_name[_TASK]["choices"] if task not in numbers]:
        raise UserError(f"{path / 'encoding.json'} has no number of the task {missing[0]}: copy it again")
    return Surrogate(
        network=read_network(path / "model.onnx"),
        tasks={task: numbers[task] for task in by_name[_TASK]["choices"]},
        columns=tuple(_column(by_name[name]) for name in _INPUTS[1:]),
        whole=frozenset(name for name in _INPUTS if by_name[name]["type"] == "uniform_int"),
        num_epochs=int(by_name["epoch"]["upper"]),
    )


def read(path: Path, num_configs: int = 100, seed: int = 0) -> MetaDataset:
    """Draw configurations and evaluate each on every task.

    Args:
        path: the directory of the surrogate.
        num_configs: how many.
        seed: of the draw.

    Raises:
        UserError: see :func:`load_surrogate`, or there are no configurations to draw.
    """
    if num_configs < 1:
        raise UserError(f"num_configs cannot be {num_configs}: pass at least 1")
    surrogate = load_surrogate(path)
    configs, tasks = surrogate.sample(num_configs, seed), tuple(surrogate.tasks)
    accuracies, seconds = (np.asarray(values) for values in surrogate.curves(configs, tasks))
    steps = np.diff(seconds, axis=-1, prepend=0.0)
    shape = (len(tasks) * num_configs, surrogate.num_epochs)
    return MetaDataset(
        datasets=tasks,
        columns=surrogate.columns,
        config_names=tuple(f"{seed}-{i}" for i in range(num_configs)),
        configs=stored(surrogate.columns, configs),
        dataset_of=np.repeat(np.arange(len(tasks), dtype=np.int32), num_configs),
        config_of=np.tile(np.arange(num_configs, dtype=np.int32), len(tasks)),
        curves=np.clip(accuracies, 0.0, 100.0).reshape(shape),
        costs=np.maximum(steps, 0.0).reshape(shape).astype(np.float32),
        crashed=np.zeros(shape[0], bool),
        meta_names=(),
        meta_features=np.zeros((len(tasks), 0), np.float32),
        score_range=(0.0, 100.0),
        score_name="validation accuracy in %",
    )


def _value(config: Mapping[str, float], name: str) -> float:
    if name not in config:
        raise UserError(
            f"the surrogate needs {name} of every configuration: pass all of {', '.join(_INPUTS[1:])}"
        )
    return float(config[name])


def _column(entry: Mapping[str, Any]) -> Column:
    low, high = entry["lower"], entry["upper"]
    if entry["type"] == "uniform_int" and high - low < MOST_LEVELS:
        return Column(entry["name"], "levels", values=tuple(float(x) for x in range(low, high + 1)))
    return Column(entry["name"], "number", float(low), float(high), is_log=bool(entry.get("log")))
