"""Rows and their places: crashes, ties, missing cells."""

import jax.numpy as jnp
import numpy as np

from synthenv.selection.surrogates.ranking.ranked_rows import filled_scores, ranked_rows
from tests.selection.small_tables import table

NAN = np.nan
CONFIGS = [{"x": float(i)} for i in range(4)]
META = np.array([[1.0], [2.0]])


def test_places_with_ties():
    rows = ranked_rows(table(np.array([[0.5, 0.1, 0.5, 0.9], [0.2, 0.3, 0.4, 0.5]]), META, CONFIGS))
    assert rows.config.tolist() == [1, 0, 2, 3, 0, 1, 2, 3]
    assert rows.below.tolist()[:4] == [0, 1, 1, 3]
    assert rows.above.tolist()[:4] == [3, 1, 1, 0]
    # 0 is the best; equal scores share the worse place
    np.testing.assert_allclose(rows.rank[:4], [1.0, 2 / 3, 2 / 3, 0.0], rtol=1e-6)
    np.testing.assert_allclose(rows.gap[:4], [0.8, 0.4, 0.4, 0.0], rtol=1e-5)


def test_partners_are_of_the_same_data_set():
    rows = ranked_rows(table(np.array([[0.5, 0.1, 0.5, 0.9], [0.2, 0.3, 0.4, 0.5]]), META, CONFIGS))
    every = jnp.arange(8)
    for u in (0.0, 0.4, 0.999999):
        smaller, larger = rows.smaller(every, jnp.full(8, u)), rows.larger(every, jnp.full(8, u))
        assert (rows.dataset[smaller] == rows.dataset).all()
        assert (rows.dataset[larger] == rows.dataset).all()
        assert ((rows.score[smaller] < rows.score) == (rows.below > 0)).all()
        assert ((rows.score[larger] > rows.score) == (rows.above > 0)).all()
    # without a partner the row stands for itself
    assert rows.smaller(every, jnp.full(8, 0.5))[0] == 0
    assert rows.larger(every, jnp.full(8, 0.5))[3] == 3


def test_missing_cells_are_ranked_without():
    scores = np.array([[0.5, 0.1, NAN, 0.9], [0.2, NAN, NAN, NAN]])
    rows = ranked_rows(table(scores, META, CONFIGS))
    assert rows.config.tolist() == [1, 0, 3, 0]
    np.testing.assert_allclose(rows.rank, [1.0, 0.5, 0.0, 0.0])
    assert rows.below.tolist() == [0, 1, 2, 0]


def test_a_crash_is_worse_than_any_score():
    scores = np.array([[0.5, 0.1, NAN, 0.9], [NAN, NAN, NAN, NAN]])
    crashed = np.array([[False, False, True, False], [True, True, False, False]])
    meta = table(scores, META, CONFIGS, crashed)
    rows = ranked_rows(meta)
    assert rows.config.tolist()[0] == 2 and rows.rank[0] == 1.0
    there = scores[0][[0, 1, 3]]
    np.testing.assert_allclose(filled_scores(meta)[2], 0.1 - there.std(), rtol=1e-5)
    # where everything crashed, nothing is better than anything else
    assert rows.below.tolist()[4:] == [0, 0] and rows.above.tolist()[4:] == [0, 0]
