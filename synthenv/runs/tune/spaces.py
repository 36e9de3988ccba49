"""Search spaces of ``synthenv tune``: the papers' ranges as data. Imports nothing heavy.

A parameter fills one field of a ``MetaTrainConfig``. It exists where its condition holds in the config as filled so
far, so the order of a space matters: parents come before what depends on them. A parent may be sampled or fixed by a
preset.

References:
    Ferreira et al. (2022), tables 3, 7, 10, 13 and 16; appendix E.1 for the score transformations.
"""

from operator import attrgetter
from typing import Any, NamedTuple

Condition = tuple[str, tuple[Any, ...]]


class Param(NamedTuple):
    """One parameter of a search space.

    Attributes:
        path: field of a ``MetaTrainConfig``: part.name.
        low: least value; integers mean an integer parameter.
        high: greatest value, included.
        log: whether the scale is logarithmic.
        inverse: whether the logarithmic scale is that of 1 - value, "True (inv.)" in the tables.
        choices: the values of a categorical parameter, which has no ends.
        when: a path and the values there with which the parameter exists; None if it always does.
        label: what the study calls it where two parameters share a field; the path if empty.
    """

    path: str
    low: float = 0
    high: float = 0
    log: bool = False
    inverse: bool = False
    choices: tuple[Any, ...] = ()
    when: Condition | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """Return what the study calls the parameter; it knows an inverse one as 1 - value."""
        name = self.label or self.path
        return f"1 - {name}" if self.inverse else name

    def value(self, drawn: Any) -> Any:
        """Return the config's value for what the study drew."""
        return 1 - drawn if self.inverse else drawn

    @property
    def ends(self) -> tuple[float, float]:
        """Return the numbers between which the study draws."""
        return (_complement(self.high), _complement(self.low)) if self.inverse else (self.low, self.high)


def _complement(end: float) -> float:
    """Return 1 - end without the noise of binary fractions, so that 1 - 0.9 is 0.1."""
    return round(1 - end, 12)


ACTIVATIONS = ("tanh", "relu", "leaky_relu", "prelu")
# The paper's eight score transformations.
TRANSFORMATIONS = (
    "linear",
    "rank",
    "nes",
    "nes_unnormalized",
    "single_best",
    "single_better",
    "all_better_1",
    "all_better_2",
)
PAPER_NES: Condition = ("strategy.name", ("paper_nes",))
OPEN_ES: Condition = ("strategy.name", ("open_es",))
# Agents that draw these hyperparameters anew every time do not read them from the config ("HPs: varied" in A.5).
NOT_DRAWN: Condition = ("agent.vary", (False,))

# Table 3, first rows. Table 7 names the same four for reward networks and prints no ranges. evosax's OpenES takes Adam
# steps, which are not in table 3: that range is ours.
STRATEGY = (
    Param("strategy.std", 0.01, 1.0, log=True),
    Param("strategy.step_size", 0.1, 1.0, log=True, when=PAPER_NES),
    Param("strategy.mirrored", choices=(False, True), when=PAPER_NES),
    Param("strategy.transformation", choices=TRANSFORMATIONS, when=PAPER_NES),
    Param("strategy.step_size", 0.01, 0.2, log=True, when=OPEN_ES, label="strategy.step_size of Adam"),
)


def _proxy_shape(least_width: int) -> tuple[Param, ...]:
    return (
        Param("proxy.depth", 1, 2),
        Param("proxy.hidden_size", least_width, 192, log=True),
        Param("proxy.activation", choices=ACTIVATIONS),
    )


