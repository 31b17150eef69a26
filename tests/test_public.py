"""The public face: one table of names, imported when asked for, and shown on the API page."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sotglp_core

ROOT = Path(__file__).parents[1]
API = (ROOT / "book" / "api.md").read_text(encoding="utf-8")


STUB = ast.parse((ROOT / "sotglp_core" / "__init__.pyi").read_text(encoding="utf-8"))
PLACES = {
    alias.name: f"sotglp_core.{node.module or ''}".rstrip(".")
    for node in STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}


@pytest.mark.parametrize("name", sotglp_core.__all__)
def test_every_name_is_there_and_on_the_api_page(name):
    assert getattr(sotglp_core, name) is not None and name in dir(sotglp_core)
    assert f"`{name} <{PLACES[name]}.{name}>`" in API


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="sinkhron"):
        sotglp_core.sinkhron  # noqa: B018
    with pytest.raises(ImportError):
        from sotglp_core import sinkhron  # noqa: F401


def test_the_import_loads_nothing_large():
    large = {"numpy", "open_clip", "seaborn", "torch"}
    code = f"import sys, sotglp_core; print(*{large} & {{*sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
