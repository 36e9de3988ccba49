"""The config of a search, and checks that it makes sense. ``--help`` reads it, so it imports nothing heavy."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from synthenv.agents.config import AgentConfig
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.presets import agent_from_stored
from synthenv.core.bounds import misfits
from synthenv.core.errors import UserError
from synthenv.outer.config import OuterConfig, StrategyConfig
from synthenv.proxies import config as proxies
from synthenv.proxies.config import ProxyConfig, SyntheticConfig


@dataclass(frozen=True)
class MetaTrainConfig:
    """Evolve a proxy of a task.

    Attributes:
        task: Task id.
        proxy: The synthetic environment or the reward network.
        agent: The agents of the inner loop.
        strategy: The outer loop's search distribution.
        outer: Generations, incumbents, evaluation.
    """

    task: str = "CartPole-v0"
    proxy: ProxyConfig = field(default_factory=SyntheticConfig)
    agent: AgentConfig = field(default_factory=DDQNConfig)
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    outer: OuterConfig = field(default_factory=OuterConfig)


# A dataclass of dataclasses or named tuples: a ``MetaTrainConfig``, or one of an experiment.
Config = TypeVar("Config")


def put(config: Config, path: str, value: Any) -> Config:
    """Return the config with another value at a path."""
    part_name, name = path.split(".")
    whole: Any = config
    part: Any = getattr(config, part_name)
    changed = part._replace(**{name: value}) if hasattr(part, "_replace") else replace(part, **{name: value})
    return replace(whole, **{part_name: changed})


def put_all(config: Config, values: Mapping[str, Any]) -> Config:
    """Return the config with other values at some paths."""
    for path, value in values.items():
        config = put(config, path, value)
    return config


# Fields that an agent takes over from the one that it replaces: when it begins, stops and is tested.
_SCHEDULE = (
    "init_episodes",
    "max_episodes",
    "max_steps",
    "stop",
    "stop_window",
    "plateau_tolerance",
    "action_repeat",
    "test_episodes",
    "vary",
)
_LEAST_UPDATES = 20  # least updates that an agent which learns from whole rollouts is given


def on_schedule(agent: AgentConfig, former: AgentConfig) -> AgentConfig:
    """Put an agent in the place of ``former``: on its schedule, and as large if its networks vary.

    An agent that learns from whole rollouts gets steps for at least twenty of them.
    """
    kept: dict[str, Any] = {name: getattr(former, name) for name in _SCHEDULE}
    kept["max_steps"] = max(former.max_steps, _LEAST_UPDATES * agent.steps_per_update)
    own, others = agent.variation._asdict(), former.variation._asdict()
    both = {
        name: others[name]
        for name in ("hidden_size", "depth", "batch_size")
        if own.get(name) and others.get(name)
    }
    kept["variation"] = agent.variation._replace(**both)
    room = max(former.buffer_size, min(agent.buffer_size, kept["max_steps"]))
    return replace(agent, **kept).with_time_limit(former.time_limit).with_room(room)


def to_stored(config: MetaTrainConfig) -> dict[str, Any]:
    """Return the config as run directories keep it."""
    return {**asdict(config), "proxy": config.proxy.stored(), "agent": config.agent.stored()}


def from_stored(stored: Mapping[str, Any]) -> MetaTrainConfig:
    """Rebuild the config from the JSON of a run directory or a proxy file.

    Raises:
        UserError: it lacks a part or has one that this version does not know.
    """

    try:
        return MetaTrainConfig(
            task=stored["task"],
            proxy=proxies.from_stored(stored["proxy"]),
            agent=agent_from_stored(stored["agent"]),
            strategy=StrategyConfig(**stored["strategy"]),
            outer=OuterConfig(**stored["outer"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the stored config is of another version of synthenv ({error}): go on with that version"
        ) from None


def check(config: MetaTrainConfig) -> None:
    """Refuse a config that would train nobody, never end, or fail only after a generation was paid for.

    Raises:
        UserError: naming the flag and what to pass.
    """

    def refuse(path: str, value: object, remedy: str) -> None:
        raise UserError(f"--{path.replace('_', '-')} {value} makes no sense: pass {remedy}")

    for misfit in misfits(config):
        refuse(*misfit)
    for misfit in config.agent.contradictions():
        refuse(f"agent.{misfit.path}", misfit.value, misfit.remedy)
    if getattr(config.proxy, "time_limit", None) == "truncated" and config.agent.time_limit == "terminal":
        refuse("proxy.time_limit", "truncated with --agent.time-limit terminal", "terminal or nothing")
    _check_goal(config, refuse)


def _check_goal(config: MetaTrainConfig, refuse: Callable[[str, object, str], None]) -> None:
    """Check that the parts agree on what is to be reached, and that it is measured."""
    outer, agent = config.outer, config.agent
    if outer.stop_when_solved and not outer.num_incumbents:
        refuse("outer.num_incumbents", 0, "1 or more, or --outer.no-stop-when-solved")
    if outer.objective != "max_reward" and (outer.stop_when_solved or config.strategy.step_decay):
        name = "outer.stop_when_solved" if outer.stop_when_solved else "strategy.step_decay"
        refuse(name, "with another objective than max_reward", "no threshold of the task to its scores")
    tests = agent.test_episodes
    if not tests and outer.objective == "auc":
        refuse("agent.test_episodes", 0, "1 or more: the area is under the returns of tests on the way")
    if not tests and config.proxy.shapes_rewards and agent.stop == "solved":
        refuse("agent.test_episodes", 0, "1 or more: learned rewards do not say whether the task is solved")
