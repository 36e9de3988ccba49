"""Random search spaces: numbers, levels and choices, of which some matter, some do not, and some are not told.

A configuration is shown twice: as features, which are what a surrogate sees (``columns.features``), and as inputs of
the random network that makes its curve. A choice means two random numbers to the network; a column that is inactive
means its mean.

Axis letters: N configurations, H hyperparameters, M places for the features of one.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class SpaceConfig:
    """What spaces are drawn from.

    Attributes:
        most_columns: hyperparameters at most; how many there are is uniform.
        places: features of one at most, and so options of a choice. With 1 all columns are plain numbers.
        choices: share of columns that are choices.
        levels: share that are numbers with few values.
        inactive: chance that a column can be inactive.
        hidden: chance that a column is not told.
        least_relevance: decimal logarithm of the least scale of a column's inputs.
    """

    most_columns: int = 10
    places: int = 1
    choices: float = 0.0
    levels: float = 0.0
    inactive: float = 0.0
    hidden: float = 0.0
    least_relevance: float = 0.0

    @property
    def num_features(self) -> int:
        """F."""
        return self.most_columns * self.places


class Space(NamedTuple):
    """Of one task; see ``SpaceConfig``.

    Attributes:
        there: which columns there are. bool [H]
        is_choice: bool [H]
        num_options: of a choice, or values of a column of levels; 0 for other numbers. int32 [H]
        inactive: how often a column is inactive. [H]
        told: bool [H]
        meanings: what the options of a choice are to the network. [H, M, 2]
        relevance: scale of the network's inputs. [H]
    """

    there: jax.Array
    is_choice: jax.Array
    num_options: jax.Array
    inactive: jax.Array
    told: jax.Array
    meanings: jax.Array
    relevance: jax.Array


def draw_space(key: jax.Array, config: SpaceConfig) -> Space:
    """Draw a space."""
    keys = jax.random.split(key, 8)
    size = (config.most_columns,)
    num_columns = jax.random.randint(keys[0], (), 1, config.most_columns + 1)
    kind = jax.random.uniform(keys[1], size)
    is_choice = kind < config.choices
    has_levels = (kind >= config.choices) & (kind < config.choices + config.levels)
    options = jax.random.randint(keys[2], size, 2, max(config.places, 2) + 1)
    key_can, key_often = jax.random.split(keys[3])
    can = jax.random.bernoulli(key_can, config.inactive, size)
    relevance = jax.random.uniform(keys[5], size, minval=config.least_relevance, maxval=0.0)
    return Space(
        there=jnp.arange(config.most_columns) < num_columns,
        is_choice=is_choice,
        num_options=jnp.where(is_choice | has_levels, options, 0),
        inactive=jnp.where(can, jax.random.uniform(key_often, size), 0.0),
        told=~jax.random.bernoulli(keys[4], config.hidden, size),
        meanings=jax.random.normal(keys[6], (*size, config.places, 2)),
        relevance=10.0**relevance,
    )


class Configurations(NamedTuple):
    """Of one space.

    Attributes:
        features: what a surrogate sees. [N, F]
        inputs: what the network sees, with mean 0 and variance up to 1. [N, 2 H]
        option: of every choice, 0 for other columns. int32 [N, H]
    """

    features: jax.Array
    inputs: jax.Array
    option: jax.Array


def draw_configurations(key: jax.Array, config: SpaceConfig, space: Space, num: int) -> Configurations:
    """Draw uniform configurations."""
    key_value, key_active = jax.random.split(key)
    shape = (num, config.most_columns)

    def rows(column: jax.Array) -> jax.Array:
        return jnp.broadcast_to(column[None], (num, *column.shape))

    value = jax.random.uniform(key_value, shape)
    options = rows(space.num_options)
    index = jnp.minimum((value * options).astype(jnp.int32), jnp.maximum(options - 1, 0))
    value = jnp.where(options > 1, index / jnp.maximum(options - 1, 1), value)
    active = rows(space.there) & (jax.random.uniform(key_active, shape) >= rows(space.inactive))
    option = jnp.where(rows(space.is_choice), index, 0)
    meaning = jnp.take_along_axis(rows(space.meanings), option[..., None, None], axis=2)[:, :, 0]
    centred = jnp.stack([(value - 0.5) * math.sqrt(12.0), jnp.zeros(shape)], axis=-1)
    inputs = jnp.where(rows(space.is_choice)[..., None], meaning * math.sqrt(0.5), centred)
    inputs = jnp.where(active[..., None], inputs * rows(space.relevance)[..., None], 0.0)
    shown = active & rows(space.told)
    return Configurations(_features(config, space, value, option, shown), inputs.reshape(num, -1), option)


def _features(
    config: SpaceConfig, space: Space, value: jax.Array, option: jax.Array, shown: jax.Array
) -> jax.Array:
    """One-hot choices; numbers, and whether they are there where they have a place for it. [N, F]"""
    places = jnp.arange(config.places).reshape(1, 1, -1)
    one_hot = (option[..., None] == places).astype(jnp.float32)
    number = jnp.where(places == 0, value[..., None], (places == 1).astype(jnp.float32))
    is_choice = jnp.broadcast_to(space.is_choice[None, :, None], one_hot.shape)
    features = jnp.where(is_choice, one_hot, jnp.broadcast_to(number, one_hot.shape))
    return jnp.where(shown[..., None], features, 0.0).reshape(len(value), -1)
