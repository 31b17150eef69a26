"""One style and one colour-blind-safe palette for the whole book."""

import base64
import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from cycler import cycler
from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure
from PIL import Image

PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#F0E442",
    "#000000",
)  # Okabe and Ito
HEATMAP = "magma"
DIVERGING = "RdBu_r"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=PALETTE),
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.dpi": 110,
}


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
