"""A page from a template: every value in it is shown as text, unless the template made it."""

import base64
import hashlib
import io
import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from ... import figures
from ...messages import printable

DPI = 144


def render(template: str, **values: Any) -> str:
    """The template of this folder, filled in; control characters in values are made visible."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    environment.filters |= {
        "digest": digest,
        "jpeg": jpeg,
        "json": partial(json.dumps, default=str),
        "png": png,
        "printable": printable,
    }
    return environment.get_template(template).render(figures=figures, **values)


def digest(content: str) -> str:
    """What a Content-Security-Policy knows a style or a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def jpeg(image: Image.Image, side: int) -> str:
    """A square image of ``side`` pixels as a data URI."""
    buffer = io.BytesIO()
    image.resize((side, side), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def png(figure: Figure) -> str:
    """A figure as a data URI."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # of letters that the font does not have
        figure.savefig(buffer, format="png", dpi=DPI)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
