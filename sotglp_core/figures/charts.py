"""Methods compared, and one model's answers: confusion, calibration, and OOD detection."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import ConfusionMatrixDisplay, roc_curve

from .base import HEATMAP, PALETTE, canvas

MARKS = "osD^vPX*"
BINS = 15  # of the confidence, equally wide


def history(histories: Mapping[str, Sequence]) -> Figure:
    """Loss and training accuracy by epoch, one line a run.

    :param histories: name -> the epochs that ``fit`` returns.
    """
    with canvas((7, 2.7), 1, 2) as (figure, (left, right)):
        for mark, (name, epochs) in zip(cycle(MARKS), histories.items()):
            number, loss, accuracy, _ = zip(*epochs)
            left.plot(number, loss, marker=mark)
            right.plot(number, 100 * np.array(accuracy), marker=mark, label=name)
        for ax, ylabel in ((left, "training loss"), (right, "training accuracy, %")):
            ax.set(xlabel="epoch", ylabel=ylabel)
            ax.locator_params(axis="x", integer=True)
        right.legend()
    return figure


def curves(
    x: Sequence[float], lines: Mapping[str, np.ndarray], *, xlabel: str, ylabel: str
) -> Figure:
    """One line a method: mean and standard deviation over seeds; x on a logarithmic axis.

    :param lines: name -> (seeds, len(x)), as fractions.
    """
    with canvas((5.6, 3.8)) as (figure, ax):
        for mark, (name, seeds) in zip(cycle(MARKS), lines.items()):
            mean, deviation = _over_seeds(seeds)
            ax.errorbar(x, mean, yerr=deviation, marker=mark, label=name)
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, [str(value) for value in x])
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.legend()
    return figure


def dots(
    fractions: Mapping[str, Mapping[str, float]], *, xlabel: str, line: float | None = None
) -> Figure:
    """Fractions in per cent, one row a set and one mark a method.

    :param fractions: method -> set -> fraction, of the same sets for every method.
    :param line: a fraction to mark by a vertical line.
    """
    sets = list(next(iter(fractions.values())))
    with canvas((6.5, 0.42 * len(sets) + 1.2)) as (figure, ax):
        if line is not None:
            ax.axvline(100 * line, color="0.6", linewidth=0.8)
        for i, (name, by_set) in enumerate(fractions.items()):
            x = [100 * by_set[key] for key in sets]
            y = np.arange(len(sets)) + 0.4 * (i + 0.5) / len(fractions) - 0.2
            ax.plot(x, y, MARKS[i % len(MARKS)], clip_on=False, label=name)
        ax.set_yticks(range(len(sets)), sets)
        ax.set(xlim=(0, 100), ylim=(len(sets) - 0.5, -0.5), xlabel=xlabel)
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def tradeoff(points: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Accuracy against AUROC of GL-MCM, one mark a method, standard deviations as bars.

    :param points: name -> (accuracies, AUROCs), one entry a seed, as fractions.
    """
    with canvas((5.2, 3.8)) as (figure, ax):
        for mark, (name, measured) in zip(cycle(MARKS), points.items()):
            (x, across), (y, along) = map(_over_seeds, measured)
            ax.errorbar(
                x, y, xerr=across, yerr=along, fmt=mark, markersize=7, capsize=2, label=name
            )
        ylabel = "AUROC of GL-MCM, mean over OOD sets, %"
        ax.set(xlabel="top-1 accuracy, %", ylabel=ylabel)
        ax.legend()
    return figure


def confusion(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Confusion matrix in per cent of the true class, written out for up to 24 classes.

    :param counts: (C, C) images, true class by predicted class.
    :param names: C class names; long ones are cut.
    """
    labels = [name if len(name) <= 36 else f"{name[:35]}…" for name in names]
    side = max(1.6, 0.27 * len(counts)) + 0.075 * max(map(len, labels))
    with canvas((side + 1.6, side + 0.7)) as (figure, ax):
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


def reliability(confidence: np.ndarray, correct: np.ndarray) -> Figure:
    """Accuracy against the predicted class's probability in equal bins, and the images in each.

    The vertical gaps to the diagonal, weighted by those images, are the expected calibration error.

    :param confidence: (n,) probability of the predicted class.
    :param correct: (n,) bool.

    Source: Guo et al., ICML 2017 (arXiv 1706.04599).
    """
    number, edges = np.histogram(confidence, BINS, (0, 1))
    right, stated = (100 * x for x in calibration_curve(correct, confidence, n_bins=BINS))
    panels = canvas((4.6, 4.6), 2, sharex=True, height_ratios=(3, 1))
    with panels as (figure, (top, bottom)):
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
    hollow = {"markerfacecolor": "white", "clip_on": False, "zorder": 3}
    with canvas((6.2, 4.2)) as (figure, ax):
        ax.axhline(95, color="0.6", linewidth=0.8)
        ax.axvline(5, color="0.6", linewidth=0.8)
        for name, values in outside.items():
            known = np.repeat([1, 0], [len(inside), len(values)])
            rank = np.unique(np.concatenate([inside, values]), return_inverse=True)[1]
            accepted, recalled, _ = roc_curve(known, rank, drop_intermediate=False)
            (line,) = ax.plot(100 * accepted, 100 * recalled, label=name)
            circle = np.argmax(recalled >= 0.95 - 1e-9)
            square = np.flatnonzero(accepted <= 0.05 + 1e-9)[-1]
            for mark, at in (("o", circle), ("s", square)):
                point = 100 * accepted[at], 100 * recalled[at]
                ax.plot(*point, mark, color=line.get_color(), **hollow)
        for mark, positive in (("o", "in-distribution"), ("s", "out-of-distribution")):
            label = f"FPR95, {positive} positive"
            ax.plot([], [], mark, color="0.4", label=label, **hollow)
        xlabel = f"out-of-distribution accepted by {score}, %"
        ax.set(xlabel=xlabel, ylabel="in-distribution accepted, %")
        ax.legend(loc="lower right")
    return figure


def _over_seeds(fractions: Sequence | np.ndarray) -> tuple[Any, Any]:
    """Mean and standard deviation over the first axis, in per cent; None for one seed's."""
    values = 100 * np.asarray(fractions)
    return values.mean(0), values.std(0, ddof=1) if len(values) > 1 else None
