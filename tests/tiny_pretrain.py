"""The smallest pretraining: tests that share it share its programs in the compilation cache."""

from synthenv.worldmodel.small.network import ModelConfig
from synthenv.worldmodel.small.prior.sample import PriorConfig
from synthenv.worldmodel.small.train_step import PretrainConfig

TINY = PretrainConfig(
    model=ModelConfig(
        max_obs=3, width=8, num_heads=2, hidden_size=8, num_layers=1, column_size=4, head_size=8
    ),
    prior=PriorConfig(("linear",), 2, max_obs=3, min_context=10, num_queries=4, chain_length=5),
    context_sizes=(20,),  # each is a program of its own
    num_metric_rows=10,
    num_steps=4,
    warmup_steps=1,
)
