"""World models by the names that a command line takes."""

import jax
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.worldmodel import registry

pytestmark = pytest.mark.rank_promotion_ok


def test_names_can_be_typed():
    assert set(registry.MODELS) >= {"experts", "persistence", "ridge", "quadratic", "gp-isotropic", "gp-ard"}
    assert all(name == name.strip() and " " not in name for name in registry.MODELS)
    with pytest.raises(UserError, match=r"unknown world model 'gp ard'; did you mean 'gp-ard'\?"):
        registry.MODELS.find("gp ard")


@pytest.mark.parametrize("name", ["persistence", "ridge", "quadratic"])
def test_each_name_is_its_model(name):
    """A change that is a product of state and action: a quadratic alone foresees it, and persistence none at all."""
    source = np.random.default_rng(0)
    obs, action = source.normal(size=(2, 40, 1)).astype(np.float32)
    never = np.zeros(40, bool)
    rows = Transition(obs, action, obs[:, 0], obs + obs * action, never, never)
    model = registry.MODELS[name]
    cache = model.encode(model.params, rows, None)
    said = jax.vmap(lambda obs, action: model.predict(cache, obs, action))(obs, action)
    error = float(np.mean(np.square(said.next_obs - rows.next_obs)))
    assert (error < 1e-6) == (name == "quadratic")
    assert np.array_equal(said.next_obs, obs) == (name == "persistence")
