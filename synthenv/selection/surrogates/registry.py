"""Surrogates by name."""

from synthenv.core.registry import Registry
from synthenv.selection.surrogates.deep_kernel import DeepKernelConfig
from synthenv.selection.surrogates.forests import ForestConfig, forest_surrogate
from synthenv.selection.surrogates.quick_tune import quick_tune_surrogate
from synthenv.selection.surrogates.ranking import PRESETS, RankingConfig, ranking_surrogate
from synthenv.selection.surrogates.surrogate import Surrogate

SURROGATES: Registry[Surrogate] = Registry(
    "surrogate",
    Surrogate,
    [
        ranking_surrogate("zap", "ranks configurations from meta-features alone", PRESETS["default"]),
        ranking_surrogate("zap_paper", "the same as its paper has it", PRESETS["paper"]),
        ranking_surrogate("zap_released", "the same as its authors' code has it", PRESETS["released"]),
        ranking_surrogate(
            "regression", "a network of the same size that predicts scores", RankingConfig(loss="regression")
        ),
        forest_surrogate(
            "forest", "trees that predict scores of configurations on data sets", ForestConfig()
        ),
        forest_surrogate(
            "forest_individual", "a forest for each configuration", ForestConfig("individual", "score")
        ),
        forest_surrogate(
            "forest_pairwise",
            "forests for pairs of configurations, which vote",
            ForestConfig("pairwise", "score"),
        ),
        quick_tune_surrogate(
            "quick_tune_no_refit",
            "a deep kernel over curves, learnt from other data sets",
            DeepKernelConfig(),
        ),
    ],
)
