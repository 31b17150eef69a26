"""A page from a template: every value in it is shown as text, unless the template made it."""

import base64
import hashlib
import json
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ... import figures
from ...figures.base import data_uri
from ...messages import printable


def render(template: str, **values: Any) -> str:
    """The template of this folder, filled in; control characters in values are made visible."""
    environment = Environment(
        loader=PackageLoader("sotglp_core.workbench", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    environment.filters |= {
        "data_uri": data_uri,
        "digest": digest,
        "json": partial(json.dumps, default=str),
        "printable": printable,
    }
    return environment.get_template(template).render(figures=figures, **values)


def digest(content: str) -> str:
    """What a Content-Security-Policy knows a style or a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
