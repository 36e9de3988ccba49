"""State columns of environments that the priors draw: all their values, and how they move in one episode."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from synthenv.worldmodel.paper.prior import sample as released_prior
from synthenv.worldmodel.paper.prior.momentum import KINDS
from synthenv.worldmodel.paper.prior.worlds import STEPS, ReleasedPriorConfig
from synthenv.worldmodel.small.prior import sample as prior
from synthenv.worldmodel.small.prior.sample import PriorConfig


class Column(NamedTuple):
    """One state dimension of one environment.

    Attributes:
        world: number of the environment.
        kind: what drives it: "network", a kind of pair and which of the two, or a family of ours.
        values: of all rows. [N]
        episode: of one episode in order. [T]
    """

    world: int
    kind: str
    values: np.ndarray
    episode: np.ndarray


def released(
    key: jax.Array, num_worlds: int, num_rows: int, config: ReleasedPriorConfig, pairs_alone: bool
) -> Iterator[Column]:
    """Columns of a released prior, or of the pairs of position and velocity in it."""

    def sample(key: jax.Array) -> tuple[released_prior.Worlds, released_prior.Rows]:
        drawn = released_prior.draw(key, config, num_worlds, num_rows)
        return drawn.worlds, released_prior.rows_of(drawn, config, num_rows, packed=False)

    worlds, rows = jax.tree.map(np.asarray, jax.jit(sample)(key))
    for world, slot in np.argwhere(worlds.state_mask):
        pair, second = divmod(int(worlds.order[world, slot] - worlds.num_networks[world]), 2)
        if pair < 0:
            kind = "network"
        else:
            kind = f"{KINDS[worlds.pairs.kind[world, pair]]} {'velocity' if second else 'position'}"
        if pair >= 0 or not pairs_alone:
            values = rows.x[world, :, slot]
            yield Column(int(world), kind, values, values[:STEPS])


def ours(
    key: jax.Array, num_worlds: int, num_rows: int, families: tuple[str, ...] = tuple(prior.FAMILIES)
) -> Iterator[Column]:
    """Columns of our prior, the same number of environments of every family, at least one."""
    config = PriorConfig(
        families=families,
        tasks_per_family=max(1, num_worlds // len(families)),
        num_context=num_rows,
        min_context=num_rows,
        num_queries=PriorConfig.chain_length,
    )
    batch = jax.tree.map(np.asarray, jax.jit(partial(prior.sample, config=config))(key))
    for world, column in np.argwhere(batch.used[:, :-1] & batch.sound[:, None]):
        values = batch.inputs[world, :, column]
        kind = config.families[world // config.tasks_per_family]
        # Rows of the context are in random order, those of the queries are one chain of steps.
        yield Column(int(world), kind, values[:num_rows], values[num_rows:])


PRIORS: dict[str, Callable[[jax.Array, int, int], Iterator[Column]]] = {
    "networks": partial(released, config=released_prior.NN_ONLY, pairs_alone=False),
    "momentum": partial(released, config=released_prior.RELEASED, pairs_alone=True),
    "momentum as in the text": partial(released, config=released_prior.PAPER, pairs_alone=True),
    "ours": ours,
}
