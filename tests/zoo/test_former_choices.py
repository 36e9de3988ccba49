"""Files of former versions, which could choose what is settled now."""

import json
from dataclasses import asdict

import pytest

from synthenv.core.errors import UserError
from synthenv.core.files import plain, to_json
from synthenv.worldmodel.paper.train_step import PaperPretrainConfig
from synthenv.zoo.world_models import config_from_stored


def stored_by_former_version(after_end, friction_everywhere):
    """What such a version wrote beside the weights of the paper's model."""
    stored = json.loads(to_json(plain(asdict(PaperPretrainConfig()))))
    stored["optimizer"]["after_end"] = after_end
    stored["prior"]["friction_everywhere"] = friction_everywhere
    return {"form": "paper", "pretrain": stored}


def test_a_choice_that_is_left_is_read():
    assert config_from_stored(stored_by_former_version("rise", False)) == PaperPretrainConfig()


@pytest.mark.parametrize(
    ("choices", "named"), [(("zero", False), "after_end"), (("rise", True), "friction_everywhere")]
)
def test_a_choice_that_is_gone_is_named(choices, named):
    with pytest.raises(UserError, match=rf"of another version of synthenv \(KeyError\('{named}'\)\)$"):
        config_from_stored(stored_by_former_version(*choices))
