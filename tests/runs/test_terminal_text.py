"""What a user named is shown as it is: on the terminal, in its bars and tables, and in pictures."""

import io
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from synthenv.core.types import Curve
from synthenv.runs.display import figures, terminal
from synthenv.runs.evaluate import command as evaluate_command
from synthenv.runs.evaluate import learning_curves_plot
from synthenv.runs.evaluate.arguments import Evaluate
from synthenv.runs.evaluate.learning_curves import Learned, summarise
from synthenv.runs.meta_train import command as meta_train_command
from synthenv.runs.meta_train import synthetic_presets
from synthenv.runs.oswm.benchmark import returns_plot
from synthenv.runs.tune import command as tune_command

NAMES = ["lr[a]", "[/y]", "[bold]x[/bold]", "a:bug:b", "\\[z]", "x" * 300]


@pytest.fixture
def said(monkeypatch):
    """What the terminal shows, with the console's own settings."""
    text = io.StringIO()
    monkeypatch.setattr(terminal.console, "_file", text)
    return text


@pytest.mark.parametrize("name", NAMES)
def test_lines_and_tables(said, name):
    terminal.say(f"run directory: {name}")
    assert said.getvalue() == f"run directory: {name}\n", "whole, however long"
    if len(name) < 50:
        terminal.listing(f"of {name}", (f"head {name}",), [(f"cell {name}",)])
        for part in ("of", "head", "cell"):
            assert f"{part} {name}" in said.getvalue()


@pytest.mark.parametrize("name", NAMES[:-1])
def test_bars_and_spinners(name):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, color_system=None, width=200, markup=False, emoji=False)
    with Progress(*terminal.COLUMNS, console=console) as progress:
        progress.add_task(f"of {name}", total=2, numbers=f"at {name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "console", console)
        with terminal.busy(f"training in {name}"):
            pass
    assert all(f"{word} {name}" in text.getvalue() for word in ("of", "at", "training in"))


def test_the_console_of_all_commands_takes_nothing_for_markup():
    for module in (meta_train_command, tune_command):
        assert module.say is terminal.say and module.bars is terminal.bars
    assert not terminal.console._markup and not terminal.console._emoji


def test_how_a_search_went_is_told_without_markup(said):
    result = {"generations": 3, "seconds": 1.0, "best_incumbent": 196.0}
    for solved, word in ((True, "solved"), (False, "not solved"), (None, "finished")):
        line = meta_train_command.verdict(result | {"solved": solved}, "max_reward")
        assert line.startswith(f"{word} after 3 generations")


def test_one_of_a_kind_is_no_plural():
    assert [terminal.counted(num, "seed") for num in (0, 1, 2)] == ["0 seeds", "1 seed", "2 seeds"]
    assert terminal.counted(2, "untrained policy") == "2 untrained policies"
    result = {"generations": 1, "seconds": 1.0, "best_incumbent": 196.0, "solved": None}
    assert meta_train_command.verdict(result, "max_reward").startswith("finished after 1 generation,")
    study = {
        "num_ended": 1,
        "value": None,
        "state": "pruned",
        "trial": 0,
        "generations": 1,
        "best_value": None,
    }
    assert tune_command.trial_line(study, 1) == "1/1  trial 0 pruned after 1 generation"


def test_the_choice_of_a_start_shows_how_it_goes(said, monkeypatch, tmp_path):
    """It takes longer than many generations: a few lines where there is no bar."""

    def search(*args):
        for done in range(39):
            args[-1](done, 38)
        return {}

    monkeypatch.setattr(meta_train_command.search_run, "meta_train", search)
    meta_train_command.meta_train(synthetic_presets.FAST, 0, tmp_path / "x", False)
    lines = [f"choosing a start: {done}/38 rounds of trials" for done in (8, 16, 23, 31, 38)]
    assert said.getvalue().splitlines() == lines


@pytest.mark.parametrize("name", ["a$b$c", r"$\frac$", "_run", r"\$x$", "lr[a]"])
def test_pictures(name, tmp_path):
    """No formula is made of it, which might be none, and no label is left out of a legend."""
    curve = Curve(jnp.full((2, 12), 20.0), jnp.tile(jnp.arange(1, 13), (2, 1)))
    learned = Learned(curve, np.full(2, 12), np.zeros(2, int), 10.0, 12)
    summary = {"agents": {"ddqn": {"proxies": {name: summarise(learned)}}}, "tested_on": name}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = learning_curves_plot.draw_curves(
            summary, learning_curves_plot.bands_of({f"ddqn: {name}": learned}), name
        )
        figures.save(figure, tmp_path / "x.png")
    (legend,) = figure.legends
    for text in (legend.get_texts()[0], figure.axes[1].get_yticklabels()[0], *figure.texts):
        shown, is_formula = text._preprocess_math(text.get_text())  # type: ignore[attr-defined]
        assert (shown.strip(), is_formula) == (name, False)
    assert returns_plot.literal is figures.literal


@pytest.mark.parametrize(("curves", "num"), [(False, 400), (True, 40)])
def test_who_does_not_say_how_many_agents_is_told(said, monkeypatch, tmp_path, curves, num):
    """At once: nothing is looked up or trained before."""

    def train(*args, **_):
        assert num in args
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_command.evaluation, "evaluate", train)
    monkeypatch.setattr(evaluate_command.learning_curves, "evaluate_curves", train)
    for num_agents in (None, num):
        with pytest.raises(KeyboardInterrupt):
            evaluate_command.evaluate(Evaluate(curves=curves, out=tmp_path / "x", num_agents=num_agents))
    told = f"{num} agents for each row, to train in synthetic/CartPole-v0: --num-agents asks for fewer\n"
    assert said.getvalue().startswith(told) and said.getvalue().count("--num-agents") == 1


def test_commands_to_copy_are_quoted(said, monkeypatch):
    result = {"solved": True, "generations": 3, "seconds": 1.0, "best_incumbent": 196.0}
    monkeypatch.setattr(meta_train_command.search_run, "meta_train", lambda *args: result)
    monkeypatch.setattr(meta_train_command, "write_report", lambda out: None)
    meta_train_command.meta_train(synthetic_presets.FAST, 0, Path("a [b]"), False)
    assert "synthenv evaluate --proxy 'a [b]' --num-agents 40\n" in said.getvalue()
    assert "synthenv plot 'a [b]'\n" in said.getvalue()
