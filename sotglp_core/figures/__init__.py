"""Arrays in, matplotlib Figure out: one style and one colour-blind-safe palette for the whole book."""

from .base import HEATMAP, PALETTE, STYLE, style
from .calibration import reliability
from .confusion import confusion
from .learning import by_epoch, history, moves
from .overlay import overlay
from .partitions import partitions
from .pictures import (
    contact_sheet,
    matrices,
    part_colours,
    partition,
    shares,
    similarity_maps,
    spotlights,
)
from .quoted import quoted
from .results import curves, measures, panels, tradeoff
from .scores import dots, roc, score_histograms, strengths
from .transport import links, loglog, plans, regularisation

__all__ = [
    "HEATMAP",
    "PALETTE",
    "STYLE",
    "by_epoch",
    "confusion",
    "contact_sheet",
    "curves",
    "dots",
    "history",
    "links",
    "loglog",
    "matrices",
    "measures",
    "moves",
    "panels",
    "part_colours",
    "partition",
    "overlay",
    "partitions",
    "plans",
    "quoted",
    "regularisation",
    "reliability",
    "roc",
    "score_histograms",
    "shares",
    "similarity_maps",
    "spotlights",
    "strengths",
    "style",
    "tradeoff",
]
