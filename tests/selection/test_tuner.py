"""Searches that are asked and told: the decisions of simulations, what counts as a score, and what is refused."""

import math
from pathlib import Path

import jax
import numpy as np
import optuna
import pytest
from ConfigSpace import ConfigurationSpace

from synthenv.core.errors import UserError
from synthenv.selection.search import policies
from synthenv.selection.search.freeze_thaw import FreezeThawConfig, freeze_thaw
from synthenv.selection.search.methods import METHODS
from synthenv.selection.search.simulate import Limits, Policy, Task, simulate
from synthenv.selection.surrogates.deep_kernel import DeepKernelConfig
from synthenv.selection.surrogates.quick_tune import quick_tune_surrogate
from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.meta_features import meta_features
from synthenv.selection.tuner import fitted as selectors
from synthenv.selection.tuner.fitted import Fitted
from synthenv.selection.tuner.jobs import Budget, Job, Outcome
from synthenv.selection.tuner.objective import Call, check, evaluate
from synthenv.selection.tuner.optuna_export import to_study
from synthenv.selection.tuner.place import Place, parse_place
from synthenv.selection.tuner.pool import Pool, make_pool
from synthenv.selection.tuner.search import Search
from tests.selection.small_tables import table
from tests.selection.test_simulate import task_of

NUM, STEPS = 14, 9
SMALL = DeepKernelConfig(width=8, num_coordinates=4, num_iterations=1, batch_size=8)


def a_table(seed: int = 0, crashes: int = 0) -> Task:
    """Rising curves with costs that differ; some candidates crash in their first step."""
    draws = np.random.default_rng(seed)
    curves = np.sort(draws.uniform(size=(NUM, STEPS)), axis=1).astype(np.float32)
    curves[:crashes] = np.nan
    return task_of(curves, draws.uniform(0.5, 2.0, (NUM, STEPS)))


def outcome_in(task: Task, job: Job) -> Outcome:
    """What a table has for a job."""
    scores = np.asarray(task.curves)[job.candidate, job.first : job.last]
    costs = np.asarray(task.costs)[job.candidate, job.first : job.last]
    if np.isnan(scores[0]):
        return Outcome((), (), "crashed")
    return Outcome(tuple(map(float, scores)), tuple(map(float, costs)))


def replay(search: Search, task: Task, limits: Limits) -> list[tuple[int, int, int]]:
    """Play a search on a table by a clock of its own, with as many workers as the limits have."""
    free_at, out, jobs, costs = (
        [0.0] * limits.num_workers,
        [None] * limits.num_workers,
        [],
        np.asarray(task.costs),
    )
    while len(jobs) < limits.num_jobs:
        # Whoever brings news comes before those that wait for it.
        worker = min(range(limits.num_workers), key=lambda w: (free_at[w], out[w] is None))
        clock = free_at[worker]
        if clock == math.inf:
            break
        if (job := out[worker]) is not None:
            search.tell(job, outcome_in(task, job))
            out[worker] = None
        if (job := search.ask(clock)) is not None:
            jobs.append((job.candidate, job.first, min(job.last, int(task.lengths[job.candidate]))))
            out[worker] = job
            seconds = np.nan_to_num(costs[job.candidate, job.first : jobs[-1][2]]).sum(dtype=np.float32)
            free_at[worker] = float(np.float32(clock) + seconds)
        else:
            free_at[worker] = min((free_at[w] for w in range(limits.num_workers) if out[w]), default=math.inf)
    return jobs


def no_features(task: Task) -> Pool:
    return Pool(tuple({"x": i} for i in range(NUM)), (), np.asarray(task.candidates.features))


def a_draw(key, params, state, view):
    """Any candidate that is open, one step further: all of it random."""
    candidate = jax.numpy.argmax(jax.random.uniform(key, view.is_open.shape) * view.is_open).astype(int)
    return state, policies.Choice(candidate, view.steps[candidate] + 1)


DRAWS = Policy("draws", lambda key, params, candidates, num_steps: (), a_draw)


