"""The book's drawn figures are of the shipped weights and the measured tables."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

BOOK = Path(__file__).parents[2] / "book"
SPEC = importlib.util.spec_from_file_location("book_pictures", BOOK / "pictures.py")
pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pictures)


@pytest.mark.parametrize("name", pictures.DRAWN)
def test_figures_are_of_what_is_shipped(name):
    with Image.open(BOOK / "_static" / name) as image:
        drawn_from = image.info.get("Comment", "")
    assert drawn_from == pictures.source(name), f"run: python book/pictures.py {name}"
