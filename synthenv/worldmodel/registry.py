"""World models by name: those that need no weights, and a user's.

Pretrained ones live in files; ``runs.oswm.run.real_tasks.world_model`` is where they join these.
"""

from synthenv.core.registry import Registry
from synthenv.core.types import WorldModel
from synthenv.worldmodel.baselines import gaussian_process, ridge
from synthenv.worldmodel.experts import world_model as experts_model

MODELS: Registry[WorldModel] = Registry(
    "world model",
    WorldModel,
    ours=(
        experts_model.EXPERTS,
        ridge.PERSISTENCE,
        ridge.RIDGE,
        ridge.QUADRATIC,
        gaussian_process.ISOTROPIC,
        gaussian_process.ARD,
    ),
)
