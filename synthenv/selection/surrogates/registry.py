"""Surrogates by name."""

from synthenv.core.registry import Registry
from synthenv.selection.surrogates.deep_kernel import DeepKernelConfig
from synthenv.selection.surrogates.latent_kronecker import latent_kronecker
from synthenv.selection.surrogates.power_law import power_law
from synthenv.selection.surrogates.quick_tune import quick_tune_surrogate
from synthenv.selection.surrogates.ranking.forests import ForestConfig, forest_surrogate
from synthenv.selection.surrogates.ranking.kernel_ranking import KernelConfig, kernel_surrogate
from synthenv.selection.surrogates.ranking.networks import PRESETS, RankingConfig, ranking_surrogate
from synthenv.selection.surrogates.ranking.standing import mixed_surrogate
from synthenv.selection.surrogates.surrogate import Surrogate

NETWORKS = ranking_surrogate("zap_networks", "ranks by networks trained on pairs", PRESETS["default"])
REGRESSION = ranking_surrogate(
    "regression", "a network of the same size that predicts scores", RankingConfig(loss="regression")
)
KERNEL = kernel_surrogate("zap_kernel", "ranks by kernel ridge regression on places", KernelConfig())
PARTS = [NETWORKS, REGRESSION, KERNEL]  # they fail on different data sets
SURROGATES: Registry[Surrogate] = Registry(
    "surrogate",
    Surrogate,
    [
        mixed_surrogate(
            "zap", "ranks by networks, a regression and a kernel, from meta-features alone", PARTS
        ),
        NETWORKS,
        KERNEL,
        ranking_surrogate("zap_paper", "the same as its paper has it", PRESETS["paper"]),
        ranking_surrogate("zap_released", "the same as its authors' code has it", PRESETS["released"]),
        REGRESSION,
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
        latent_kronecker(),
        power_law(),
    ],
)
