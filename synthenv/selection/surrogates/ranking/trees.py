"""Decision trees as arrays, so that forests that scikit-learn has grown are asked inside of compiled programs.

Axis letters here: G forests, T trees, V nodes, I inputs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Forests(NamedTuple):
    """Forests of equally many trees, padded to the largest tree. Node 0 is a tree's root.

    Attributes:
        column: the input that a node asks about. int32 [G, T, V]
        threshold: up to which it goes left. [G, T, V]
        left: the next node; the node itself where there is none. int32 [G, T, V]
        right: the same for inputs above the threshold. int32 [G, T, V]
        value: what a node predicts. [G, T, V]
    """

    column: jax.Array
    threshold: jax.Array
    left: jax.Array
    right: jax.Array
    value: jax.Array


def as_arrays(forests: Sequence[Any]) -> Forests:
    """Read forests of scikit-learn; a classifier's value is the probability of its last class."""
    trees = [[tree.tree_ for tree in forest.estimators_] for forest in forests]
    size = max(tree.node_count for grown in trees for tree in grown)

    def stacked(read: Any) -> np.ndarray:
        return np.stack(
            [np.stack([np.pad(x := read(tree), (0, size - len(x))) for tree in grown]) for grown in trees]
        )

    def next_node(children: np.ndarray) -> np.ndarray:
        return np.where(children < 0, np.arange(len(children)), children)

    def value(tree: Any) -> np.ndarray:
        values = tree.value[:, 0]
        return values[:, 0] if values.shape[1] == 1 else values[:, -1] / values.sum(1)

    return Forests(
        jnp.asarray(stacked(lambda tree: np.maximum(tree.feature, 0)), jnp.int32),
        jnp.asarray(stacked(lambda tree: tree.threshold), jnp.float32),
        jnp.asarray(stacked(lambda tree: next_node(tree.children_left)), jnp.int32),
        jnp.asarray(stacked(lambda tree: next_node(tree.children_right)), jnp.int32),
        jnp.asarray(stacked(value), jnp.float32),
    )


def ask(forests: Forests, x: jax.Array) -> jax.Array:
    """What each tree predicts for one input [I]. [G, T]"""
    return jax.vmap(jax.vmap(_ask_tree, (0, None)), (0, None))(forests, x)


def _ask_tree(tree: Forests, x: jax.Array) -> jax.Array:
    def step(node: jax.Array) -> jax.Array:
        goes_left = x[tree.column[node]] <= tree.threshold[node]
        return jnp.where(goes_left, tree.left[node], tree.right[node])

    return tree.value[jax.lax.while_loop(lambda node: tree.left[node] != node, step, jnp.int32(0))]
