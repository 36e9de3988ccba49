"""World models by name: those that need no weights.

Pretrained ones live in files; ``runs.dream_places.world_model`` is where they join these.
"""

import difflib

from synthenv.core.errors import UserError
from synthenv.core.types import WorldModel
from synthenv.worldmodel.baselines import gaussian_process, ridge
from synthenv.worldmodel.experts import world_model as experts_model

MODELS: dict[str, WorldModel] = {
    model.name: model
    for model in (
        experts_model.EXPERTS,
        ridge.PERSISTENCE,
        ridge.RIDGE,
        ridge.QUADRATIC,
        gaussian_process.ISOTROPIC,
        gaussian_process.ARD,
    )
}


def make(name: str) -> WorldModel:
    """Look up a world model.

    Raises:
        UserError: the name is unknown.
    """
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        raise UserError(f"unknown world model {name!r}{hint} known ones: {', '.join(MODELS)}")
    return MODELS[name]
