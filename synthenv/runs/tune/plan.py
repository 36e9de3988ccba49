"""The plan of a study, and the config of a trial. Of Optuna it knows nothing but ``suggest_int`` and its like."""

from dataclasses import replace
from typing import Any, NamedTuple

from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.core.registry import check_known_elsewhere
from synthenv.outer.strategy import STRATEGIES
from synthenv.runs.meta_train.config import Config, MetaTrainConfig, check, put
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.training.trial_runner import task_for
from synthenv.runs.tune.arguments import Tune
from synthenv.runs.tune.spaces import Param, exists, space


class Plan(NamedTuple):
    """What a study was asked for.

    Attributes:
        command: the arguments.
        base: config of every trial, apart from the parameters.
        params: the search space.
    """

    command: Tune
    base: MetaTrainConfig
    params: tuple[Param, ...]

    def asked(self) -> dict[str, Any]:
        """Return what decides the outcome; the number of workers does not."""
        chosen = (
            "proxy",
            "task",
            "variant",
            "preset",
            "strategies",
            "num_trials",
            "num_generations",
            "num_searches",
        )
        stored = {name: getattr(self.command, name) for name in chosen}
        if self.command.agent is not None:
            stored["agent"] = self.command.agent
        base = plain(self.base)
        for part in (
            "agent",
            "proxy",
        ):  # studies of before there were networks of a user's can be gone on with
            if not base[part].get("network", True):
                del base[part]["network"]
        return {"command": "tune", "seed": self.command.common.seed, **stored, "base": base}


def make_plan(command: Tune) -> Plan:
    """Complete the arguments.

    Raises:
        UserError: if they do not fit together.
    """
    if command.variant is not None and command.proxy != "rn":
        raise UserError("--variant is one of reward networks: add --proxy rn, or drop it")
    task = command.chosen_task
    base = preset(command.proxy, command.preset, task, command.agent)
    if command.variant is not None:
        base = put(base, "proxy.variant", command.variant)
    if command.strategies and base.strategy.name not in command.strategies:
        base = put(base, "strategy.name", command.strategies[0])
    if command.num_generations is not None:
        base = put(base, "outer.num_generations", command.num_generations)
    if not base.proxy.shapes_rewards:  # the value is the number of generations until then
        base = put(base, "outer.stop_when_solved", True)
    check(base)
    task_for(base.agent, base.task)
    for name in command.strategies:
        STRATEGIES.find(name)
    check_known_elsewhere(
        task, base.agent.full_name, base.proxy.kind, base.strategy.name, *command.strategies
    )
    return Plan(replace(command, task=task), base, space(base, command.strategies))


def suggest(trial: Any, params: tuple[Param, ...], config: Config) -> Config:
    """Fill a config with what the study proposes, parents first."""
    for param in params:
        if not exists(param, config):
            continue
        if param.choices:
            drawn = trial.suggest_categorical(param.name, param.choices)
        else:
            draw = trial.suggest_int if isinstance(param.low, int) else trial.suggest_float
            drawn = draw(param.name, *param.ends, log=param.log)
        config = put(config, param.path, param.value(drawn))
    return config
