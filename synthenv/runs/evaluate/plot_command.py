"""``synthenv plot``: pictures of what a proxy shows its agents, with their numbers beside them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from synthenv.core.errors import UserError
from synthenv.envs.gridworld import GridWorld
from synthenv.runs.display.figures import save
from synthenv.runs.display.terminal import busy, counted, say
from synthenv.runs.evaluate import proxy_contents, proxy_contents_plot, records
from synthenv.runs.evaluate.arguments import Plot
from synthenv.runs.statistics.distributions import Histogram, as_rows, histogram, overlap
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.csv_tables import write_csv
from synthenv.runs.training import evaluation, places
from synthenv.runs.training.places import Place

ACTIONS = ("right", "left", "down", "up")  # in a gridworld


def plot(command: Plot) -> dict[str, Any]:
    """Draw what there is to see of the proxies named, and write it to their run directory or to ``--out``.

    Raises:
        UserError: if a name is unknown or no proxy, or the agent keeps no replay.
    """
    if not command.proxy:
        raise UserError("nothing to plot: pass a run directory or a shipped proxy")
    place = places.resolve(*command.proxy, agent=command.agent)
    if not place.proxies:
        raise UserError(f"{place.name} is no proxy: pass a run directory or a shipped proxy")
    place = place._replace(agent=places.budgeted(place.agent, command.max_steps))
    with locked_directory.output(command.out or _home(command.proxy), f"plots-{place.spec.name}") as out:
        if not place.shapes_rewards:
            found = _synthetic(place, command, out)
        elif isinstance(place.spec.env, GridWorld):
            found = _grid(place, out)
        else:
            found = _rewards(place, command, out)
    return {
        "agent": place.agent.full_name,
        "task": place.spec.name,
        "proxies": place.proxies,
        "out": str(out),
        **found,
    }


def _home(names: Sequence[str]) -> Path | None:
    """Return ``plots`` in the run directory that was named; None if it was something else."""
    if len(names) == 1 and not places.is_shipped(names[0]) and Path(names[0]).is_dir():
        return Path(names[0]) / "plots"
    return None


def _title(place: Place) -> str:
    """Name the proxies in few words; a path is shortened at its beginning."""
    if len(place.proxies) > 1:
        return f"{len(place.proxies)} proxies of {place.spec.name}"
    return place.name if len(place.name) <= 50 else f"…{place.name[-49:]}"


def _synthetic(place: Place, command: Plot, out: Path) -> dict[str, Any]:
    """Draw histograms of states and rewards, then densities of returns: training on the real task comes last."""
    num, seed = command.num_agents, command.common.seed
    with busy(f"training {counted(num, 'agent')} in {place.name}"):
        met = proxy_contents.experience(place, num, seed)
    histograms = proxy_contents.histograms(place, met)
    title = f"{_title(place)}: {counted(num, f'{place.agent.full_name} agent')}"
    _write(out, "states", proxy_contents_plot.draw_histograms(histograms, title), as_rows(histograms))
    _tell(histograms)
    if not command.returns:
        return {"states": _described(histograms)}
    with busy(f"training {counted(num, 'agent')} in {place.spec.name}"):
        real = places.resolve(place.spec.name, agent=place.agent.full_name)
        scores = {
            "proxy": met.scores,
            "real": evaluation.run_agents(real, real.agent, num, seed),
            "untrained": evaluation.untrained(place, place.agent, num, seed),
        }
    rows = {row: evaluation.summarise(score) for row, score in scores.items()}
    returns = {row: score.returns for row, score in scores.items()}
    figure = proxy_contents_plot.draw_returns(
        returns, rows, place.spec.solved_return, f"{title}, tests on {place.spec.name}"
    )
    _write(out, "returns", figure, records.return_rows(returns))
    return {"states": _described(histograms), "returns": rows}


def _grid(place: Place, out: Path) -> dict[str, Any]:
    """Draw the rewards of every action in every cell, averaged over the networks."""
    rewards = proxy_contents.grid_rewards(place)
    env = place.ground.env
    mean, cells, variant = rewards.mean(axis=0), env.real_env.cells, env.config.variant
    title = f"{place.spec.name}: mean rewards of {len(rewards)} reward network{'s' * (len(rewards) > 1)}"
    _write(
        out, "rewards", proxy_contents_plot.draw_grids({variant: mean}, cells, title), grid_rows(mean, cells)
    )
    return {
        "variant": variant,
        "discount": place.agent.discount,
        "num_networks": len(rewards),
        "rewards": {"min": mean.min(), "max": mean.max(), "mean": mean.mean()},
    }


def grid_rows(rewards: np.ndarray, cells: np.ndarray) -> Iterable[dict[str, Any]]:
    """Yield a line of a table for each cell and action of rewards [rows, columns, 4]."""
    for (row, column, action), reward in np.ndenumerate(rewards):
        kind = str(cells[row, column])
        yield {
            "row": row, "column": column, "kind": kind, "action": ACTIONS[action], "reward": f"{reward:.5g}"
        }  # fmt: skip


def _rewards(place: Place, command: Plot, out: Path) -> dict[str, Any]:
    """Draw learned and real rewards along test episodes, and a map of the network where states are pairs of numbers."""
    env, spec = place.ground.env, place.spec
    with busy(f"training {counted(command.num_agents, 'agent')} in {place.name}"):
        paid = proxy_contents.paid_rewards(place, command.num_agents, command.common.seed)
    names = proxy_contents.dimensions(spec.name, env.obs_size)
    found = histogram(
        "reward of a step in test episodes",
        {proxy_contents.LEARNED: paid.learned, proxy_contents.REAL: paid.real},
    )
    phi = None
    if env.obs_size == 2 and not env.info_size:
        x, y, values = proxy_contents.phi_map(place)
        phi = (x, y, values, paid.obs)
        write_csv(out / "network.csv", _phi_rows(names, x, y, values))
    agents = counted(command.num_agents, f"{place.agent.full_name} agent")
    title = f"{_title(place)}: {env.config.variant}, {agents}"
    _write(out, "rewards", proxy_contents_plot.draw_rewards(found, title, phi, names), as_rows([found]))
    _tell([found])
    return {
        "variant": env.config.variant,
        "discount": place.agent.discount,
        "mean_return": paid.returns.mean(),
        "rewards": _described([found]),
    }


def _phi_rows(
    names: Sequence[str], x: np.ndarray, y: np.ndarray, values: np.ndarray
) -> Iterable[dict[str, Any]]:
    for (j, i), value in np.ndenumerate(values):
        yield {names[0]: f"{x[i]:.5g}", names[1]: f"{y[j]:.5g}", "value": f"{value:.5g}"}


def _described(histograms: Sequence[Histogram]) -> dict[str, Any]:
    """Return, for every quantity, the statistics of its series and what each pair of them shares."""
    return {
        found.name: {
            **found.statistics,
            "overlap": {
                f"{one} / {other}": overlap(found, one, other)
                for i, one in enumerate(found.shares)
                for other in list(found.shares)[i + 1 :]
            },
        }
        for found in histograms
    }


def _tell(histograms: Sequence[Histogram]) -> None:
    """Print means and standard deviations, a line for each quantity."""
    for found in histograms:
        numbers = (
            f"{series} {row['mean']:.3g} ± {row['std']:.3g}" for series, row in found.statistics.items()
        )
        say(f"{found.name}: {', '.join(numbers)}")


def _write(out: Path, name: str, figure: Figure, rows: Iterable[dict[str, Any]]) -> None:
    """Write a picture and its numbers, and print where they are."""
    write_csv(out / f"{name}.csv", rows)
    save(figure, out / f"{name}.png", dpi=130)
    say(f"{name}: {out / f'{name}.png'}   numbers: {out / f'{name}.csv'}")
