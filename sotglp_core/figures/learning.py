"""What training did, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import PALETTE, STYLE


def history(histories: Mapping[str, Sequence]) -> Figure:
    """Loss and training accuracy by epoch, one line a run; histories are what ``fit`` returns."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 2.7), layout="constrained")
        for ax, field, label in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("training loss", "training accuracy, %")):
            for i, (name, epochs) in enumerate(histories.items()):
                values = [getattr(e, field) * (100 if field == "accuracy" else 1) for e in epochs]
                ax.plot([e.epoch for e in epochs], values, color=PALETTE[i % len(PALETTE)], label=name)
            ax.set_xlabel("epoch")
            ax.set_ylabel(label)
        ax.legend(fontsize=8)
    return figure
