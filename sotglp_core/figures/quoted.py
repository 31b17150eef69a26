"""Other people's numbers, marked as theirs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import PALETTE, STYLE


def quoted(
    panels: Mapping[str, Sequence[tuple[str, float | None, float | None]]],
    sources: Sequence[str],
    *,
    ylabel: str,
) -> Figure:
    """Published figures in per cent, under a title that says so and above their sources.

    :param panels: label of the horizontal axis -> (name, x, y); where only one of the two is known, a dashed line takes its place.
    :param sources: where the figures come from.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(panels), 4.2), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, (xlabel, rows) in zip(axes, panels.items()):
            points = [(name, x, y) for name, x, y in rows if x is not None and y is not None]
            ax.plot(*zip(*(row[1:] for row in points)), "o", color=PALETTE[0])
            crossed = any(y is None for _, _, y in rows)
            for name, x, y in points:
                left = x > min(p[1] for p in points) and (
                    crossed or _has_a_neighbour_on_the_right(x, y, points)
                )
                ax.annotate(
                    name,
                    (x, y),
                    xytext=(-6 if left else 6, -3),
                    textcoords="offset points",
                    fontsize=8,
                    ha="right" if left else "left",
                )
            ax.margins(0.2, 0.12)
            for name, across, up in (row for row in rows if None in row):
                draw, at, turn = (
                    (ax.axhline, (0.02, up), 0)
                    if across is None
                    else (ax.axvline, (across, 0.02), 90)
                )
                draw(up if across is None else across, color=PALETTE[1], linestyle="--")
                ax.annotate(
                    name,
                    at,
                    xycoords=ax.get_yaxis_transform()
                    if across is None
                    else ax.get_xaxis_transform(),
                    rotation=turn,
                    xytext=(0, 3) if across is None else (-3, 0),
                    textcoords="offset points",
                    fontsize=8,
                    color=PALETTE[1],
                    ha="left" if across is None else "right",
                    va="bottom",
                )
            ax.set_xlabel(xlabel)
        axes[0].set_ylabel(ylabel)
        figure.suptitle(
            "Quoted from publications, not measured here", fontsize=10, fontweight="bold"
        )
        figure.supxlabel(
            textwrap.fill("Sources: " + "; ".join(dict.fromkeys(sources)) + ".", 50 * len(panels)),
            fontsize=8,
        )
    return figure


def _has_a_neighbour_on_the_right(
    x: float, y: float, points: Sequence[tuple[str, float, float]]
) -> bool:
    """Whether the nearest other point lies to the right."""
    wide, high = (
        max(along) - min(along) or 1
        for along in ([px for _, px, _ in points], [py for _, _, py in points])
    )
    others = [
        (abs(px - x) / wide + abs(py - y) / high, px) for _, px, py in points if (px, py) != (x, y)
    ]
    return bool(others) and min(others)[1] > x
