"""Methods compared: accuracy by shots, accuracy against detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import PALETTE, STYLE


def tradeoff(points: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, score: str = "GL-MCM") -> Figure:
    """Accuracy against AUROC, one mark a method with the deviation over seeds as bars.

    :param points: name -> (accuracies, AUROCs), one entry a seed, as fractions.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.8), layout="constrained")
        ax = figure.subplots()
        for i, (name, (accuracy, auroc)) in enumerate(points.items()):
            x, y = 100 * np.asarray(accuracy), 100 * np.asarray(auroc)
            spread = {"xerr": x.std(ddof=1), "yerr": y.std(ddof=1)} if len(x) > 1 else {}
            ax.errorbar(x.mean(), y.mean(), **spread, fmt="osD^vPX*"[i % 8], markersize=7, capsize=2,
                        color=PALETTE[i % len(PALETTE)], label=name)
        ax.set_xlabel("top-1 accuracy, %")
        ax.set_ylabel(f"AUROC of {score}, mean over OOD sets, %")
        ax.legend(fontsize=8)
    return figure


def curves(x: Sequence[float], lines: Mapping[str, np.ndarray], *, xlabel: str, ylabel: str) -> Figure:
    """One line a method: the mean over seeds, with the deviation as bars; x on a logarithmic axis.

    :param lines: name -> (seeds, len(x)), as fractions.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.8), layout="constrained")
        ax = figure.subplots()
        for i, (name, values) in enumerate(lines.items()):
            values = 100 * np.asarray(values)
            ax.errorbar(x, values.mean(0), values.std(0, ddof=1) if len(values) > 1 else None, marker="osD^vPX*"[i % 8], markersize=5,
                        capsize=2, color=PALETTE[i % len(PALETTE)], label=name)
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, [str(v) for v in x])
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.legend(fontsize=8)
    return figure
