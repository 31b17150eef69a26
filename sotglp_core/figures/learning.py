"""What training did: by epoch, and to the prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import PALETTE, STYLE

MARKS = "osD^vPX*"


def history(histories: Mapping[str, Sequence]) -> Figure:
    """Loss and training accuracy by epoch, one line a run; histories are what ``fit`` returns."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 2.7), layout="constrained")
        for ax, field, label in zip(
            figure.subplots(1, 2), ("loss", "accuracy"), ("training loss", "training accuracy, %")
        ):
            for i, (name, epochs) in enumerate(histories.items()):
                values = [getattr(e, field) * (100 if field == "accuracy" else 1) for e in epochs]
                ax.plot(
                    [e.epoch for e in epochs],
                    values,
                    marker=MARKS[i % 8],
                    markersize=4,
                    color=PALETTE[i % len(PALETTE)],
                    label=name,
                )
            ax.set_xlabel("epoch")
            ax.set_ylabel(label)
        ax.legend(fontsize=8)
    return figure


def by_epoch(lines: Mapping[str, Sequence[float]], *, ylabel: str) -> Figure:
    """Accuracies after 0, 1, 2, ... epochs, one line a name, as fractions."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        ax = figure.subplots()
        for i, (name, values) in enumerate(lines.items()):
            ax.plot(
                range(len(values)),
                100 * np.asarray(values),
                marker=MARKS[i % 8],
                markersize=4,
                color=PALETTE[i % len(PALETTE)],
                label=name,
            )
        ax.set_xlabel("epochs of training")
        ax.set_ylabel(ylabel)
        ax.legend(fontsize=8)
    return figure


def moves(before: np.ndarray, after: np.ndarray, groups: Sequence[str]) -> Figure:
    """Points of the plane before and after, each with the line that it moved along; one colour and mark a group.

    :param before: (n, 2), drawn hollow.
    :param after: (n, 2), drawn filled.
    :param groups: n names.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        ax = figure.subplots()
        for i, name in enumerate(dict.fromkeys(groups)):
            mine, colour, mark = np.asarray(groups) == name, PALETTE[i % len(PALETTE)], MARKS[i % 8]
            ax.plot(
                *np.stack([before[mine], after[mine]], 1).transpose(2, 1, 0),
                color=colour,
                linewidth=0.7,
                alpha=0.6,
            )
            ax.plot(*before[mine].T, mark, color=colour, markerfacecolor="white", markersize=6)
            ax.plot(*after[mine].T, mark, color=colour, markersize=4, label=name)
        ax.set_xlabel("first principal direction")
        ax.set_ylabel("second")
        ax.legend(fontsize=8)
    return figure
