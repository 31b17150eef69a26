"""One style and one colour-blind-safe palette for the whole book."""

import base64
import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context, rc_params_from_file, rcParams
from matplotlib.figure import Figure
from PIL import Image

STYLE: dict[Any, Any] = dict(
    rc_params_from_file(Path(__file__).with_name("book.mplstyle"), use_default_template=False)
)
PALETTE = tuple(STYLE["axes.prop_cycle"].by_key()["color"])
HEATMAP, DIVERGING = "magma", "RdBu_r"


def style() -> None:
    """Draw in the book's style from now on; notebooks then show figures as crisp PNGs."""
    rcParams.update(STYLE)
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("png", dpi=130, bbox_inches=None)


@contextmanager
def canvas(
    rows: int, columns: int, size: tuple[float, float], **settings: Any
) -> Iterator[tuple[Figure, np.ndarray]]:
    """A figure of this size in inches and its axes (rows, columns), to draw on in the book's style.

    A name with two dollar signs is no mathematics.
    """
    with rc_context(STYLE | {"text.parse_math": False}):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False, **settings)


def data_uri(image: Image.Image | Figure) -> str:
    """An image as JPEG, a figure as PNG, for a page without other files."""
    buffer = io.BytesIO()
    if isinstance(image, Figure):
        with warnings.catch_warnings(action="ignore"):  # of letters that the font does not have
            image.savefig(buffer, format="png", dpi=144)
    else:
        image.save(buffer, format="jpeg", quality=88)
    kind = "png" if isinstance(image, Figure) else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def wrapped(text: str, width: int = 22) -> str:
    """The text in lines of at most ``width`` characters, where its words allow it."""
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