@pytest.mark.parametrize(
    ("policy", "num_workers"),
    [(policies.RANDOM, 2), (policies.ASHA, 1), (policies.ASHA, 3), (policies.HYPERBAND, 1), (DRAWS, 1)],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_search_decides_as_its_simulation_does(policy, num_workers):
    task, limits = a_table(crashes=3), Limits(num_jobs=40, num_workers=num_workers)
    jobs = simulate(policy, None, task, jax.random.key(5), limits)
    want = [
        job for job in zip(*map(np.ndarray.tolist, map(np.asarray, jobs[:3])), strict=True) if job[0] >= 0
    ]
    search = Search(no_features(task), policy, None, STEPS, seed=5)
    got = replay(search, task, limits)
    assert len(want) >= NUM and got[: len(want)] == want


def test_quick_tune_decides_as_its_simulation_does_and_its_file_is_read_to_the_bit(tmp_path):
    surrogate = quick_tune_surrogate("small", "for a test", SMALL)
    policy = freeze_thaw(surrogate, FreezeThawConfig(acquisition="thompson"))
    x = np.linspace(0.0, 1.0, NUM)
    meta = table(np.tile(x, (3, 1)), np.zeros((3, 1)), [{"x": float(v)} for v in x])
    meta = meta.__class__(
        **{
            **vars(meta),
            "curves": np.tile(meta.curves, (1, STEPS)),
            "costs": np.ones((3 * NUM, STEPS), np.float32),
        }
    )
    params = (surrogate.fit(jax.random.key(0), meta), meta.score_range)
    pool = make_pool([{"x": float(v)} for v in x], columns=meta.columns)
    task = a_table()
    candidates = task.candidates._replace(
        features=jax.numpy.asarray(pool.features), meta_features=jax.numpy.zeros(1)
    )
    task = task._replace(candidates=candidates)
    limits = Limits(num_jobs=12)
    jobs = simulate(policy, params, task, jax.random.key(7), limits)
    kept = Fitted("quick_tune_no_refit", params, meta.columns, meta.meta_names, meta.score_range, STEPS)
    selectors.save(kept, tmp_path / "fitted.safetensors")
    again = selectors.ready("quick_tune_no_refit", tmp_path / "fitted.safetensors", 0)
    jax.tree.map(np.testing.assert_array_equal, again.params, params)
    assert again._replace(params=None) == kept._replace(params=None)
    search = Search(pool, policy, again.params, STEPS, 7, meta_features=np.zeros(1, np.float32))
    got = replay(search, task, limits)
    assert [candidate for candidate, _, _ in got] == np.asarray(jobs.candidate).tolist()


def asked(search: Search, scores: dict[int, float] | None = None) -> list[Job]:
    """All jobs of a search whose candidates score what they are, unless told otherwise."""
    jobs = []
    while (job := search.ask(0.0)) is not None:
        jobs.append(job)
        score = (scores or {}).get(job.candidate, float(job.candidate))
        num = job.last - job.first
        search.tell(job, Outcome((score,) * num, (1.0,) * num))
    return jobs


def of_numbers(policy=policies.RANDOM, num_steps: int = 1, **more) -> Search:
    return Search(make_pool([{"x": i} for i in range(6)]), policy, None, num_steps, **more)


def test_the_best_is_the_highest_or_the_lowest():
    high, low = of_numbers(), of_numbers(minimise=True)
    asked(high)
    asked(low)
    assert (high.best().candidate, low.best().candidate) == (5, 0)
    assert of_numbers().best() is None


def test_minimising_is_turned_round_for_the_policy():
    scores = {0: 0.9, 1: 0.1, 2: 0.5, 3: 0.8, 4: 0.7, 5: 0.6}
    up = of_numbers(policies.ASHA, 3, score_range=(0.0, 1.0))
    down = of_numbers(policies.ASHA, 3, minimise=True, score_range=(0.0, 1.0))
    assert asked(up, scores) == asked(down, {i: 1.0 - y for i, y in scores.items()})
    assert up.best().candidate == down.best().candidate == 0


@pytest.mark.parametrize(
    ("budget", "num"), [(Budget(4), 4), (Budget(steps=5), 5), (Budget(steps=99), 6), (Budget(seconds=1.0), 6)]
)
def test_budgets_end_a_search(budget, num):
    search = of_numbers(budget=budget)
    assert len(asked(search)) == num
    assert of_numbers(budget=Budget(seconds=1.0)).ask(1.0) is None


def test_steps_that_are_out_count_against_the_budget():
    search = of_numbers(num_steps=4, budget=Budget(steps=8))
    assert search.ask(0.0) and search.ask(0.0) and search.ask(0.0) is None


@pytest.mark.parametrize(
    "budget", [Budget(), Budget(0), Budget(-1), Budget(seconds=math.nan), Budget(True), Budget(1.5)]
)
def test_a_budget_of_nothing_is_none(budget):
    with pytest.raises(UserError, match="pass a"):
        budget.check()


def test_a_job_is_told_once():
    search = of_numbers()
    job = search.ask(0.0)
    search.tell(job, Outcome((1.0,), (1.0,)))
    with pytest.raises(ValueError, match="is not out"):
        search.tell(job, Outcome((1.0,), (1.0,)))


# Objectives: what they say, and what counts.


def told(objective, first=0, last=3, score_range=None, directory="d"):
    """Scores, reason, and whether the trial is over."""
    scores = []
    call = Call(objective, {"x": 1}, first, last, directory, "before" if first else None, score_range)
    reason, ended = evaluate(call, lambda score, seconds: scores.append((score, seconds)))
    return [score for score, _ in scores], reason, ended


def test_the_three_kinds_of_objectives_say_the_same():
    def yields(config):
        for epoch in range(9):
            yield epoch + config["x"]

    def goes_on(config, first_step):
        yield from (epoch + 1.0 for epoch in range(first_step, 9))

    def steps(config, step):
        return {"score": np.float32(step)}

    def lists(config, last_step):
        return [{"score": step + 1} for step in range(last_step)]

    for objective in (yields, goes_on, steps, lists):
        assert told(objective) == ([1.0, 2.0, 3.0], "", False)
        assert told(objective, 3, 5) == ([4.0, 5.0], "", False)
    scores, reason, _ = told(lambda config, last_step: last_step)
    assert math.isnan(scores[0]) and math.isnan(scores[1]) and scores[2] == 3.0 and not reason
    assert told(lambda config: config["x"], 0, 1) == ([1.0], "", False)


def test_directories_and_steps_are_passed_to_those_who_ask():
    seen = []

    def steps(config, step, directory, previous_directory, last_step):
        seen.append((step, directory, previous_directory, last_step))
        return 0.5

    told(steps, 2, 4)
    assert seen == [(3, Path("d"), Path("before"), 4), (4, Path("d"), Path("d"), 4)]


def test_an_objective_cannot_spoil_its_configuration():
    config = {"x": 1}
    evaluate(Call(lambda c: c.pop("x"), config, 0, 1, "d"), lambda *_: None)
    assert config == {"x": 1}


def test_a_curve_that_ends_early_is_over():
    assert told(lambda config, first_step: iter_of([0.5])) == ([0.5], "", True)


def iter_of(values):
    yield from values


def raises(config):
    raise ValueError("too\nlong")


def leaves(config):
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        (raises, "ValueError: too"),
        (leaves, "SystemExit: 3"),
        (lambda config: None, "its score is None: return a number"),
        (lambda config: float("nan"), "its score is nan"),
        (lambda config: -math.inf, "its score is -inf"),
        (lambda config: "0.9", "its score is '0.9', which is no number"),
        (lambda config: True, "its score is True, which is no number"),
        (lambda config: 1.5, "its score 1.5 lies outside of 0 to 1"),
        (lambda config: {"accuracy": 0.9}, "it returned a dict without a score, with accuracy"),
        (lambda config: {"score": 0.9, "status": False, "info": "no memory"}, "no memory"),
        (lambda config: {"score": 0.9, "cost": -1.0}, "its cost -1 is no number of seconds"),
        (lambda config: {"score": 0.9, "cost": math.inf}, "its cost inf is no number of seconds"),
        (lambda config: object(), "its score is of type object, which is no number"),
        (lambda config: np.zeros(3), "its score is of type ndarray, which is no number"),
        (lambda config: iter_of([]), "it yielded no score"),
        (lambda config: [], "it yielded no score"),
        (lambda config: config["y"], "KeyError: 'y'"),
    ],
)
def test_what_is_no_score_is_a_crash_with_its_reason(objective, said, capsys):
    assert told(objective, 0, 1, (0.0, 1.0)) == ([], said, False)


