"""Arrays in, matplotlib figures out, in one style and one colour-blind-safe palette."""

from .base import DIVERGING, HEATMAP, PALETTE, STYLE, style
from .charts import confusion, curves, dots, history, reliability, roc, tradeoff
from .patches import (
    beyond_even,
    contact_sheet,
    outline,
    overlay,
    partition,
    shares,
    show,
)

__all__ = [
    "DIVERGING",
    "HEATMAP",
    "PALETTE",
    "STYLE",
    "beyond_even",
    "confusion",
    "contact_sheet",
    "curves",
    "dots",
    "history",
    "outline",
    "overlay",
    "partition",
    "reliability",
    "roc",
    "shares",
    "show",
    "style",
    "tradeoff",
]
