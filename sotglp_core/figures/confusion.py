"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import HEATMAP, STYLE


def confusion(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Confusion matrix: a row is a true class, its colours the shares of its images that are taken for each class, white where none is.

    The images are also written as numbers where up to 24 classes leave room.

    :param counts: (C, C) images, true class by predicted class.
    :param names: C class names; long ones are cut.
    """
    classes = len(counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    labels = [name if len(name) <= 36 else f"{name[:35]}…" for name in names]
    with rc_context(
        STYLE | {"axes.grid": False, "axes.spines.top": True, "axes.spines.right": True}
    ):
        side = max(1.6, 0.27 * classes)
        beside = 0.075 * max(map(len, labels))
        figure = Figure(figsize=(side + beside + 1.6, side + beside + 0.7), layout="constrained")
        ax = figure.subplots()
        shown = ax.imshow(
            np.where(counts, 100 * share, np.nan), cmap=f"{HEATMAP}_r", vmin=0, vmax=100
        )
        if classes <= 24:
            for row, column in np.argwhere(counts):
                ax.text(
                    column,
                    row,
                    counts[row, column],
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if share[row, column] > 0.5 else "black",
                )
        ax.set_xticks(range(classes), labels, rotation=90, fontsize=8, parse_math=False)
        ax.set_yticks(range(classes), labels, fontsize=8, parse_math=False)
        ax.set_xlabel("taken for")
        ax.set_ylabel("true class")
        figure.colorbar(
            shown, ax=ax, label="% of the true class", shrink=min(1.0, 3 / side), aspect=12
        )
    return figure
