"""The public face: one table of names, imported when asked for, and shown on the API page."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sotglp_core

ROOT = Path(__file__).parents[1]
API = (ROOT / "book" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sotglp_core.__all__)
def test_every_name_is_there_and_on_the_api_page(name):
    assert getattr(sotglp_core, name) is not None and name in dir(sotglp_core)
    path = f"sotglp_core.{sotglp_core.ROOM[name]}"
    whole = name in sotglp_core.WHOLE
    assert f"`{name} <{path}>`" in API if whole else f"`{name} <{path}.{name}>`" in API


def test_type_checkers_read_the_same_table():
    tree = ast.parse((ROOT / "sotglp_core" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    found = {
        alias.name: ".".join(filter(None, (node.module, alias.name * (alias.name in whole))))
        for node in block.body
        for alias in node.names
        for whole in [sotglp_core.WHOLE]
    }
    assert found == sotglp_core.ROOM


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'sinkhron'"):
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
