"""Check what the documents show: python blocks run, synthenv commands exist, links lead somewhere."""

import re
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from synthenv.cli import main

REPO = Path(__file__).resolve().parents[1]
LAUNCHERS = {"srun", "taskset"}
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
FENCE = re.compile(r'^```(\w*)(?: title="([\w.]+)")?[^\n]*\n(.*?)^```[ \t]*$', re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a Markdown file."""

    line: int  # where its content begins, counted from 1
    title: str  # the file that it is, if it has one
    language: str
    text: str


def read_blocks(text: str) -> list[Block]:
    """Find the fenced blocks of a Markdown text."""
    return [Block(text.count("\n", 0, m.start(3)) + 1, m[2] or "", m[1], m[3]) for m in FENCE.finditer(text)]


def read_commands(text: str) -> Iterator[list[str]]:
    """Yield the arguments of every ``synthenv`` call of a bash block, options as they are written."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        for token in [*lexer, ";"]:
            if set(token) <= set("();<>|&"):
                while command and re.fullmatch(r"\w+=.*", command[0]):
                    command.pop(0)
                if command and command[0] in LAUNCHERS and "synthenv" in command:
                    command = command[command.index("synthenv") :]
                if command and Path(command[0]).name == "synthenv":
                    yield command[1:]
                command = []
            else:
                command.append(token)


def read_anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a Markdown text, as GitHub and mkdocs name them."""
    headings = [re.sub(r"[^\w\- ]", "", heading).lower() for heading in HEADING.findall(FENCE.sub("", text))]
    return {heading.replace(" ", "-") for heading in headings}


DOCUMENTS = {
    path.relative_to(REPO).as_posix(): read_blocks(path.read_text("utf-8"))
    for path in [
        *(REPO / folder / "README.md" for folder in ("", "experiments", "benchmarks")),
        *sorted((REPO / "docs").glob("**/*.md")),
    ]
}
WITH_PYTHON = [name for name, blocks in DOCUMENTS.items() if any(b.language == "python" for b in blocks)]
COMMANDS = sorted(
    {
        tuple(command)
        for blocks in DOCUMENTS.values()
        for block in blocks
        if block.language in {"bash", "sh", "console"}
        for command in read_commands(block.text)
    }
)


@pytest.mark.rank_promotion_ok
@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("document")
    monkeypatch.setitem(sys.modules, "document", module)  # dataclasses look their module up
    for block in DOCUMENTS[name]:
        if block.language == "python":
            source = "\n" * (block.line - 1) + block.text  # so that a traceback shows the document's line
            exec(compile(source, name, "exec"), module.__dict__)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_example_is_exempt(name):
    text = (REPO / name).read_text("utf-8")
    assert not re.search(r"<!--\s*skip", text)
    assert text.count("\n```") % 2 == 0, "a fence is left open"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    text = FENCE.sub("", (REPO / name).read_text("utf-8"))
    for link in ("".join(found) for found in LINK.findall(text)):
        path, _, anchor = link.partition("#")
        target = (REPO / name).parent / path if path else REPO / name
        assert "://" in link or target.exists(), f"nothing is at {link}"
        if anchor and "://" not in link:
            assert anchor in read_anchors(target.read_text("utf-8")), f"no heading is called {link}"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_exists(command, monkeypatch, capsys, tmp_path):
    write_files(tmp_path)  # that --import names
    monkeypatch.chdir(tmp_path)
    words = [*command, "-"]
    positional = words[: next(i for i, word in enumerate(words) if word.startswith("-"))]
    usage = show_help(command, monkeypatch, capsys)  # the flags of a proxy depend on its form
    assert f"usage: synthenv {' '.join(positional[:1])}".strip() in usage
    for option in (word.partition("=")[0] for word in command if word.startswith("--")):
        assert re.search(rf"{re.escape(option.replace('_', '-'))}(?![\w-])", usage), f"no option {option}"


def write_files(place: Path) -> None:
    """Write the blocks that are files of their own."""
    for blocks in DOCUMENTS.values():
        for block in blocks:
            if block.title:
                (place / block.title).write_text(block.text)


def show_help(words: list[str], monkeypatch, capsys) -> str:
    """Return what ``synthenv WORDS --help-all`` prints."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["synthenv", *words, "--help-all"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return capsys.readouterr().out


def test_blocks_and_commands_are_found():
    text = (
        "```python\nx = 1\n```\n\n"
        "```bash\n$ A=1 synthenv demo \\\n  --seeds 3 && .venv/bin/synthenv x # no\nsrun -n2 synthenv y\nls\n```\n"
    )
    python, bash = read_blocks(text)
    assert python == (2, "", "python", "x = 1\n")
    assert list(read_commands(bash.text)) == [["demo", "--seeds", "3"], ["x"], ["y"]]
    assert read_anchors("# One: `a_b`, two\n## C-d") == {"one-a_b-two", "c-d"}