# Tables 3 and 16: what DDQN and TD3 share.
_DEEP = (
    Param("agent.batch_size", 64, 256, when=NOT_DRAWN),
    Param("agent.learning_rate", 0.0001, 0.005, log=True, when=NOT_DRAWN),
    Param("agent.tau", 0.005, 0.05, log=True),
    Param("agent.depth", 1, 2, when=NOT_DRAWN),
    Param("agent.hidden_size", 48, 192, log=True, when=NOT_DRAWN),
    Param("agent.activation", choices=ACTIVATIONS),
)
# Table 3; table 13 has the same ranges.
DDQN = (
    Param("agent.init_episodes", 1, 20, log=True),
    *_DEEP,
    Param("agent.discount", 0.9, 0.999, log=True, inverse=True),
    Param("agent.epsilon_init", 0.8, 1.0, log=True),
    Param("agent.epsilon_min", 0.005, 0.05, log=True),
    Param("agent.epsilon_decay", 0.8, 0.99, log=True, inverse=True),
)
# Table 10. Its inverse rows print the range of 1 - value: the optimised decay 0.0 lies in no other reading.
Q_LEARNING = (
    Param("agent.learning_rate", 0.001, 1.0, log=True, when=NOT_DRAWN),
    Param("agent.discount", 0.0, 0.999, log=True, inverse=True, when=NOT_DRAWN),
    Param("agent.epsilon_init", 0.01, 1.0, log=True),
    Param("agent.epsilon_min", 0.01, 1.0, log=True),
    Param("agent.epsilon_decay", 0.0, 0.999, log=True, inverse=True),
)
# Table 16. Its discount is logarithmic, but not inverse as elsewhere.
TD3 = (
    Param("agent.init_episodes", 1, 50, log=True),
    *_DEEP,
    Param("agent.discount", 0.9, 0.99, log=True),
    Param("agent.policy_delay", 1, 3),
    Param("agent.action_repeat", 1, 3),
    Param("agent.action_std", 0.05, 0.2, log=True),
    Param("agent.policy_std", 0.1, 0.4, log=True),
    Param("agent.policy_clip", 0.25, 1.0, log=True),
)

# What the papers' tables vary of an agent, by its name; other agents stay as they are.
OF_AGENT = {
    "ddqn": DDQN,
    "dueling_ddqn": DDQN,
    "q_learning": Q_LEARNING,
    "sarsa": Q_LEARNING,
    "td3": TD3,
    "td3_discrete": TD3,
}
# What tables 3 and 7 vary of a proxy; tabular tasks take smaller networks.
OF_PROXY = {"se": _proxy_shape(48), "rn": _proxy_shape(48), "table": _proxy_shape(32)}


def space(config: Any, strategies: tuple[str, ...] = ()) -> tuple[Param, ...]:
    """Return the parameters that a study of this config varies: of its strategy, its proxy and its agents.

    Args:
        config: a ``MetaTrainConfig``; fields for which the tables have no ranges stay as they are.
        strategies: strategies to choose from; one or none keeps the config's.
    """
    choice = (Param("strategy.name", choices=strategies),) if len(strategies) > 1 else ()
    shape = OF_PROXY.get(config.proxy.kind, ())
    if shape and config.agent.needs_table:
        shape = OF_PROXY["table"]
    params = (*choice, *STRATEGY, *shape, *OF_AGENT.get(config.agent.name, ()))
    fixed = {
        f"{part}.{name}"  # a user's network has its own width and depth
        for part in ("proxy", "agent")
        if getattr(getattr(config, part), "network", "")
        for name in ("hidden_size", "depth", "activation")
    }
    return tuple(param for param in params if param.path not in fixed)


def exists(param: Param, config: Any) -> bool:
    """Return whether the condition of a parameter holds."""
    return param.when is None or attrgetter(param.when[0])(config) in param.when[1]


def drawn(params: tuple[Param, ...], config: Any) -> dict[str, Any]:
    """Return what a study would have drawn for this config, by name; values outside of their ranges are left out."""
    found = {}
    for param in params:
        value = attrgetter(param.path)(config)
        value = _complement(value) if param.inverse else value
        inside = value in param.choices if param.choices else param.ends[0] <= value <= param.ends[1]
        if exists(param, config) and inside:
            found[param.name] = value
    return found
