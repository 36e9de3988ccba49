"""The surface of a long log is that of all its observations."""

import numpy as np

from synthenv.worldmodel.dream import surface


def test_one_observation_away_from_it_and_there_is_no_surface():
    source = np.random.default_rng(0)
    angle = source.uniform(-3, 3, 20_000)
    obs = np.stack([np.cos(angle), np.sin(angle), source.normal(size=20_000)], axis=1).astype(np.float32)
    assert len(surface.find(obs).quadrics) == 1
    obs[12_345, :2] *= 1.5
    assert len(surface.find(obs).quadrics) == 0
