"""SMAC3's multi-fidelity facade (a random forest, Hyperband) on tables of past runs; ``table.py`` has the rules."""

import importlib.metadata
import logging
import math
import sys
import tempfile
import warnings

try:
    from ConfigSpace import (
        CategoricalHyperparameter,
        Configuration,
        ConfigurationSpace,
        Float,
        OrdinalHyperparameter,
    )
    from smac import MultiFidelityFacade, Scenario
    from smac.main.config_selector import ConfigSelector
    from smac.runhistory import StatusType, TrialValue
except ImportError:
    sys.exit("this peer needs the package smac: pip install smac")
from table import Exhausted, Table, answer

ETA = 3
MANY = 100_000  # trials; the budget ends the search


class OnPool(ConfigSelector):
    """SMAC's selector, whose every proposal is moved to the configuration of the pool that is nearest to it."""

    def __init__(self, scenario: Scenario, table: Table):
        super().__init__(scenario)
        self._table, self.candidate_of = table, {}

    def __iter__(self):
        """Yield every configuration of the pool once.

        Raises:
            Exhausted: that is done.
        """
        space, taken = self._scenario.configspace, set()
        for proposal in super().__iter__():
            candidate = self._table.nearest_new(dict(proposal), taken)
            taken.add(candidate)
            config = Configuration(space, values=self._table.proposal_of(candidate))
            if config not in self.candidate_of:  # two may look alike to the space
                self.candidate_of[config] = candidate
                yield config


def _space(table: Table, seed: int) -> ConfigurationSpace:
    space = ConfigurationSpace(seed=seed)
    for name, values in table.space().items():
        if isinstance(values, tuple):
            space.add(Float(name, values))
        elif table.is_ordered(name) and len(values) > 1:
            space.add(OrdinalHyperparameter(name, values))
        else:
            space.add(CategoricalHyperparameter(name, values))
    return space


def search(table: Table, seed: int) -> None:
    """Ask for trials, train each up to its budget from where it was left, and tell."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            _space(table, seed),
            deterministic=True,
            n_trials=MANY,
            min_budget=1,
            max_budget=table.num_steps,
            seed=seed,
            output_directory=folder,
        )
        facade = MultiFidelityFacade
        selector = OnPool(scenario, table)
        optimiser = facade(
            scenario,
            lambda config, seed, budget: math.nan,
            config_selector=selector,
            intensifier=facade.get_intensifier(scenario, eta=ETA),
            initial_design=facade.get_initial_design(scenario, n_configs=10),
            logging_level=logging.ERROR,
            overwrite=True,
        )
        worst = 0.0
        while True:
            try:
                info = optimiser.ask()
            except Exhausted:
                table.finish()
            candidate = selector.candidate_of[info.config]
            score = math.nan
            for step in range(1, min(round(info.budget), table.lengths[candidate]) + 1):
                score = table.step(candidate, step)
            is_crash = math.isnan(score)
            worst = worst if is_crash else max(worst, -score)
            status = StatusType.CRASHED if is_crash else StatusType.SUCCESS
            optimiser.tell(info, TrialValue(worst if is_crash else -score, status=status), save=False)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    answer(search, f"smac {importlib.metadata.version('smac')}")
