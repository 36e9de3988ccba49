"""Optuna's TPE with its Hyperband pruner on tables of past runs (``table.py`` says by which rules)."""

import math
import sys

try:
    import optuna
except ImportError:
    sys.exit("this peer needs the package optuna: pip install optuna")
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from table import Table, answer

ETA = 3


class OnPool(optuna.samplers.TPESampler):
    """TPE whose every proposal is moved to the configuration of the pool that is nearest to it."""

    def __init__(self, table: Table, seed: int):
        super().__init__(seed=seed)
        self._table = table
        self.space: dict[str, BaseDistribution] = {}
        for name, values in table.space().items():
            if isinstance(values, tuple):
                self.space[name] = FloatDistribution(*values)
            elif table.is_ordered(name):
                self.space[name] = IntDistribution(0, len(values) - 1)
            else:
                self.space[name] = CategoricalDistribution(values)
        self.chosen = -1

    def infer_relative_search_space(self, study, trial):
        """The whole space at once: a proposal cannot be moved by halves."""
        return self.space

    def sample_relative(self, study, trial, search_space):
        """Ask TPE for a whole proposal, or at first for random values, and move it."""
        proposal = super().sample_relative(study, trial, search_space)
        if not proposal:
            proposal = {
                name: self.sample_independent(study, trial, name, distribution)
                for name, distribution in search_space.items()
            }
        self.chosen = self._table.nearest(proposal)
        return self._table.proposal_of(self.chosen)


def search(table: Table, seed: int) -> None:
    """Train proposals one after the other until Hyperband prunes them or they end."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = OnPool(table, seed)
    pruner = optuna.pruners.HyperbandPruner(1, table.num_steps, ETA)
    study = optuna.create_study(
        direction="maximize", sampler=sampler, pruner=pruner, study_name=f"seed {seed}"
    )
    while True:
        trial = study.ask(sampler.space)
        candidate, score, state = sampler.chosen, math.nan, TrialState.COMPLETE
        for step in range(table.seen[candidate] + 1, table.lengths[candidate] + 1):
            score = table.step(candidate, step)
            if math.isnan(score):
                break
            trial.report(score, step)
            if trial.should_prune():
                state = TrialState.PRUNED
                break
        if math.isnan(score):
            study.tell(trial, state=TrialState.FAIL)
        elif state == TrialState.PRUNED:
            study.tell(trial, state=state)
        else:
            study.tell(trial, score)


if __name__ == "__main__":
    answer(search, f"optuna {optuna.__version__}")
