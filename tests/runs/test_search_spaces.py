"""The ranges that ``synthenv tune`` searches are those of the papers' tables, typed here once more."""

import dataclasses

import optuna
import pytest

from synthenv.runs.meta_train.config import MetaTrainConfig, check, put
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.tune.plan import suggest
from synthenv.runs.tune.spaces import exists, space
from synthenv.runs.tune.study import sampler

FORMS = [
    ("se", "CartPole-v0"),
    ("se", "Acrobot-v1"),
    ("rn", "CliffWalking"),
    ("rn", "CartPole-v0"),
    ("rn", "MountainCarContinuous-v0"),
    ("rn", "HalfCheetah"),
]
ACTIVATIONS = ("tanh", "relu", "leaky_relu", "prelu")
NES = {
    "strategy.step_size": (0.1, 1, "log"),
    "strategy.std": (0.01, 1, "log"),
    "strategy.mirrored": (False, True),
    "strategy.transformation": (
        *("linear", "rank", "nes", "nes_unnormalized", "single_best", "single_better"),
        *("all_better_1", "all_better_2"),
    ),
    "proxy.depth": (1, 2, ""),
    "proxy.hidden_size": (48, 192, "log"),
    "proxy.activation": ACTIVATIONS,
}
DEEP = {
    "agent.batch_size": (64, 256, ""),
    "agent.learning_rate": (0.0001, 0.005, "log"),
    "agent.tau": (0.005, 0.05, "log"),
    "agent.depth": (1, 2, ""),
    "agent.hidden_size": (48, 192, "log"),
    "agent.activation": ACTIVATIONS,
}
TABLE3 = {
    **NES,
    **DEEP,
    "agent.init_episodes": (1, 20, "log"),
    "agent.discount": (0.9, 0.999, "inv"),
    "agent.epsilon_init": (0.8, 1, "log"),
    "agent.epsilon_min": (0.005, 0.05, "log"),
    "agent.epsilon_decay": (0.8, 0.99, "inv"),
}
TABLE10 = {
    **NES,
    "proxy.hidden_size": (32, 192, "log"),
    "agent.learning_rate": (0.001, 1, "log"),
    "agent.discount": (1 - 1, 1 - 0.001, "inv"),  # 0.001 to 1 is said of 1 - value
    "agent.epsilon_init": (0.01, 1, "log"),
    "agent.epsilon_min": (0.01, 1, "log"),
    "agent.epsilon_decay": (1 - 1, 1 - 0.001, "inv"),
}
TABLE16 = {
    **NES,
    **DEEP,
    "agent.init_episodes": (1, 50, "log"),
    "agent.discount": (0.9, 0.99, "log"),
    "agent.policy_delay": (1, 3, ""),
    "agent.action_repeat": (1, 3, ""),
    "agent.action_std": (0.05, 0.2, "log"),
    "agent.policy_std": (0.1, 0.4, "log"),
    "agent.policy_clip": (0.25, 1, "log"),
}
TABLES = {
    ("se", "CartPole-v0"): TABLE3,
    ("se", "Acrobot-v1"): TABLE3,
    ("rn", "CliffWalking"): TABLE10,
    ("rn", "CartPole-v0"): TABLE3,  # table 13 refers to table 3
    ("rn", "MountainCarContinuous-v0"): TABLE16,
    ("rn", "HalfCheetah"): TABLE16,
}


def paper_base(form, task):
    """The published configuration: its strategy is the paper's, its agents do not vary."""
    return preset(form, "table3" if form == "se" else "paper", task)


@pytest.mark.parametrize(("form", "task"), FORMS)
def test_ranges_are_the_papers(form, task):
    base = paper_base(form, task)
    found = {}
    for param in space(base):
        if exists(param, base):
            scale = "inv" if param.inverse else "log" if param.log else ""
            found[param.path] = param.choices or (param.low, param.high, scale)
            assert param.log or not param.inverse
    assert found == TABLES[form, task]


@pytest.mark.parametrize(("form", "task"), FORMS)
def test_what_the_paper_chose_lies_within(form, task):
    """Tables 3, 10, 13 and 16 have both; TD3's activations and discounts too."""
    base = paper_base(form, task)
    for param in space(base):
        if exists(param, base):
            part, name = param.path.split(".")
            value = getattr(getattr(base, part), name)
            assert value in param.choices if param.choices else param.low <= value <= param.high, param


@pytest.mark.parametrize(("form", "task"), FORMS)
def test_every_field_exists_and_both_ends_make_sense(form, task):
    base = paper_base(form, task)
    for param in space(base):
        for end in param.choices or (param.low, param.high):
            config = put(base, param.path, end)
            check(config)
            assert isinstance(config, MetaTrainConfig)
            changed = {k for k, v in dataclasses.asdict(config).items() if v != dataclasses.asdict(base)[k]}
            assert changed <= {param.path.split(".")[0]}