def test_scores_before_a_crash_count():
    assert told(lambda config, first_step: iter_of([0.1, 0.2, None])) == (
        [0.1, 0.2],
        "its score is None: return a number",
        False,
    )


@pytest.mark.parametrize(
    ("objective", "num_steps", "said"),
    [
        (3, 1, "the objective is a int: pass a function"),
        (lambda: 0.5, 1, "takes no configuration"),
        (lambda config, epochs: 0.5, 1, "has an argument epochs, which nobody passes"),
        (lambda config: 0.5, 9, "cannot stop at a step of 9"),
        (iter_of, 1, "iter_of yields scores step by step: pass num_steps"),
        (Place("nowhere.py"), 1, "there is no file nowhere.py"),
    ],
)
def test_an_objective_that_cannot_do_it_is_refused(objective, num_steps, said):
    with pytest.raises(UserError, match=said):
        check(objective, num_steps)


def test_objectives_by_place(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def objective(config): return 1.0\nother = 3\n")
    check(parse_place(str(file)), 1)
    assert parse_place(f"{file}:train") == Place(str(file), "train")
    with pytest.raises(UserError, match="has no train"):
        check(Place(str(file), "train"), 1)
    with pytest.raises(UserError, match=r"other of .* is no function"):
        check(Place(str(file), "other"), 1)
    (tmp_path / "broken.py").write_text("def objective(config: return 1.0")
    with pytest.raises(UserError, match="does not run \\(SyntaxError"):
        check(Place(str(tmp_path / "broken.py")), 1)


# Spaces.


def test_pools_of_every_kind_of_space():
    grid = make_pool({"a": [1, 2, 3], "b": ["x", "y"]})
    assert len(grid.configs) == 6 and grid.features.shape == (6, 4)
    drawn = make_pool({"lr": (1e-4, 0.1, "log"), "n": (1, 3), "b": [True, False]}, 40, seed=1)
    rates = [config["lr"] for config in drawn.configs]
    assert len(rates) == 40 and 1e-4 <= min(rates) < 1e-3 < max(rates) <= 0.1
    assert {config["n"] for config in drawn.configs} == {1, 2, 3}
    assert (
        drawn.configs
        == make_pool(
            {"lr": {"low": 1e-4, "high": 0.1, "log": True}, "n": (1, 3), "b": [True, False]}, 40, seed=1
        ).configs
    )
    space = ConfigurationSpace({"x": (0.0, 1.0), "c": ["a", "b"]})
    assert len(make_pool(space, 20).configs) == 20
    assert (
        make_pool(space, 20).configs == make_pool(space, 20).configs != make_pool(space, 20, seed=1).configs
    )
    assert len(make_pool(ConfigurationSpace({"c": ["a", "b"]}), 20).configs) == 2  # no more there


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (3, "a int is no search space"),
        (None, "a NoneType is no search space"),
        ([], "the list of configurations is empty"),
        ({}, "the search space is empty"),
        ([3], "configuration 0 is 3: write a mapping"),
        ([{1: 2}], "configuration 0 is {1: 2}: write a mapping"),
        ([{"x": 1}, {"x": 1}], "configurations 0 and 1 are the same"),
        ([{"x": math.nan}], "configuration 0 has x = nan"),
        ([{"x": [1]}], r"configuration 0 has x = \[1\]"),
        ({"x": []}, r"x is \[\]: pass a list of values"),
        ({"x": 3}, "x is 3: pass a list of values"),
        ({"x": [1, 1]}, "x has the value 1 twice"),
        ({"x": (1.0, 0.0)}, "x ranges from 1.0 to 0.0"),
        ({"x": (0.0, math.inf)}, "x ranges to inf"),
        ({"x": ("a", "b")}, "x ranges to 'a'"),
        ({"x": (0.0, 1.0, "log")}, "x is logarithmic and begins at 0.0"),
        ({"x": (0.0, 1.0, 2.0)}, r"a range is \(low, high\)"),
        ({"x": {"low": 0.0}}, "x has low: a range has low and high"),
    ],
)
def test_broken_spaces_are_refused(space, said):
    with pytest.raises(UserError, match=said) as caught:
        make_pool(space)
    assert "\n" not in str(caught.value)


