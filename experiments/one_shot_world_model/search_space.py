"""Tables 6 and 7: which networks a prior is made of, and what the paper's model encodes and decodes with.

Ranges are the tables' and defaults their final values, but for two things. Dropout in the prior's networks is left out:
it would draw anew for every unit in every step and make the tasks random, and the paper's search ended without it. And
one activation there always is: where the other three are not, tanh is not asked about.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, appendix F.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from synthenv.nets.residual_mlp import ResidualMLPConfig
from synthenv.runs.meta_train.config import put
from synthenv.runs.tune.spaces import Param
from synthenv.worldmodel.paper.prior.networks import NetworkConfig
from synthenv.worldmodel.paper.prior.sample import PAPER
from synthenv.worldmodel.paper.train_step import PaperPretrainConfig

_BOOL = (False, True)


@dataclass(frozen=True)
class Networks:
    """Table 6."""

    num_hidden: int = 1
    width: int = 16
    bias: bool = False
    relu: bool = False
    sin: bool = True
    sigmoid: bool = False
    tanh: bool = True
    start_scale: float = PAPER.start_scale  # 18.14 in the table
    start_offset: float = PAPER.start_offset  # 3.28
    layer_norm: bool = True
    residual: bool = True

    @property
    def has_others(self) -> bool:
        """Whether there is an activation beside tanh."""
        return self.relu or self.sin or self.sigmoid

    @property
    def activations(self) -> tuple[str, ...]:
        """Names of those in use."""
        return tuple(name for name in ("sin", "tanh", "relu", "sigmoid") if getattr(self, name))


@dataclass(frozen=True)
class Coder:
    """One half of table 7; the defaults are the encoder's."""

    type: Literal["mlp", "cat"] = "cat"
    width: int = 512
    depth: int = 3
    activation: Literal["relu", "sigmoid", "gelu"] = "gelu"
    bias: bool = True
    residual: bool = True

    @property
    def mlp(self) -> ResidualMLPConfig:
        """All but the type."""
        return ResidualMLPConfig(self.width, self.depth, self.activation, self.bias, self.residual)


@dataclass(frozen=True)
class Tables:
    """Everything that is searched."""

    networks: Networks = field(default_factory=Networks)
    encoder: Coder = field(default_factory=Coder)
    decoder: Coder = Coder(width=64, depth=2, activation="sigmoid", bias=False)


TABLE6 = (
    Param("networks.num_hidden", 1, 6),
    Param("networks.width", 8, 64),
    Param("networks.bias", choices=_BOOL),
    Param("networks.relu", choices=_BOOL),
    Param("networks.sin", choices=_BOOL),
    Param("networks.sigmoid", choices=_BOOL),
    Param("networks.tanh", choices=_BOOL, when=("networks.has_others", (True,))),
    Param("networks.start_scale", 1.0, 20.0),
    Param("networks.start_offset", 1.0, 5.0),
    Param("networks.layer_norm", choices=_BOOL),
    Param("networks.residual", choices=_BOOL),
)


def _half(name: str) -> tuple[Param, ...]:
    return (
        Param(f"{name}.type", choices=("mlp", "cat")),
        Param(f"{name}.width", choices=(16, 64, 256, 512)),
        Param(f"{name}.depth", 1, 6),
        Param(f"{name}.activation", choices=("relu", "sigmoid", "gelu")),
        Param(f"{name}.bias", choices=_BOOL),
        Param(f"{name}.residual", choices=_BOOL),
    )


TABLE7 = (*_half("encoder"), *_half("decoder"))
SpaceName = Literal["both", "prior", "model"]
SPACES: dict[SpaceName, tuple[Param, ...]] = {"both": TABLE6 + TABLE7, "prior": TABLE6, "model": TABLE7}


def tables_of(drawn: Mapping[str, Any]) -> Tables:
    """The tables with what a study drew, by name."""
    tables = Tables()
    for name, value in drawn.items():
        tables = put(tables, name, value)
    return tables


def config_of(tables: Tables, base: PaperPretrainConfig) -> PaperPretrainConfig:
    """The pretraining ``base`` with a prior and a model as in the tables."""
    own, encoder, decoder = tables.networks, tables.encoder, tables.decoder
    networks = NetworkConfig(
        own.width, own.num_hidden, own.bias, own.activations, own.layer_norm, own.residual
    )
    return replace(
        base,
        prior=replace(
            base.prior, networks=networks, start_scale=own.start_scale, start_offset=own.start_offset
        ),
        model=replace(
            base.model,
            encoder_type=encoder.type,
            encoder=encoder.mlp,
            decoder_type=decoder.type,
            decoder=decoder.mlp,
        ),
    )
