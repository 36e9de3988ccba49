"""What the functions of the face return: a directory, numbers, a table, a picture, and what can be played with."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthenv.core.errors import UserError
from synthenv.face.words import place_of

if TYPE_CHECKING:
    import jax
    import numpy as np
    from matplotlib.figure import Figure

    from synthenv.core.types import Transition

    Policy = Callable[[jax.Array, Any], Any]  # (key, obs) -> action


class Table(str):
    """Text that notebooks and terminals show as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What a command came to. It stands for its directory wherever a function of synthenv takes one.

    Attributes:
        directory: where all of it is on disk, for ``synthenv.load`` and every command; None where nothing is.
        results: the numbers, as ``--json`` writes them; empty if the run is not finished.
        command: what was asked for, with every default filled in.
    """

    directory: Path | None
    results: dict[str, Any] = dataclasses.field(repr=False)
    command: Any = dataclasses.field(repr=False)

    def __fspath__(self) -> str:
        return str(self._home)

    def table(self) -> Table:
        """The numbers as the command line shows them.

        Raises:
            UserError: the run is not finished.
        """
        from synthenv.runs.display.terminal import text_of

        return Table(text_of(self._show))

    def plot(self) -> "Figure":
        """The picture of it, which a notebook shows where it is a cell's last value.

        Raises:
            UserError: there is nothing to draw yet.
        """
        raise UserError(f"there is no picture of a {type(self).__name__}: table() shows its numbers")

    def _show(self) -> None:
        raise NotImplementedError

    @property
    def _home(self) -> Path:
        if self.directory is None:
            raise UserError(f"a {type(self).__name__} leaves no directory: pass a run's result or a path")
        return self.directory

    def _finished(self) -> dict[str, Any]:
        if not self.results:
            raise UserError(f"the run in {self._home} is not finished: go on with resume=True")
        return self.results


class Search(Result):
    """A search for a proxy: what ``meta_train`` returns, and ``load`` of one that goes on, too."""

    @property
    def proxy(self) -> tuple[Any, Any]:
        """The best proxy as a gymnax environment and its params.

        Raises:
            UserError: the run is not finished.
        """
        from synthenv.zoo import registry

        return registry.make(place_of(self))

    def plot(self) -> "Figure":
        """Returns, training steps and time by generation."""
        from synthenv.runs.meta_train.report import read_story
        from synthenv.runs.meta_train.report_plot import progress_figure

        return progress_figure(*read_story(self._home))

    def _show(self) -> None:
        from synthenv.runs.meta_train.command import show

        show(self._home)


class Evaluation(Result):
    """Agents trained somewhere and tested on the real task, in rows: what ``evaluate`` returns."""

    @property
    def returns(self) -> "dict[str, np.ndarray]":
        """Of every test episode on the real task by row (``proxy``, ``real``, ``untrained``), [agents, episodes]."""
        from synthenv.runs.evaluate.records import read_returns

        return read_returns(self._home)

    def plot(self) -> "Figure":
        """Densities of the returns; with ``curves=True`` returns against training steps, and steps to solve."""
        from synthenv.envs import registry
        from synthenv.runs.evaluate import learning_curves_plot, proxy_contents_plot

        results = self._finished()
        if "agents" in results:
            bands = learning_curves_plot.read_bands(self._home)
            return learning_curves_plot.draw_curves(results, bands, results["tested_on"])
        returns = self.returns
        first, *_ = returns
        rows = {first: results, **results.get("baselines", {})}
        solved = registry.make(results["tested_on"]).solved_return
        title = f"{results['agent']}, tested on {results['tested_on']}"
        return proxy_contents_plot.draw_returns(returns, rows, solved, title)

    def _show(self) -> None:
        from synthenv.runs.evaluate.command import show

        show(self.command, self._finished())


class Training(Evaluation):
    """Agents trained somewhere: what ``train`` returns."""

    def policy(self, agent: int = 0) -> "Policy":
        """What an agent learnt: (key, obs) -> action, as in a test; jit and vmap it at will.

        Args:
            agent: its number, counted from 0; ``returns`` says which one did best.

        Raises:
            UserError: there is none of that number, or the agents' networks differ and were not kept.
        """
        from synthenv.runs.evaluate.records import load_policy

        return load_policy(self._home, agent)


class Dream(Result):
    """Policies learnt in dreams, seed by seed: what ``dream`` returns."""

    def environment(self, seed: int = 0) -> tuple[Any, Any]:
        """The dream that a seed learnt in, as a gymnax environment and its params.

        Its state holds the observation: ``state.replace(obs=...)`` goes on from any other.

        Raises:
            UserError: there is no such seed, or a file that the run names is gone.
        """
        from synthenv.runs.oswm.run.saved_policies import load_dream

        return load_dream(self.command, self._home, seed)

    def policy(self, seed: int = 0) -> "Policy":
        """What a seed had learnt at the end of training: (key, obs) -> action of the real task.

        Raises:
            UserError: there is no such seed.
        """
        from synthenv.runs.oswm.run.saved_policies import load_policy

        return load_policy(self._home, seed)

    def context(self, seed: int = 0) -> "Transition":
        """The real transitions that the world model was shown, in the order in which they were taken.

        Raises:
            UserError: there is no such seed.
        """
        from synthenv.worldmodel.context.file import load_context

        return load_context(self._home / "contexts" / f"seed{seed}.safetensors").transitions

    def plot(self) -> "Figure":
        """Returns against training steps, and controls beside them."""
        from synthenv.runs.oswm.plot_command import told_of
        from synthenv.runs.oswm.run.plot import draw
        from synthenv.runs.storage import metrics
        from synthenv.runs.storage.stored_config import stored_config

        if not (lines := metrics.read(self._home)):
            self._finished()
        return draw(lines, *told_of(stored_config(self._home)))

    def _show(self) -> None:
        from synthenv.runs.oswm.run.command import table

        table(self._finished(), self.command)


class Study(Result):
    """A search for hyperparameters: what ``tune`` returns."""

    def plot(self) -> "Figure":
        """Which hyperparameters mattered; where too few trials tell, how the best value came about."""
        from synthenv.runs.storage.csv_tables import read_csv
        from synthenv.runs.tune import plot

        results = self._finished()
        if results["importances"]:
            return plot.draw_importances(results["importances"], results["completed"], results["num_trials"])
        trials = [
            (int(line["number"]), line["state"], float(line["value"]) if line["value"] else None)
            for line in read_csv(self._home / "trials.csv")
        ]
        return plot.draw_history(trials, self.command.proxy)

    def _show(self) -> None:
        from synthenv.runs.tune.command import show_best

        show_best(self._finished())


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures(Result):
    """What a proxy shows its agents: what ``plot`` returns.

    Attributes:
        figures: by name, as the files in the directory: ``states`` and ``returns``, or ``rewards``.
    """

    figures: "dict[str, Figure]" = dataclasses.field(repr=False)

    def plot(self) -> "Figure":
        """The first of them."""
        return next(iter(self.figures.values()))

    def _show(self) -> None:
        from synthenv.runs.display.terminal import listing

        kept = ("agent", "task", "variant", "discount", "num_networks")
        rows = [(name, str(self.results[name])) for name in kept if name in self.results]
        listing(", ".join(self.results["proxies"]), ("", ""), [*rows, ("pictures", ", ".join(self.figures))])


class Names(Result):
    """What commands can be told by name: what ``list_names`` returns."""

    def _show(self) -> None:
        from synthenv.runs.list_names.command import list_names

        list_names(self.command)
