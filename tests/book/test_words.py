"""The book's words: the field's, one meaning each."""

import re

import nbformat
import pytest
from exported import ROOT

PAGES = [*sorted((ROOT / "book").glob("*.md")), *sorted((ROOT / "notebooks").glob("*.ipynb"))]
HOUSE = re.compile(
    r"\b(strangers?|unfamiliar|familiarity|owned|baked|dealt|dealing|whose merit|pictures?)\b", re.I
)
CODE = re.compile(r"^(`{3,})(?:[a-z]+|\{eval-rst\})\n.*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def prose(path):
    """What is read: Markdown without code, captions and descriptions of figures."""
    if path.suffix == ".md":
        return CODE.sub("", path.read_text(encoding="utf-8"))
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        found += [cell.source] if cell.cell_type == "markdown" else []
        if "mystnb" in cell.metadata:
            found += [cell.metadata.mystnb.figure.caption, cell.metadata.mystnb.image.alt]
    return CODE.sub("", "\n".join(found))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_words_are_the_fields(path):
    text = prose(path)
    assert len(text) > 30 and HOUSE.findall(text) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_nothing_is_left_of_an_edit(path):
    text = prose(path)
    assert not re.findall(
        r"\b[Aa] (?:image|OOD|in-)\S*|\b(?:the the|a a|of of|is is|to to)\b", text
    )


def test_bibliography_has_letters_and_no_tex():
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    assert "\\" not in text and "Kizaroğlu" in text


def test_results_open_with_what_they_say():
    first = (ROOT / "book" / "results.md").read_text(encoding="utf-8").split("\n")[2]
    assert re.fullmatch(r"\*\*[^*]+\*\*", first)
