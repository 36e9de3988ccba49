"""What ``synthenv oswm pretrain --preset`` can say, each with what it costs."""

from dataclasses import replace
from typing import Any, NamedTuple

from synthenv.core.errors import UserError
from synthenv.core.registry import unknown
from synthenv.runs.oswm.pretrain.real_task_errors import TASKS, RealConfig
from synthenv.runs.oswm.pretrain.run import PAPER, SMALL, Method
from synthenv.worldmodel.paper.train_step import PaperPretrainConfig
from synthenv.worldmodel.small.network import ModelConfig
from synthenv.worldmodel.small.prior.generic_families import GENERIC
from synthenv.worldmodel.small.prior.sample import FAMILIES, PriorConfig
from synthenv.worldmodel.small.train_step import PretrainConfig


class Preset(NamedTuple):
    """A named pretraining.

    Attributes:
        method: the form of world model, and how it is pretrained.
        config: sizes and numbers, of the class that the method takes.
        real: the real transitions on which it is watched.
        steps_per_line: gradient steps between two lines of metrics.
        about: what it is and what it costs.
    """

    method: Method
    config: Any
    real: RealConfig
    steps_per_line: int
    about: str


_SMALL = PretrainConfig()
_WATCHED = RealConfig(TASKS, 256)
_SMOKE = PretrainConfig(
    model=ModelConfig(width=16, num_heads=2, hidden_size=16, num_layers=1, column_size=4, head_size=8),
    prior=PriorConfig(("linear", "pendulum"), min_context=20, num_queries=8, chain_length=8),
    context_sizes=(32,),
    num_metric_rows=16,
    num_steps=6,
    warmup_steps=1,
)

_GENERIC = replace(_SMALL, prior=replace(_SMALL.prior, families=tuple(GENERIC)))
_PAPER = PaperPretrainConfig()


def _size(config: PretrainConfig) -> str:
    """Say how much there is to compute, since seconds depend on the machine."""
    prior = config.prior
    rows = round(sum(config.context_sizes) / len(config.context_sizes)) + prior.num_queries
    return f"{config.num_steps:,} batches of {prior.batch_size} tasks x up to {rows:,} transitions"


PRESETS: dict[str, Preset] = {
    "small": Preset(
        SMALL,
        _SMALL,
        _WATCHED,
        100,
        f"the small world model on all ten families of tasks: {_size(_SMALL)}; half an hour on two cores",
    ),
    "generic": Preset(
        SMALL,
        _GENERIC,
        _WATCHED,
        100,
        f"the same on the five families that resemble no task it is measured on: {_size(_GENERIC)}",
    ),
    "smoke": Preset(
        SMALL,
        _SMOKE,
        RealConfig(("SimpleEnv", "Pendulum-v1"), 32),
        2,
        "six steps of a tiny model, a minute or two of compilation: shows that everything runs, good for nothing",
    ),
    "paper": Preset(
        PAPER,
        _PAPER,
        RealConfig(TASKS, 500),  # it is trained with as few
        100,
        f"the paper's transformer on the paper's prior: {_PAPER.num_steps:,} batches of {_PAPER.batch_size} tasks x"
        f" {_PAPER.num_rows:,} transitions, 1e12 operations each: wants a GPU",
    ),
}


def with_steps(config: Any, num_steps: int) -> Any:
    """Return the config for another number of gradient steps, of which at most a tenth is warm-up."""
    warm_up = (
        {"warmup_steps": min(config.warmup_steps, num_steps // 10)} if hasattr(config, "warmup_steps") else {}
    )
    return replace(config, num_steps=num_steps, **warm_up)


def with_families(config: Any, families: tuple[str, ...]) -> Any:
    """Return the config with other families of random systems.

    Raises:
        UserError: one is unknown, or the config's prior is none of families.
    """
    for family in families:
        FAMILIES.find(family)
    if not hasattr(config.prior, "families"):
        raise UserError("--families is for the presets small, generic and smoke: the paper's prior has none")
    return replace(config, prior=replace(config.prior, families=families))


def preset(name: str) -> Preset:
    """Look up a preset.

    Raises:
        UserError: the name is unknown.
    """
    if name not in PRESETS:
        raise UserError(unknown("preset of oswm pretrain", name, PRESETS))
    return PRESETS[name]
