"""Does a probability of 90 % mean right nine times of ten?"""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import PALETTE, STYLE


def reliability(confidence: np.ndarray, correct: np.ndarray, *, bins: int = 15) -> Figure:
    """Reliability diagram: accuracy against the predicted class's probability in equal-width bins, above the number of images in each.

    The vertical lines between the marks and the diagonal, weighted by those numbers, are the expected calibration error.

    :param confidence: (n,) probability of the predicted class.
    :param correct: (n,) bool.

    Source: Guo et al., ICML 2017 (arXiv 1706.04599).
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, float)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    number = np.bincount(bin_of, minlength=bins)
    filled = number > 0
    stated, right = (
        100 * np.bincount(bin_of, values, bins)[filled] / number[filled]
        for values in (confidence, correct)
    )
    with rc_context(STYLE):
        figure = Figure(figsize=(4.6, 4.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top.plot(
            [0, 100],
            [0, 100],
            color="0.4",
            linestyle="--",
            linewidth=1,
            label="as often right as stated",
        )
        top.vlines(
            stated,
            np.minimum(stated, right),
            np.maximum(stated, right),
            color=PALETTE[1],
            linewidth=2,
            label="gap",
        )
        top.plot(
            stated, right, "o-", color=PALETTE[0], linewidth=1, markersize=5, label="this model"
        )
        top.set_ylabel("accuracy, %")
        top.set_ylim(0, 103)
        top.legend(fontsize=8)
        bottom.bar((np.arange(bins) + 0.5) * 100 / bins, number, width=90 / bins, color="0.6")
        bottom.set_xlabel("probability of the predicted class, %")
        bottom.set_ylabel("images")
        bottom.set_xlim(0, 100)
    return figure
