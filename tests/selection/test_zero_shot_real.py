"""Zero-shot choices on published tables; skipped where these are not."""

import jax
import numpy as np
import pytest

from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.surrogates.registry import SURROGATES
from synthenv.selection.zero_shot import baselines
from synthenv.selection.zero_shot.protocol import Protocol, cross_validate, first_choice
from tests.selection.real_data import real_data

KEY = jax.random.key(0)
AUTODL = {"resnet_oldcs_24x20": (0.8171, 0.8482), "newcs_newdata_20x21": (0.3345, 0.4031)}


@pytest.mark.parametrize("name", AUTODL)
def test_the_scale_of_the_autodl_tables(name):
    meta = read_meta_dataset(real_data(f"autodl_zap_precursor/{name}"))
    methods = {"random": baselines.random, "oracle": baselines.oracle}
    outcomes = cross_validate(KEY, meta, methods, Protocol(folds=None))
    assert [np.nanmean(o.score) for o in outcomes.values()] == pytest.approx(AUTODL[name], abs=1e-4)


@pytest.mark.long
def test_quick_tune():
    meta = read_meta_dataset(real_data("quicktune_extended"))
    methods = {"zap": first_choice(SURROGATES["zap"], meta), "single_best": baselines.single_best}
    outcomes = cross_validate(KEY, meta, methods, Protocol(folds=5))
    assert outcomes["zap"].regret.mean() <= 0.12 < 0.3 < outcomes["single_best"].regret.mean()
