"""Every named configuration: a form of proxy, a preset of it, a task."""

from dataclasses import replace
from typing import Literal

from synthenv.core.errors import UserError
from synthenv.proxies.config import ProxyConfig, RewardConfig
from synthenv.runs.meta_train import reward_presets, synthetic_presets
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.meta_train.synthetic_presets import bandit_form

Form = Literal["se", "scb", "rn"]
DEFAULT = "fast"


def preset(form: Form = "se", name: str | None = None, task: str | None = None) -> MetaTrainConfig:
    """Look up a configuration.

    Args:
        form: se or scb, a synthetic environment as MDP or bandit; rn, a reward network.
        name: of the preset; ``fast`` if None.
        task: of the configuration; CartPole-v0, or for rn CliffWalking if None. One that the preset was not made for
            takes the numbers of CartPole-v0.

    Raises:
        UserError: if the form has no such preset.
    """
    name = name or DEFAULT
    known = reward_presets.PRESETS if form == "rn" else synthetic_presets.PRESETS
    if name not in known:
        raise UserError(f"--proxy {form} has no preset {name!r}: choose from {', '.join(known)}")
    by_task = known[name]
    task = task or ("CliffWalking" if form == "rn" else "CartPole-v0")
    config = by_task.get(task) or replace(by_task["CartPole-v0"], task=task)
    return bandit_form(config) if form == "scb" else config


def form_of(proxy: ProxyConfig) -> Form:
    """se, scb or rn."""
    if isinstance(proxy, RewardConfig):
        return "rn"
    return "scb" if proxy.form == "bandit" else "se"
