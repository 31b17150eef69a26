"""Scores of the familiar and the unfamiliar."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import PALETTE, STYLE


def score_histograms(inside: np.ndarray, outside: Mapping[str, np.ndarray], *, score: str = "GL-MCM") -> Figure:
    """Distribution of one OOD score on in-distribution images and on each OOD set."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.5, 3), layout="constrained")
        ax = figure.subplots()
        everything = np.concatenate([inside, *outside.values()])
        bins = np.linspace(everything.min(), everything.max() + 1e-12, 41)
        ax.hist(inside, bins, density=True, color="0.8", label="in-distribution")
        for i, (name, values) in enumerate(outside.items()):
            ax.hist(values, bins, density=True, histtype="step", linewidth=1.6, color=PALETTE[i % len(PALETTE)], label=name)
        ax.set_xlabel(score)
        ax.set_ylabel("density")
        ax.legend(fontsize=8)
    return figure
