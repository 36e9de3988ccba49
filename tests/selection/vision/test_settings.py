"""The space of fine-tuning settings."""

import pytest

from synthenv.selection.vision.hub import HUB
from synthenv.selection.vision.settings import CONDITIONS, FineTuning, fine_tuning, fine_tuning_space

pytest.importorskip("ConfigSpace")


def test_configurations_are_settings_and_come_back():
    space = fine_tuning_space()
    configs = space.sample(60, seed=0)
    rows = space.encode(configs)
    for config, row in zip(configs, rows, strict=True):
        settings = fine_tuning(config)
        assert space.decode(row) == config
        assert all(getattr(settings, name) == value for name, value in config.items())
        for name, (other, values) in CONDITIONS.items():
            assert (name in config) == (config[other] in values)
    assert {config["model"] for config in configs} == set(HUB)


def test_defaults_lie_in_the_space():
    space = fine_tuning_space(models=("efficientnet_lite0",), resolutions=(32,))
    default = dict(space.source.get_default_configuration())
    assert default["resolution"] == 32 and fine_tuning(default).lr == FineTuning().lr
    names = {column.name for column in space.columns}
    assert "lr" in names


@pytest.mark.parametrize(
    ("settings", "units"),
    [({}, 0), ({"pct_to_freeze": 0.4}, 7), ({"linear_probing": True, "pct_to_freeze": 0.4}, 18)],
)
def test_frozen_units(settings, units):
    assert fine_tuning(settings).num_frozen(18) == units
