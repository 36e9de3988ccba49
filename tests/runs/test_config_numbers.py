"""Every number of a search's config is declared with its bounds, and what makes no sense is refused by its flag."""

import itertools
import math
from dataclasses import is_dataclass, replace
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import pytest

from synthenv.agents.config import Variation
from synthenv.agents.off_policy_config import TabularVariation
from synthenv.agents.presets import AGENTS, reward_agent
from synthenv.core.bounds import bounds_of, misfits
from synthenv.core.errors import UserError
from synthenv.runs.meta_train import reward_presets, synthetic_presets
from synthenv.runs.meta_train.config import MetaTrainConfig, check, put
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.oswm.run.presets import PRESETS as DREAMS
from synthenv.runs.oswm.run.presets import dreaming_agent
from synthenv.runs.tune.spaces import space

TASKS = (
    "CliffWalking",
    "CartPole-v0",
    "Acrobot-v1",
    "Pendulum-v1",
    "MountainCarContinuous-v0",
    "HalfCheetah",
)
BASE = replace(synthetic_presets.FAST, outer=synthetic_presets.FAST.outer._replace(stop_when_solved=False))
# One agent of every config, made curious where it can be.
KINDS = ("ddqn_icm", "td3_icm", "ppo_icm", "ppo_monte_carlo_icm", "q_learning")
CONFIGS = {
    **{name: replace(BASE, agent=AGENTS[name]) for name in KINDS},
    "reward network": reward_presets.PAPER["table"],
}


def numbers(config: Any, path: str = ""):
    """Dotted path, type and value of every number or range of a config."""
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        if get_origin(hint) is ClassVar:
            continue  # of the kind, not of this config
        value, at = getattr(config, name), f"{path}.{name}".lstrip(".")
        if is_dataclass(value) or hasattr(value, "_fields"):
            yield from numbers(value, at)
        elif {int, float} & set(kinds_of(hint)):
            yield at, hint, value


def kinds_of(hint: Any):
    """The plain types in a type, those of Literals left out."""
    parts = [part for part in get_args(hint) if not isinstance(part, str | bool)]
    return [kind for part in parts for kind in kinds_of(part)] or [hint]


def with_value(config: Any, path: str, value: Any) -> Any:
    """The config with another value at a dotted path of any depth."""
    name, _, rest = path.partition(".")
    value = with_value(getattr(config, name), rest, value) if rest else value
    return (
        config._replace(**{name: value}) if hasattr(config, "_replace") else replace(config, **{name: value})
    )


def refusal(config: MetaTrainConfig) -> str:
    with pytest.raises(UserError) as caught:
        check(config)
    return str(caught.value)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_is_declared_with_its_bounds(name):
    """Those of variations too: NaN, infinity and what does not fit into 32 bits are refused by the name of the flag."""
    config, found = CONFIGS[name], 0
    for path, hint, value in numbers(config):
        assert bounds_of(hint) is not None, f"{path} has no bounds: declare it as Count, Positive or the like"
        wrong = [3_000_000_000] if int in kinds_of(hint) else [math.nan, math.inf, -math.inf, 1e39]
        for number in wrong:
            bad = (number, number) if isinstance(value, tuple) else number
            said = f"{number} {number}" if isinstance(value, tuple) else f"{number}"
            flag = f"--{path.replace('_', '-')} {said} makes no sense: pass "
            assert refusal(with_value(config, path, bad)).startswith(flag)
        found += 1
    assert found > 20


REFUSED = [
    ("td3", "policy_delay", 0, "1 or more"),
    ("td3", "action_std", -0.1, "a finite number, 0 or more"),
    ("td3", "policy_std", -0.1, "a finite number, 0 or more"),
    ("td3", "policy_clip", -0.5, "a finite number, 0 or more"),
    ("td3_discrete", "temperature", 0.0, "a finite number above 0"),
    ("td3", "tau", 0.0, "a number above 0, at most 1"),
    ("ddqn", "learning_rate", 1e-60, "a finite number above 0"),  # 0 in 32 bits
    ("ddqn", "plateau_tolerance", -0.01, "a finite number, 0 or more"),
    ("q_learning", "count_bonus", -1.0, "a finite number, 0 or more"),
    ("q_learning", "buffer_size", 2, "1"),
    ("sarsa", "buffer_size", 2, "1"),
    ("ppo", "action_std", 0.0, "a finite number above 0"),
    ("ppo", "value_coefficient", -1.0, "a finite number, 0 or more"),
    ("ppo", "entropy_coefficient", -1.0, "a finite number, 0 or more"),
    ("ppo_monte_carlo", "action_std", 0.0, "a finite number above 0"),
    ("ppo_monte_carlo", "entropy_coefficient", -1.0, "a finite number, 0 or more"),
    ("ppo_monte_carlo", "rollout_length", 1, "2 or more"),
    ("ppo_monte_carlo", "time_limit", "bootstrap", "terminal: Monte-Carlo returns end with the episode"),
    *(
        (
            "ppo",
            "num_minibatches",
            number,
            "a divisor of --agent.num-envs 8 times --agent.rollout-length 128 that leaves each at least two steps",
        )
        for number in (7, 1024, 2048)
    ),
    ("ddqn", "batch_size", 100_001, "at most the replay's capacity, --agent.buffer-size 100000"),
]


