"""What the parser refuses, said in one line; help; and that neither needs anything heavy."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tyro

import synthenv
from synthenv.cli import COMMANDS, main, parse
from synthenv.runs import argument_errors
from synthenv.runs.flags import flags_of
from tests.error_lines import is_line

REPO = Path(__file__).resolve().parents[1]
NAMES = {row.name: kind for kind, row in COMMANDS.items()}
ALL = f"{', '.join([*NAMES][:-1])} or {[*NAMES][-1]}"


ERRORS = {
    # commands
    "": f"pass a command: {ALL} (synthenv --help says what each does)",
    "--seed 3 train": f"pass a command before --seed: {ALL} (synthenv --help says what each does)",
    "metatrain": "there is no command metatrain: did you mean meta-train?",
    "MetaTrain --seed 3": "there is no command MetaTrain: did you mean meta-train?",
    "xyz": f"there is no command xyz: pass {ALL}",
    "xyz --help": f"there is no command xyz: pass {ALL}",
    "oswm": (
        "oswm alone does nothing: pass oswm run, pretrain, benchmark or plot "
        "(synthenv --help says what each does)"
    ),
    "oswm --seed 3": (
        "oswm alone does nothing: pass oswm run, pretrain, benchmark or plot "
        "(synthenv --help says what each does)"
    ),
    "oswm bench": "there is no command oswm bench: did you mean oswm benchmark?",
    "oswn run": "there is no command oswn: did you mean oswm run?",
    "pretrain": "there is no command pretrain: did you mean oswm pretrain?",
    # flags
    "train --num-agent 4": "train has no flag --num-agent: did you mean --num-agents?",
    "train --Num_Agents 4": "train has no flag --Num_Agents: did you mean --num-agents?",
    "train -seed 4": "train has no flag -seed: did you mean --seed?",
    "train --zzz": "train has no flag --zzz: synthenv train --help lists those that it has",
    "train --curves": "train has no flag --curves, but evaluate has: synthenv train --help lists its own",
    "oswm plot runs/x --workers 3": (
        "oswm plot has no flag --workers, but oswm pretrain has: synthenv oswm plot --help lists its own"
    ),
    "train --seeds 3": (
        "train has no flag --seeds: did you mean --seed? (oswm run, oswm benchmark or select simulate has --seeds)"
    ),
    "meta-train --outer.num-generation 9": (
        "meta-train has no flag --outer.num-generation: did you mean --outer.num-generations?"
    ),
    "meta-train --num-generations 9": (
        "meta-train has no flag --num-generations: did you mean --outer.num-generations? "
        "(tune has --num-generations)"
    ),
    "meta-train --agent.lr 1": "meta-train has no flag --agent.lr: did you mean --agent.learning-rate?",
    "meta-train --lr 1": "meta-train has no flag --lr: did you mean --agent.learning-rate?",
    "meta-train --agent.learn 1": "meta-train has no flag --agent.learn: did you mean --agent.learning-rate?",
    "meta-train --agent.max 1": (
        "meta-train has no flag --agent.max: did you mean --agent.max-episodes or --agent.max-steps?"
    ),
    "meta-train --agent.std 1": "meta-train has no flag --agent.std: did you mean --strategy.std?",
    "meta-train --agnt.learning-rate 1": (
        "meta-train has no flag --agnt.learning-rate: did you mean --agent.learning-rate?"
    ),
    "meta-train --agent.gamma 1": (
        "meta-train has no flag --agent.gamma: synthenv meta-train --help lists those that it has"
    ),
    "meta-train --stop foo": "meta-train has no flag --stop: did you mean --agent.stop?",
    "meta-train --proxy rn --proxy.done raw": (
        "meta-train has no flag --proxy.done, but meta-train --proxy se has: "
        "synthenv meta-train --help lists its own"
    ),
    "meta-train --agent.curiosity.beta 1": (
        "--agent.curiosity.beta needs agent.curiosity:icm-config before it"
    ),
    # values
    "meta-train --seed abc": "--seed takes an integer, not 'abc'",
    "train --num_agents=1e3": "--num_agents takes an integer, not '1e3'",
    "meta-train --strategy.std x": "--strategy.std takes a number, not 'x'",
    "meta-train --agent.stop foo": "--agent.stop takes plateau, solved or none, not 'foo'",
    "meta-train --agent.stop Solve": (
        "--agent.stop takes plateau, solved or none, not 'Solve': did you mean solved?"
    ),
    "meta-train --proxy foo": "unknown proxy 'foo'; known ones: se, scb, rn; one of your own needs --import FILE",
    "meta-train --agent.variation.depth x 3": (
        "--agent.variation.depth takes 2 values, each an integer, not 'x'"
    ),
    "meta-train --resume=true": "--resume takes no value, not 'true'",
    "train --seed": "--seed takes an integer: pass one after it",
    "train --seed --vary-hyperparams": "--seed takes an integer: pass one after it",
    "train --env": "--env takes a value: pass one after it",
    "train --json": "--json takes a path: pass one after it",
    "meta-train --agent.variation.depth 3": (
        "--agent.variation.depth takes 2 values, each an integer: pass more after it"
    ),
    "meta-train --agent.variation.max-steps 3": (
        "--agent.variation.max-steps takes 2 values, each an integer: pass more after it"
    ),
    # words by themselves
    "train CartPole-v0": (
        "no flag takes 'CartPole-v0': put its own flag before it (synthenv train --help lists them)"
    ),
    "demo --resume runs/x": (
        "no flag takes 'runs/x': put its own flag before it (synthenv demo --help lists them)"
    ),
    "train seed 3": "no flag takes 'seed': did you mean --seed?",
    "meta-train agent.curiosity:icm": (
        "no flag takes 'agent.curiosity:icm': did you mean agent.curiosity:icm-config?"
    ),
    "oswm plot": "oswm plot needs RUN: its directory",
    "oswm plot --seed 3": "oswm plot needs RUN: its directory",
    "oswm plot runs/a runs/b": (
        "no flag takes 'runs/b': put its own flag before it (synthenv oswm plot --help lists them)"
    ),
    # presets of the form that is asked for
    "meta-train --preset table4": (
        "unknown preset of --proxy se 'table4'; did you mean 'table3'? known ones: fast, table3, released, "
        "varied, varied_stable, smoke"
    ),
    "meta-train --proxy rn --preset table3": (
        "unknown preset of --proxy rn 'table3'; known ones: fast, paper, released, smoke"
    ),
}


@pytest.mark.parametrize("words", ERRORS)
def test_what_is_refused_is_said_in_a_line(words, capsys):
    assert main(words.split()) == 2
    told = capsys.readouterr()
    assert is_line(ERRORS[words], told.err), told.err
    assert told.out == ""


def test_an_agent_is_asked_for_by_its_nearest_name(capsys):
    assert main(["train", "--agent", "dqn"]) == 2
    assert re.search(r"did you mean '?ddqn'?\?", capsys.readouterr().err)


def test_what_the_flags_do_not_tell_is_said_in_the_words_of_the_parser():
    box = "╭─ Value error ───╮\n│ No such thing   │\n│ as a free lunch │\n╰─────────────────╯\n"
    assert argument_errors.in_one_line(box) == "Value error No such thing as a free lunch"


@pytest.mark.parametrize("name", NAMES)
def test_the_parser_takes_the_flags_that_are_read_off_the_arguments(name, monkeypatch):
    """No more and no less, as its own help has them."""
    monkeypatch.setenv("COLUMNS", "120")
    words = ["agent.curiosity:icm-config"] if name == "meta-train" else []
    theirs: set[str] = set()
    for more in ([], words):
        with contextlib.redirect_stdout(io.StringIO()) as text, pytest.raises(SystemExit):
            tyro.cli(NAMES[name], args=[*more, "--help"])
        lines = re.findall(r"^[│ ] (?:-h, )?(--[a-z].*?)(?:  .*)?$", text.getvalue(), re.MULTILINE)
        theirs |= {word for line in lines for word in re.findall(r"--[a-z][\w.-]+", line)}
    ours = {word for flag in flags_of(NAMES[name]) for word in flag.spellings if word.startswith("--")}
    assert ours == theirs - {"--help"} and "--seed" in ours


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["oswm", "--help"]])
def test_commands_are_listed_in_a_line_each(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    lines = capsys.readouterr().out.splitlines()
    listed = [line for line in lines if line.startswith("  ")]
    names = [name for name in NAMES if name.startswith("oswm" if words[0] == "oswm" else "")]
    assert stop.value.code == 0 and len(listed) == len(names)
    for line, name in zip(listed, names, strict=True):
        assert re.fullmatch(rf"  {name}  +\S.*\.", line) and len(line) <= 100


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"synthenv {synthenv.__version__}\n"


def told(capsys, *words: str) -> str:
    """What is printed as help."""
    with pytest.raises(SystemExit) as stop:
        main([*words])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_help_of_a_search_is_a_screen_and_the_rest_can_be_had(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    brief, full = told(capsys, "meta-train", "--help"), told(capsys, "meta-train", "--help-all")
    assert brief.startswith("usage: synthenv meta-train [flags]\n\nEvolve a proxy of a task")
    assert "\n  synthenv meta-train --task CartPole-v0" in brief and len(brief.splitlines()) <= 50
    assert all(f"  --{name}" in brief for name in ("out", "preset", "proxy", "resume", "task", "seed"))
    rest = re.findall(r"^  (--\w+\.[\w.-]+)", full, re.MULTILINE)
    assert len(rest) > 50 and not any(f"  {flag}" in brief for flag in rest)
    assert brief.splitlines()[-1].startswith("synthenv meta-train --help-all lists ")
    assert "meta-train --help-all" not in full
    assert "  --strategy.std NUMBER" in full and "(default: 0.04)" in full


def test_help_shows_what_a_preset_and_a_form_decide(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "(default: additive_non_potential)" in told(capsys, "meta-train", "--proxy", "rn", "--help-all")
    smoke = told(capsys, "oswm", "benchmark", "--preset", "smoke", "--help")
    assert "--models TEXT ..." in smoke and "(default: ridge persistence)" in smoke


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_command_can_be_parsed(name, capsys):
    row = COMMANDS[NAMES[name]]
    assert f"\n  synthenv {name} {row.example}\n" in told(capsys, *name.split(), "--help")
    assert type(parse([*name.split(), *row.example.split()])) is NAMES[name]


@pytest.mark.parametrize(
    "path", sorted((REPO / "synthenv" / "runs").rglob("arguments.py")), ids=lambda path: path.parent.name
)
def test_arguments_import_nothing_heavy(path):
    module = ".".join(path.relative_to(REPO).with_suffix("").parts)
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPO,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    heavy = {"jax", "jaxlib", "numpy", "matplotlib", "optuna", "optax", "gymnasium", "gymnax", "safetensors"}
    assert "synthenv" in (imported := set(done.stdout.split())) and not heavy & imported