def test_a_space_has_to_speak_of_what_the_past_runs_know():
    columns = [Column("model", "choice", values=("a", "b"))]
    with pytest.raises(UserError, match="configuration 1: model has no value 'z': it takes a, b"):
        make_pool([{"model": "a"}, {"model": "z"}], columns=columns)
    with pytest.raises(UserError, match="the past runs know none of x, but model"):
        make_pool([{"x": 1}], columns=columns)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("ahsa", None, "did you mean 'asha'"),
        ("oracle", None, "a bound that only simulations know"),
        ("asha", "past", "asha learns nothing from past runs"),
        ("quick_tune_no_refit", None, "quick_tune_no_refit learns from past runs: pass their directory"),
        ("quick_tune_no_refit", "nowhere", "there is no nowhere"),
    ],
)
def test_selectors_and_past_runs_have_to_fit(name, data, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        selectors.ready(name, data, 0)


# The defects of Quick-Tune-Tool that are a search's; those of a run are in tests/runs/test_select_run.py.


def test_every_selector_hands_out_the_same_kind_of_job():
    """Defect 3: one optimizer named its trials otherwise than the loop that read them."""
    for name in ("random", "asha", "hyperband"):
        assert isinstance(of_numbers(METHODS[name].policy, 3).ask(0.0), Job)


def test_a_search_is_not_over_when_each_candidate_was_tried_once():
    """Defect 4: the end came once every configuration had had one step."""
    jobs = asked(of_numbers(policies.ASHA, 3))
    assert len({job.candidate for job in jobs}) == 6 and max(job.last for job in jobs) == 3


def test_every_choice_has_its_column_and_texts_are_not_dropped():
    """Defects 5 and 11: the encoder was as wide as there were features, and text columns could vanish."""
    pool = make_pool({"model": ["a", "b", "c", "d"], "optimizer": ["adam", "sgd", "lamb"]})
    assert pool.features.shape == (12, 7) and len(np.unique(pool.features, axis=0)) == 12


def test_the_first_candidates_begin_at_the_first_step_and_none_is_lost():
    """Defect 6: the first ones were taken from a set, with a step of their own."""
    search = of_numbers(policies.ASHA, 9)
    jobs = [search.ask(0.0) for _ in range(6)]
    assert sorted(job.candidate for job in jobs) == list(range(6)) and {job.first for job in jobs} == {0}
    assert jobs == [search.__class__(search.pool, policies.ASHA, None, 9).ask(0.0), *jobs[1:]]


def test_the_size_of_images_is_their_own(tmp_path):
    """Defect 8: a mean of their sizes had begun at 224."""
    np.savez(tmp_path / "images.npz", x=np.zeros((4, 8, 8, 3), np.uint8), y=np.arange(4))
    assert meta_features(tmp_path / "images.npz")["resolution"] == 8.0


def test_a_crash_is_no_score_and_a_score_of_0_is_the_best_if_there_is_no_other():
    """Defect 7: a failed run had score 0 and an infinite cost, and a best score of 0 counted as none."""
    search = of_numbers()
    first, second = search.ask(0.0), search.ask(0.0)
    search.tell(first, Outcome((), (), "out of memory"))
    assert search.best() is None
    search.tell(second, Outcome((0.0,), (1.0,)))
    assert search.best() == (second.candidate, 1, 0.0)
    assert np.nansum(search.costs) == 1.0 and search.state_of(first.candidate) == "crashed"
    assert first.candidate not in {job.candidate for job in asked(search)}


def test_optuna_takes_the_history():
    search = Search(make_pool({"lr": [0.1, 0.2, 0.3], "model": ["a", "b"]}), policies.ASHA, None, 3)
    for i in range(5):
        job = search.ask(0.0)
        num = 0 if i == 1 else job.last - job.first
        search.tell(job, Outcome((0.1 * i,) * num, (1.0,) * num, "crashed" if i == 1 else ""))
    trials = to_study(search).get_trials()
    states = [trial.state.name for trial in trials]
    assert states.count("FAIL") == 1 and set(states) <= {"FAIL", "PRUNED", "COMPLETE"}
    assert all(set(trial.params) == {"lr", "model"} for trial in trials)
    assert any(trial.intermediate_values for trial in trials)
    asked(search)
    study = to_study(search)
    assert study.best_trial.user_attrs["candidate"] == search.best().candidate
    assert set(optuna.importance.get_param_importances(study)) == {"lr", "model"}
