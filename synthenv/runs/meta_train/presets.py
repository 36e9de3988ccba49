"""Every named configuration: a form of proxy, a preset of it, a task, an agent."""

from dataclasses import replace

from synthenv.agents.presets import AGENTS
from synthenv.core.errors import UserError
from synthenv.core.registry import unknown
from synthenv.proxies.config import PROXIES
from synthenv.runs.meta_train import reward_presets, synthetic_presets
from synthenv.runs.meta_train.config import MetaTrainConfig, on_schedule

DEFAULT = "fast"


def default_task(form: str) -> str:
    """Return the task of a form of proxy where none is named.

    Raises:
        UserError: there is no such proxy.
    """
    return "CliffWalking" if PROXIES.find(form).shapes_rewards else "CartPole-v0"


def preset(
    form: str = "se", name: str | None = None, task: str | None = None, agent: str | None = None
) -> MetaTrainConfig:
    """Look up a configuration.

    Args:
        form: se or scb, a synthetic environment as MDP or bandit; rn, a reward network; or a proxy of your own, which
            has the presets of rn if it shapes rewards, else those of se.
        name: of the preset; ``fast`` if None.
        task: of the configuration; CartPole-v0, or for rn CliffWalking if None. Presets go by the kind of its actions.
        agent: who learns, on the preset's schedule; the preset's own agent if None.

    Raises:
        UserError: there is no such proxy, preset, task or agent.
    """
    proxy, name = PROXIES.find(form), name or DEFAULT
    presets = reward_presets if proxy.shapes_rewards else synthetic_presets
    if name not in presets.ABOUT_PRESETS:
        raise UserError(unknown(f"preset of --proxy {form}", name, presets.ABOUT_PRESETS))
    config = presets.for_task(name, task or default_task(form))
    if form == "scb":
        config = synthetic_presets.bandit_form(config)
    elif type(proxy) is not type(config.proxy):
        config = replace(config, proxy=proxy)
    if agent is not None and agent != config.agent.full_name:
        config = replace(config, agent=on_schedule(AGENTS.find(agent), config.agent))
    return config
