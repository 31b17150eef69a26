"""Arrays in, matplotlib figures out, in one style and one colour-blind-safe palette."""

from .base import DIVERGING, HEATMAP, PALETTE, STYLE, style
from .charts import curves, dots, history, tradeoff
from .metrics import confusion, reliability, roc
from .patches import (
    beyond_even,
    contact_sheet,
    outline,
    overlay,
    partition,
    partitions,
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
    "partitions",
    "reliability",
    "roc",
    "shares",
    "show",
    "style",
    "tradeoff",
]
