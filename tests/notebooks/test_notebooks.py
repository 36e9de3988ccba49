"""Every notebook runs from top to bottom at its smoke size, is committed without outputs, and knows the face alone."""

import ast
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPO = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPO / "notebooks").glob("*.ipynb"))
IDS = [path.stem for path in NOTEBOOKS]
WELCOME = {"synthenv", "jax", "flax", "optax", "gymnax", "numpy", "matplotlib"}
# The first cell where pyproject.toml has an address of the repository.
COLAB = """\
import sys

if "google.colab" in sys.modules:
    %pip install -q git+{address}"""


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.long  # the cheapest takes 13 s, and nearly all of what they run is tested elsewhere
@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_notebook_runs(path, monkeypatch, tmp_path):
    # The kernel inherits the environment.
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    monkeypatch.setenv("SYNTHENV_NOTEBOOK_PRESET", "smoke")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs), "no figure was drawn"
    noise = "".join(output.text for output in outputs if output.get("name") == "stderr")
    assert "Warning" not in noise, noise


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_notebook_is_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}, "metadata of an editor"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_notebook_knows_the_face_alone(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    tree = ast.parse("\n".join(source for source in cells if "%pip" not in source))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert "synthenv" in names and not any(name.startswith("synthenv.") for name in names), names
    assert {name.split(".")[0] for name in names} <= WELCOME | sys.stdlib_module_names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_the_address_of_the_repository_stands_in_one_place(path):
    """Without one there is nothing to install from, and no badge that leads nowhere."""
    notebook = nbformat.read(path, as_version=4)
    address = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["urls"].get("Repository")
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    if address is not None:
        assert first == COLAB.format(address=address)
    else:
        assert not any("colab" in cell.source or "OWNER" in cell.source for cell in notebook.cells)
