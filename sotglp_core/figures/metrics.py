"""A model's answers: confusion, calibration, and OOD detection."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import ConfusionMatrixDisplay, roc_curve

from .base import HEATMAP, PALETTE, canvas


def confusion(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Confusion matrix in per cent of the true class, written out for up to 24 classes.

    :param counts: (C, C) images, true class by predicted class.
    :param names: C class names; long ones are cut.
    """
    labels = [name if len(name) <= 36 else f"{name[:35]}…" for name in names]
    side = max(1.6, 0.27 * len(counts)) + 0.075 * max(map(len, labels))
    with canvas(1, 1, (side + 1.6, side + 0.7)) as (figure, ((ax,),)):
        percent = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        ConfusionMatrixDisplay(percent, display_labels=labels).plot(
            ax=ax,
            cmap=f"{HEATMAP}_r",
            include_values=len(counts) <= 24,
            values_format=".0f",
            xticks_rotation="vertical",
            im_kw={"vmin": 0, "vmax": 100},
            text_kw={"fontsize": 8},
        )
        ax.grid(False)
        ax.set(xlabel="predicted class", ylabel="true class", title="% of the true class")
    return figure


def reliability(confidence: np.ndarray, correct: np.ndarray, *, bins: int = 15) -> Figure:
    """Accuracy against the predicted class's probability in equal bins, and the images in each.

    The vertical gaps to the diagonal, weighted by those images, are the expected calibration error.

    :param confidence: (n,) probability of the predicted class.
    :param correct: (n,) bool.

    Source: Guo et al., ICML 2017 (arXiv 1706.04599).
    """
    number, edges = np.histogram(confidence, bins, (0, 1))
    right, stated = (100 * x for x in calibration_curve(correct, confidence, n_bins=bins))
    with canvas(2, 1, (4.6, 4.6), sharex=True, height_ratios=(3, 1)) as (figure, axes):
        ((top,), (bottom,)) = axes
        top.plot([0, 100], [0, 100], "--", color="0.4", linewidth=1, label="as often as stated")
        top.vlines(stated, stated, right, color=PALETTE[1], linewidth=2, label="gap")
        top.plot(stated, right, "o-", markersize=5, label="this model")
        top.set(ylabel="accuracy, %", ylim=(0, 103))
        top.legend()
        bottom.stairs(number, 100 * edges, fill=True, color="0.6")
        bottom.set(xlabel="probability of the predicted class, %", ylabel="images", xlim=(0, 100))
    return figure


def roc(inside: np.ndarray, outside: Mapping[str, np.ndarray], *, score: str = "GL-MCM") -> Figure:
    """One ROC curve for each OOD set, with the two points where the conventions of FPR95 are read.

    The circle is the first threshold that accepts 95 % of inside: its abscissa is the FPR95 with
    in-distribution as the positive class. The square is the last that flags 95 % of outside: its
    distance from the top is the FPR95 with out-of-distribution as that class.
    """
    hollow = {"linestyle": "none", "markerfacecolor": "white", "clip_on": False, "zorder": 3}
    with canvas(1, 1, (6.2, 4.2)) as (figure, ((ax,),)):
        ax.axhline(95, color="0.6", linewidth=0.8)
        ax.axvline(5, color="0.6", linewidth=0.8)
        for name, values in outside.items():
            known = np.repeat([1, 0], [len(inside), len(values)])
            rank = np.unique(np.concatenate([inside, values]), return_inverse=True)[1]
            accepted, recalled, _ = roc_curve(known, rank, drop_intermediate=False)
            (line,) = ax.plot(100 * accepted, 100 * recalled, label=name)
            circle = np.argmax(recalled >= 0.95 - 1e-9)
            square = np.flatnonzero(accepted <= 0.05 + 1e-9)[-1]
            for at, mark in ((circle, "o"), (square, "s")):
                point = 100 * accepted[at], 100 * recalled[at]
                ax.plot(*point, marker=mark, color=line.get_color(), **hollow)
        for mark, positive in (("o", "in-distribution"), ("s", "out-of-distribution")):
            label = f"FPR95, {positive} positive"
            ax.plot([], [], marker=mark, color="0.4", label=label, **hollow)
        ax.set_xlabel(f"out-of-distribution accepted by {score}, %")
        ax.set_ylabel("in-distribution accepted, %")
        ax.legend(loc="lower right")
    return figure
