"""Arrays in, matplotlib Figure out: one style and one colour-blind-safe palette for the whole book."""

from .base import HEATMAP, PALETTE, STYLE, style
from .learning import history
from .pictures import contact_sheet, part_colours, partition, shares
from .results import curves, tradeoff
from .scores import score_histograms

__all__ = ["HEATMAP", "PALETTE", "STYLE", "contact_sheet", "curves", "history", "part_colours", "partition", "score_histograms",
           "shares", "style", "tradeoff"]
