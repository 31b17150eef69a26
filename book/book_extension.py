"""Sphinx extension of this book: addresses, vendored scripts, the package's docstrings."""

from __future__ import annotations

import inspect
import re
from dataclasses import is_dataclass
from pathlib import Path

import colab
from pybtex.plugin import register_plugin
from pybtex.style.formatting.alpha import Style as AlphaStyle
from pybtex.style.labels import BaseLabelStyle

import sotglp_core

COLAB = "https://colab.research.google.com"
VENDOR = Path(__file__).resolve().parent / "_static" / "vendor"
FIELD = re.compile(r"    (?P<name>\w+): [^#]+(?:#\s*(?P<text>.+))?")


class AuthorsAndYear(BaseLabelStyle):
    """Labels of the bibliography as the text cites."""

    def format_labels(self, entries):
        return [", ".join(colab.CITATIONS[entry.key]) for entry in entries]


class Bibliography(AlphaStyle):
    default_label_style = AuthorsAndYear


def use_address(app, config) -> None:
    """All addresses follow from the repository's, which stands in ``_config.yml``."""
    config.html_baseurl = config.ogp_site_url = colab.BOOK
    config.ogp_image = f"{colab.BOOK}_static/cover.png"
    config.linkcheck_ignore.append(
        f"({colab.REPOSITORY}|{colab.BOOK}|{COLAB}/github/{colab.OWNER})/?.*"
    )


def write_address(app, docname, source: list[str]) -> None:
    source[0] = source[0].replace("git+REPOSITORY", f"git+{colab.REPOSITORY}")


def open_exported_notebook(app, pagename, templatename, context, doctree) -> None:
    """Colab knows no MyST, so its button leads to the exported notebook."""
    for group in context.get("header_buttons", ()):
        for button in group.get("buttons", ()):
            if str(button.get("url")).startswith(COLAB):
                button["url"] = colab.address(f"{Path(pagename).name}.ipynb")


def use_vendored_scripts(app, config) -> None:
    if (VENDOR / "versions.txt").is_file():
        config.mathjax_path = "vendor/tex-svg-full.js"


def is_record(thing) -> bool:
    return inspect.isclass(thing) and (
        is_dataclass(thing) or issubclass(thing, tuple) and hasattr(thing, "_fields")
    )


def skip_member(app, what, name, thing, skip, options):
    """A record's fields are its parameters, already listed."""
    return True if type(thing).__name__ == "_tuplegetter" or name == "__init__" else None


def read_docstring(app, what, name, thing, options, lines: list[str]) -> None:
    """A record's fields are described by the comments behind them; a bar is no substitution."""
    lines[:] = [line if "``" in line else line.replace("|", r"\|") for line in lines]
    if is_record(thing) and not any(line.startswith(":param") for line in lines):
        source = map(FIELD.fullmatch, inspect.getsource(thing).split("\n    def ")[0].splitlines())
        lines += [
            "",
            *(f":param {m['name']}: {m['text'] or ''}".replace("|", r"\|") for m in source if m),
            "",
        ]


def resolve_short_name(app, env, node, contnode):
    """``Backbone`` means the one documented object of the package whose name ends so.

    ``sotglp_core.sinkhorn`` means the public name, wherever its room is.
    """
    target = node.get("reftarget", "")
    public = getattr(sotglp_core, target.removeprefix("sotglp_core."), None)
    if callable(public):
        target = f"{public.__module__}.{public.__name__}".removeprefix("sotglp_core.")
    if node.get("refdomain") != "py" or not target:
        return None
    domain = env.get_domain("py")
    found = {
        name
        for name, *_ in domain.get_objects()
        if name.startswith("sotglp_core.") and name.endswith(f".{target}")
    }
    if len(found) != 1:
        return None
    fromdoc = node.get("refdoc", env.docname)
    return domain.resolve_any_xref(env, fromdoc, app.builder, found.pop(), node, contnode)[0][1]


def drop_unused_scripts(app, pagename, templatename, context, doctree) -> None:
    """Scripts of live code cells, of which there are none, and of widgets, which are HTML here."""

    def unused(file) -> bool:
        attributes = getattr(file, "attributes", {})
        return "THEBE_JS_URL" in str(attributes.get("body", "")) or "widget-state" in str(
            attributes.get("type", "")
        )

    if "script_files" in context:
        context["script_files"] = [file for file in context["script_files"] if not unused(file)]


def setup(app) -> dict:
    register_plugin("pybtex.style.formatting", "readable", Bibliography)
    app.connect("config-inited", use_address)
    app.connect("source-read", write_address)
    app.connect("html-page-context", open_exported_notebook, priority=999)
    app.connect("config-inited", use_vendored_scripts)
    app.connect("html-page-context", drop_unused_scripts, priority=999)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("missing-reference", resolve_short_name)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
