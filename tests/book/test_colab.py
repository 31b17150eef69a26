"""Notebooks as Google Colab gets them: plain Markdown, code that compiles, a set-up cell."""

import re
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from exported import ROOT, colab

MYST = re.compile(r"\{[a-z:]+\}`|^`{3,}\{|^:\w+:|^\(\S+\)=$|^:{3}", re.MULTILINE)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colab")
    colab.main(folder)
    return folder


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def pair(request, folder):
    """A notebook as it is committed, and as it is exported."""
    path = request.param
    return (nbformat.read(file, as_version=4) for file in (path, folder / path.name))


def sources(notebook, kind):
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def test_nothing_of_myst_is_left(pair):
    committed, exported = pair
    assert MYST.search("\n".join(sources(committed, "markdown")))
    for text in sources(exported, "markdown"):
        assert not MYST.search(text), MYST.search(text)
    assert not any(cell.metadata for cell in exported.cells)


def test_all_words_are_kept(pair):
    committed, exported = ("\n".join(sources(one, "markdown")) for one in pair)
    lines = [line for line in committed.split("\n") if line and not re.search("[{}:`<]", line)]
    assert len(lines) > 5
    for line in lines:
        assert line in exported


def test_code_compiles_and_is_the_same(pair):
    committed, exported = (sources(one, "code") for one in pair)
    assert exported == [colab.SETUP, *committed]
    for source in exported:
        compile(source, "cell", "exec")


def test_captions_are_text_and_figures_have_their_numbers(pair):
    committed, exported = pair
    figures = [cell.metadata.mystnb.figure for cell in committed.cells if "mystnb" in cell.metadata]
    text = "\n".join(sources(exported, "markdown"))
    assert re.findall(r"^\*\*Figure (\d+)\.\*\* ", text, re.MULTILINE) == [
        str(i + 1) for i in range(len(figures))
    ]
    for i, cell in enumerate(exported.cells):
        if cell.source.startswith("**Figure "):
            assert exported.cells[i - 1].cell_type == "code"


def test_solutions_are_folded(pair):
    committed, exported = ("\n".join(sources(one, "markdown")) for one in pair)
    exercises = committed.count("{exercise}")
    assert exercises >= 2
    assert exported.count("**Exercise ") == exercises == exported.count("<details>")
    assert exported.count("</details>") == committed.count("{solution}") == exercises


def test_equations_citations_and_links(tmp_path):
    source = """# T

```{math}
:label: one
x = 1
```

By {eq}`one` and {eq}`gibbs` of {doc}`the method <../book/method>`, {cite:p}`sotglp`; {cite:t}`mos`;
{func}`~sotglp_core.judging.ood.auroc`; {ref}`the table <released-code>`; {term}`a plan <plan>`."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)])
    nbformat.write(notebook, tmp_path / "t.ipynb")
    book = colab.BOOK
    assert colab.Export(tmp_path / "t.ipynb").cells()[0].source == (
        f"# T\n\n$$\nx = 1\n\\tag{{1}}\n$$\n\n"
        f"By (1) and [(gibbs)]({book}book/method.html#equation-gibbs) of "
        f"[the method]({book}book/method.html), "
        f"[(Kizaroğlu et al., 2026)]({book}book/bibliography.html); "
        f"[Huang and Li (2021)]({book}book/bibliography.html);\n"
        f"`auroc`; [the table]({book}book/method.html#released-code); a plan."
    )


def test_the_repository_stands_in_one_place():
    owner = re.escape(f"{colab.OWNER}/{colab.NAME}")
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("book", "notebooks", "sotglp_core", "tests", ".")
        for path in (ROOT / folder).glob("**/*" if folder != "." else "*")
        if path.is_file()
        and path.suffix in (".py", ".md", ".ipynb", ".yml", ".toml", ".cff")
        and re.search(owner, path.read_text(encoding="utf-8"))
    }
    assert found == {"_config.yml", "CITATION.cff"}


@pytest.fixture
def installs(monkeypatch):
    calls = []
    monkeypatch.setattr(subprocess, "check_call", lambda command, **_: calls.append(command))
    versions = {"torch": "2.11.0+cu128"}
    monkeypatch.setattr(metadata, "version", lambda name: versions.get(name, "1.2.3"))
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    return calls


def test_set_up_says_that_it_does_nothing_elsewhere(installs, capsys):
    exec(colab.SETUP, {})
    assert installs == []
    assert "nothing was installed" in capsys.readouterr().out


def test_set_up_keeps_colabs_torch_and_says_so(installs, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    exec(colab.SETUP, {})
    (command,) = installs
    *pip, flag, file, package = command
    assert pip == [sys.executable, "-m", "pip", "install", "-q"] and flag == "-c"
    constraints = dict(line.split("==") for line in Path(file).read_text().splitlines())
    assert constraints["torch"] == "2.11.0+cu128"
    assert constraints.keys() == {"torch", "torchvision", "numpy", "ipywidgets", "matplotlib"}
    assert package == f"sotglp-core[book] @ git+{colab.REPOSITORY}"
    assert "kept torch 2.11.0+cu128" in capsys.readouterr().out
