"""The static contract of every notebook; none is executed."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

import sotglp_core
from sotglp_core import pocket

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELLS, LINES, PLOT_LINES, COLUMNS = 20, 25, 12, 88
PUBLIC = {"sotglp_core": sotglp_core.__all__, "sotglp_core.pocket": pocket.__all__}
NO_RUN = "no run"
NO_FIGURES = {"beyond_even", "outline", "show", "style", "DIVERGING", "HEATMAP", "PALETTE", "STYLE"}
DRAWS = {f"figures.{name}" for name in {*sotglp_core.figures.__all__} - NO_FIGURES}
DRAWS |= {"plt.subplots", "sns.relplot"}


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


def test_title_is_a_number_and_a_short_noun_and_the_claim_follows_in_bold(path, notebook):
    title, _, claim = notebook.cells[0].source.split("\n")[:3]
    number, words = re.fullmatch(r"# (\d+)\. (.+)", title).groups()
    assert int(number) == int(path.stem[:2]) and len(words.split()) <= 4
    assert re.fullmatch(r"\*\*[^*]+\.\*\*", claim)


def test_title_is_the_one_of_the_map(path, notebook):
    title = notebook.cells[0].source.split("\n")[0].removeprefix("# ")
    number, words = title.split(". ", 1)
    index = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    assert f"| {number} | {{doc}}`{words} <../notebooks/{path.stem}>` |" in index


def test_there_are_boxes_of_what_is_needed_and_what_was_found(notebook):
    text = markdown(notebook)
    assert text.count("```{admonition} You need\n") == text.count("```{admonition} Summary\n") == 1


def chapters_named_wrongly(text):
    chapter = re.compile(r"\{doc\}`([^`<]*) <(?:\.\./notebooks/)?(\d\d)_\w+>`(?! \|)")
    return [
        (words, number)
        for words, number in chapter.findall(text)
        if words.lower() != f"chapter {int(number)}"
    ]


BARE = re.compile(r"\{(?:doc|ref)\}`[^`<]*`")  # inserts a title, which seldom fits the sentence


def test_references_carry_words_and_the_right_number(notebook):
    text = markdown(notebook)
    assert not BARE.findall(text) and not chapters_named_wrongly(text)


@pytest.mark.parametrize("page", sorted((ROOT / "book").glob("*.md")), ids=lambda page: page.stem)
def test_references_of_pages_carry_words(page):
    text = page.read_text(encoding="utf-8")
    assert not BARE.findall(text) and not chapters_named_wrongly(text)


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


def test_learning_rates_are_those_of_the_recipes(path, notebook):
    if path.stem in ("02_prompts", "06_training"):
        return  # whose rates are chosen on validation images
    code = "\n".join(cell.source for cell in code_cells(notebook))
    assert not re.search(r"\blr\s*=|\"lr\"", code)


def test_numbers_in_the_text_are_of_the_shipped_weights(notebook, pocket):
    assert notebook.metadata["measured_with"] == pocket.fingerprint[:8], "read the chapter again"


def test_code_is_plain_python_with_little_machinery(notebook):
    nodes = [node for cell in code_cells(notebook) for node in ast.walk(ast.parse(cell.source))]
    assert not any(isinstance(node, ast.ClassDef) for node in nodes)
    assert sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes) <= 1


def test_last_cell_asserts_the_claim(notebook):
    last = ast.parse(code_cells(notebook)[-1].source)
    assert any(isinstance(node, ast.Assert) for node in ast.walk(last))