@pytest.mark.parametrize(("agent", "field", "value", "remedy"), REFUSED)
def test_numbers_of_agents(agent, field, value, remedy):
    """The whole message, which names the flag, what it was given, and what to pass."""
    config = replace(BASE, agent=replace(AGENTS[agent], **{field: value}))
    assert refusal(config) == f"--agent.{field.replace('_', '-')} {value} makes no sense: pass {remedy}"


VARIATIONS = [
    ("ddqn", Variation(depth=(0, 2)), "depth 0 2", "the lower end first, each 1 or more"),
    ("ddqn", Variation(depth=(3, 1)), "depth 3 1", "the lower end first"),
    ("ddqn", Variation(hidden_size=(0, 9)), "hidden-size 0 9", "the lower end first, each 1 or more"),
    ("ddqn", Variation(max_steps=(0, 9)), "max-steps 0 9", "the lower end first, each 1 or more"),
    (
        "ddqn",
        Variation(batch_size=(42, 100_001)),
        "batch-size 42 100001",
        "at most the replay's capacity, --agent.buffer-size 100000",
    ),
    ("ppo", Variation(), "batch-size 42 384", "None: ppo has no batch size"),
    (
        "q_learning",
        TabularVariation(discount=(0.5, 1.5)),
        "discount 0.5 1.5",
        "the lower end first, each a number from 0 to 1",
    ),
]


@pytest.mark.parametrize(("agent", "variation", "said", "remedy"), VARIATIONS)
def test_ranges_of_agents(agent, variation, said, remedy):
    config = replace(BASE, agent=replace(AGENTS[agent], vary=True, variation=variation))
    assert refusal(config) == f"--agent.variation.{said} makes no sense: pass {remedy}"


@pytest.mark.parametrize(
    ("path", "value", "remedy"),
    [
        ("strategy.num_pairs", 1, "2 or more"),
        ("strategy.step_decay", 1.5, "a number from 0 to 1"),
        ("strategy.std", 0.0, "a finite number above 0"),
        ("outer.solved_score", math.nan, "a finite number"),
        ("outer.unsolved_weight", math.inf, "a finite number, 0 or more"),
        ("outer.agents_per_member", 0, "1 or more"),
        ("proxy.max_steps", 0, "1 or more"),
    ],
)
def test_numbers_of_the_search(path, value, remedy):
    message = refusal(put(BASE, path, value))
    assert message == f"--{path.replace('_', '-')} {value} makes no sense: pass {remedy}"


@pytest.mark.parametrize(
    ("path", "value", "remedy"),
    [
        ("outer.objective", "reward", "one of max_reward, reward_threshold, auc"),
        ("agent.stop", "never", "one of plateau, solved, none"),
        ("proxy.form", "cmdp", "one of mdp, bandit"),
    ],
)
def test_names_that_another_version_stored(path, value, remedy):
    message = refusal(put(BASE, path, value))
    assert message.startswith(f"--{path} {value} makes no sense: pass {remedy}")


def test_whatever_has_a_name_passes():
    """Presets of searches and of dreams, agents of the papers' tables, and both ends of the ranges of a study."""
    forms = {"se": synthetic_presets, "scb": synthetic_presets, "rn": reward_presets}
    for form, presets in forms.items():
        for name, task in itertools.product(presets.ABOUT_PRESETS, TASKS):
            check(preset(form, name, task))
    dreaming = [dreaming_agent(name, task, None) for name in AGENTS for task in DREAMS]
    tables = [reward_agent(name, task) for name, task in itertools.product(AGENTS, TASKS)]
    for agent in dreaming + tables + list(AGENTS.values()):
        assert not list(misfits(agent)) and not list(agent.contradictions())
    for form, task in itertools.product(("se", "rn"), TASKS):
        config = put(preset(form, "fast", task), "agent.vary", False)
        for param in (param for param in space(config) if not param.choices):
            for end in (param.low, param.high):
                check(put(config, param.path, end))
