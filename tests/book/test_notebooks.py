"""The static contract of every notebook; only the set-up cell is executed, with pip replaced."""

import ast
import importlib.util
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import nbformat
import pytest

import sotglp_core
from sotglp_core import pocket
from sotglp_core.workbench.embedded import chosen_rates

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELLS, LINES, PLOT_LINES, COLUMNS = 20, 25, 12, 88
PUBLIC = {"sotglp_core": sotglp_core.__all__, "sotglp_core.pocket": pocket.__all__}
NO_RUN = "no run"
NO_FIGURES = {"outline", "show", "style", "DIVERGING", "HEATMAP", "PALETTE", "STYLE"}
DRAWS = {f"figures.{name}" for name in {*sotglp_core.figures.__all__} - NO_FIGURES}
DRAWS |= {"plt.subplots", "sns.relplot"}

spec = importlib.util.spec_from_file_location("setup_cell", ROOT / "book" / "setup_cell.py")
setup_cell = importlib.util.module_from_spec(spec)
spec.loader.exec_module(setup_cell)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_format_is_valid(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert notebook.cells[0].source.startswith("# ")


def test_first_code_cell_is_the_setup_cell(notebook):
    assert code_cells(notebook)[0].source == setup_cell.SETUP


def test_badge_points_at_this_file(path, notebook):
    assert markdown(notebook).count("colab-badge.svg") == 1
    assert f"/{setup_cell.REPOSITORY}/blob/{setup_cell.BRANCH}/notebooks/{path.name})" in markdown(
        notebook
    )


def test_setup_cell_and_badge_can_be_written_again(path, notebook):
    assert setup_cell.with_setup(notebook, path) == notebook


def test_outputs_are_only_of_real_gpu_runs(path, notebook):
    has_outputs = any(cell.outputs or cell.execution_count for cell in code_cells(notebook))
    if path.stem.endswith("_gpu"):
        assert has_outputs != (NO_RUN in markdown(notebook).lower())
    else:
        assert not has_outputs


def test_cells_are_few_and_short(notebook):
    cells = [cell.source.splitlines() for cell in code_cells(notebook)]
    assert len(cells) <= CELLS
    assert [lines for lines in cells if len(lines) > LINES] == []
    assert [line for lines in cells for line in lines if len(line) > COLUMNS] == []


def test_code_that_draws_is_short(notebook):
    drawing = [
        cell.source.splitlines()
        for cell in code_cells(notebook)
        if "hide-input" in cell.metadata.get("tags", ())
    ]
    assert [lines for lines in drawing if len(lines) > PLOT_LINES] == []


def test_figures_have_a_caption_and_words_for_those_who_do_not_see(notebook):
    for cell in code_cells(notebook):
        tree = ast.walk(ast.parse(cell.source))
        if any(ast.unparse(node.func) in DRAWS for node in tree if isinstance(node, ast.Call)):
            shown = cell.metadata["mystnb"]
            assert shown["image"]["alt"] and shown["figure"]["caption"] and shown["figure"]["name"]


def test_imports_come_from_the_public_face(notebook):
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("sotglp_core"):
                assert {alias.name for alias in node.names} <= {*PUBLIC.get(node.module, ())}
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("sotglp_core") for alias in node.names)


def test_quoted_learning_rates_are_the_measured_ones():
    notebook = nbformat.read(ROOT / "notebooks" / "10_few_shots.ipynb", as_version=4)
    (rates,) = (
        ast.literal_eval(node.value)
        for cell in code_cells(notebook)
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "rates"
    )
    measured = chosen_rates()
    assert rates == {name: measured[name] for name in rates}


def test_code_is_plain_python_with_little_machinery(notebook):
    nodes = [node for cell in code_cells(notebook) for node in ast.walk(ast.parse(cell.source))]
    assert not any(isinstance(node, ast.ClassDef) for node in nodes)
    assert sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes) <= 1


def test_last_cell_asserts_the_claim(notebook):
    last = ast.parse(code_cells(notebook)[-1].source)
    assert any(isinstance(node, ast.Assert) for node in ast.walk(last))


@pytest.fixture
def installs(monkeypatch):
    calls = []
    monkeypatch.setattr(subprocess, "check_call", lambda command, **_: calls.append(command))
    monkeypatch.setattr(
        metadata, "version", lambda name: {"torch": "2.11.0+cu128"}.get(name, "1.2.3")
    )
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    return calls


def test_setup_cell_does_nothing_elsewhere(installs):
    exec(setup_cell.SETUP, {})
    assert installs == []


def test_setup_cell_keeps_colabs_torch(installs, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    exec(setup_cell.SETUP, {})
    (command,) = installs
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    constraints = Path(command[command.index("-c") + 1]).read_text().splitlines()
    assert "torch==2.11.0+cu128" in constraints
    assert {line.split("==")[0] for line in constraints} == {
        "torch",
        "torchvision",
        "numpy",
        "ipywidgets",
        "matplotlib",
    }
    assert [
        part
        for part in command[4:]
        if not part.startswith("-") and part != command[command.index("-c") + 1]
    ] == [f"sotglp-core[book] @ git+https://github.com/{setup_cell.REPOSITORY}@{setup_cell.BRANCH}"]
    assert not {"-U", "--upgrade", "--force-reinstall"} & set(command)