def draws(form, task, base, num=200, strategies=()):
    """Configs as random search proposes them, and what the study knows of each."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(num)]
    params = space(base, strategies)
    return [(suggest(trial, params, base), trial.params) for trial in trials]


def test_an_inverse_parameter_is_logarithmic_in_its_complement():
    """From 0.9 to 0.999 half of the values have 1 - value below 0.01, the geometric middle; uniformly it were 9 %."""
    found = draws("rn", "CartPole-v0", paper_base("rn", "CartPole-v0"))
    discounts = [config.agent.discount for config, _ in found]
    assert all(0.9 - 1e-9 <= discount <= 0.999 + 1e-9 for discount in discounts)
    assert 0.4 < sum(1 - discount < 0.01 for discount in discounts) / len(discounts) < 0.6
    config, known = found[0]
    assert config.agent.discount == 1 - known["1 - agent.discount"] and "agent.discount" not in known
    decays = [
        config.agent.epsilon_decay
        for config, _ in draws("rn", "CliffWalking", paper_base("rn", "CliffWalking"))
    ]
    assert all(0 <= decay <= 0.999 for decay in decays) and min(decays) < 0.5 < 0.99 < max(decays)


def test_integers_stay_integers():
    config, _ = draws("rn", "MountainCarContinuous-v0", paper_base("rn", "MountainCarContinuous-v0"), 1)[0]
    fields = (
        config.proxy.depth,
        config.proxy.hidden_size,
        config.agent.batch_size,
        config.agent.init_episodes,
    )
    assert all(isinstance(value, int) for value in fields)


def test_a_parameter_is_absent_where_its_condition_fails():
    """Of a choice of strategies only the paper's has transformations; evosax's has Adam's step size instead."""
    base = preset("rn", "fast", "CliffWalking")
    seen = set()
    for config, known in draws("rn", "CliffWalking", base, 40, ("paper_nes", "open_es", "snes")):
        seen.add(config.strategy.name)
        paper, adam = config.strategy.name == "paper_nes", config.strategy.name == "open_es"
        assert ("strategy.transformation" in known) == ("strategy.mirrored" in known) == paper
        assert ("strategy.step_size" in known) == paper
        assert ("strategy.step_size of Adam" in known) == adam
        low, high = (0.1, 1) if paper else (0.01, 0.2)
        assert low <= config.strategy.step_size <= high or not (paper or adam)
    assert seen == {"paper_nes", "open_es", "snes"}


def test_agents_that_draw_their_hyperparameters_are_not_tuned_in_them():
    varied = preset("se", "fast", "CartPole-v0")
    _, known = draws("se", "CartPole-v0", varied, 1)[0]
    drawn = {"agent.learning_rate", "agent.batch_size", "agent.hidden_size", "agent.depth"}
    assert varied.agent.vary and not drawn & set(known) and "agent.tau" in known
    _, known = draws("se", "CartPole-v0", paper_base("se", "CartPole-v0"), 1)[0]
    assert drawn <= set(known)


def test_tpe_accepts_the_conditional_space():
    """With a sampler of its own for each trial, as a study has: no warnings, and the same number the same draws."""
    base = preset("rn", "fast", "CliffWalking")
    params = space(base, ("paper_nes", "open_es"))
    study = optuna.create_study()
    for number in range(16):
        study.sampler = sampler(0, number)
        trial = study.ask()
        config = suggest(trial, params, base)
        study.tell(trial, config.agent.discount)
    first = [trial.params for trial in study.trials[:10]]
    assert len({tuple(params.items()) for params in first}) == 10
    study = optuna.create_study(sampler=sampler(0, 0))
    trial = study.ask()
    suggest(trial, params, base)
    assert trial.params == first[0]


def test_networks_of_a_user_have_no_width_to_search():
    base = preset("se", "released", "CartPole-v0")
    own = put(put(base, "agent.network", "mine"), "proxy.network", "mine")
    gone = {param.path for param in space(base)} - {param.path for param in space(own)}
    assert gone == {
        f"{part}.{name}" for part in ("agent", "proxy") for name in ("hidden_size", "depth", "activation")
    }


def test_agents_of_no_table_keep_their_hyperparameters():
    """Of PPO, and of agents of a user's, the papers have no ranges: strategy and proxy are searched all the same."""
    paths = [param.path for param in space(preset("se", "fast", "Pendulum-v1", "ppo"))]
    assert paths and {path.split(".")[0] for path in paths} == {"strategy", "proxy"}
