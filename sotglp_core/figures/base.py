"""One style and one colour-blind-safe palette for the whole book."""

import base64
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    from IPython import get_ipython
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    rcParams.update(STYLE)
    if get_ipython() is not None:
        set_matplotlib_formats("png", dpi=130, bbox_inches=None)


@contextmanager
def canvas(
    size: tuple[float, float], rows: int = 1, columns: int = 1, **settings: Any
) -> Iterator[tuple[Figure, Any]]:
    """A figure of this size in inches and its axes, one or several, to draw on in the book's style.

    A name with two dollar signs is no mathematics.
    """
    with rc_context(STYLE | {"text.parse_math": False}):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.subplots(rows, columns, **settings)


def data_uri(image: Image.Image | Figure) -> str:
    """An image as JPEG, a figure as PNG, for a page without other files."""
    buffer = io.BytesIO()
    if isinstance(image, Figure):
        kind = "png"
        with warnings.catch_warnings(action="ignore"):  # of letters that the font does not have
            image.savefig(buffer, dpi=144)
    else:
        kind = "jpeg"
        image.save(buffer, kind, quality=88)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
