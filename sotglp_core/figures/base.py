"""One style and one colour-blind-safe palette for the whole book."""

from __future__ import annotations

from typing import Any

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
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.dpi": 110,
}


def rgb(colour: str) -> tuple[float, ...]:
    """(r, g, b) from 0 to 1 of a colour written #rrggbb."""
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def style() -> None:
    """Let notebooks show figures as crisp PNGs; elsewhere this does nothing."""
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("png", dpi=130, bbox_inches=None)


def wrapped(text: str, width: int = 22) -> str:
    """The text in lines of at most ``width`` characters, where its words allow it."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
