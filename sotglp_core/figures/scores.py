"""Scores of the familiar and the unfamiliar: how they are spread, what a threshold does, how they move with a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import PALETTE, STYLE

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKS = "osD^vPX*"


def score_histograms(
    inside: np.ndarray,
    outside: Mapping[str, np.ndarray],
    *,
    score: str = "GL-MCM",
    threshold: float | None = None,
) -> Figure:
    """Distribution of one OOD score on in-distribution images and on each OOD set, and perhaps the threshold between them."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.5, 3), layout="constrained")
        ax = figure.subplots()
        everything = np.concatenate([inside, *outside.values()])
        bins = np.linspace(everything.min(), everything.max() + 1e-12, 41).tolist()
        ax.hist(inside, bins, density=True, color="0.8", label="in-distribution")
        for i, (name, values) in enumerate(outside.items()):
            ax.hist(
                values,
                bins,
                density=True,
                histtype="step",
                linewidth=1.6,
                linestyle=DASHES[i % len(DASHES)],
                color=PALETTE[i % len(PALETTE)],
                label=name,
            )
        if threshold is not None:
            ax.axvline(threshold, color="black", linewidth=1.2)
            ax.annotate(
                "accepted →",
                (threshold, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -10),
                textcoords="offset points",
                fontsize=8,
            )
        ax.set_xlabel(score)
        ax.set_ylabel("density")
        ax.legend(fontsize=8)
    return figure


def roc_points(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of outside and of inside that reach each threshold, from the highest down: two arrays that start at 0 and end at 1."""
    thresholds = np.append(np.inf, np.unique(np.concatenate([inside, outside]))[::-1])
    accepted, recalled = (
        1 - np.searchsorted(np.sort(x), thresholds, "left") / len(x) for x in (outside, inside)
    )
    return accepted, recalled


def roc(inside: np.ndarray, outside: Mapping[str, np.ndarray], *, score: str = "GL-MCM") -> Figure:
    """One ROC curve for each OOD set, with the two points where the two conventions of FPR95 are read.

    The circle is the first threshold that accepts 95 % of inside: its abscissa is the FPR95 with in-distribution as the positive class.
    The square is the last that flags 95 % of outside: its distance from the top is the FPR95 with out-of-distribution as that class.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(6.2, 4.2), layout="constrained")
        ax = figure.subplots()
        ax.axhline(95, color="0.6", linewidth=0.8)
        ax.axvline(5, color="0.6", linewidth=0.8)
        for i, (name, values) in enumerate(outside.items()):
            false, true = roc_points(inside, values)
            colour = PALETTE[i % len(PALETTE)]
            ax.plot(
                100 * false, 100 * true, linestyle=DASHES[i % len(DASHES)], color=colour, label=name
            )
            for at, mark in (
                (int(np.argmax(true >= 0.95 - 1e-9)), "o"),
                (int(np.flatnonzero(false <= 0.05 + 1e-9)[-1]), "s"),
            ):
                ax.plot(
                    100 * false[at],
                    100 * true[at],
                    mark,
                    color=colour,
                    markerfacecolor="white",
                    clip_on=False,
                    zorder=3,
                )
        for mark, positive in (("o", "in-distribution"), ("s", "out-of-distribution")):
            ax.plot(
                [],
                [],
                mark,
                color="0.4",
                markerfacecolor="white",
                label=f"FPR95, {positive} positive",
            )
        ax.set_xlabel(f"out-of-distribution accepted by {score}, %")
        ax.set_ylabel("in-distribution accepted, %")
        ax.legend(fontsize=8, loc="lower right")
    return figure


def dots(
    shares: Mapping[str, Mapping[str, float]], *, xlabel: str, line: float | None = None
) -> Figure:
    """Shares between 0 and 1, one row a set and one mark a name.

    :param shares: name -> set -> share.
    :param line: a share to mark by a vertical line.
    """
    sets = list(next(iter(shares.values())))
    with rc_context(STYLE):
        figure = Figure(figsize=(6.5, 0.42 * len(sets) + 1.2), layout="constrained")
        ax = figure.subplots()
        if line is not None:
            ax.axvline(100 * line, color="0.6", linewidth=0.8)
        for i, (name, by_set) in enumerate(shares.items()):
            rows = np.arange(len(sets)) + 0.6 * ((i + 0.5) / len(shares) - 0.5)
            ax.plot(
                [100 * by_set[key] for key in sets],
                rows,
                MARKS[i % len(MARKS)],
                color=PALETTE[i % len(PALETTE)],
                label=name,
                clip_on=False,
            )
        ax.set_yticks(range(len(sets)), sets)
        ax.invert_yaxis()
        ax.set_xlim(0, 100)
        ax.set_xlabel(xlabel)
        ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def strengths(
    at: Sequence[float],
    panels: Mapping[str, Mapping[str, np.ndarray]],
    without: Mapping[str, Mapping[str, np.ndarray]],
) -> Figure:
    """What changes as one setting is turned: a panel a measure, a line a name; hollow marks on the left where there is no such setting.

    :param at: the setting's values.
    :param panels: measure -> name -> (seeds, len(at)), as fractions; drawn are means, with the deviation over seeds as bars.
    :param without: measure -> name -> (seeds,).
    """
    gap = at[0] - 0.3 * (at[-1] - at[0])
    with rc_context(STYLE):
        figure = Figure(figsize=(3.7 * len(panels), 3.3), layout="constrained")
        for ax, (measure, lines) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items()
        ):
            for i, (name, values) in enumerate(lines.items()):
                style = {
                    "color": PALETTE[i % len(PALETTE)],
                    "marker": MARKS[i % len(MARKS)],
                    "capsize": 2,
                    "markersize": 6,
                }
                aside = (i - (len(lines) - 1) / 2) * 0.06 * (at[-1] - at[0])
                for x, y, more in (
                    (np.asarray(at), values, {"linestyle": DASHES[i % len(DASHES)], "label": name}),
                    (
                        np.array([gap + aside]),
                        without[measure][name][:, None],
                        {"markerfacecolor": "white"},
                    ),
                ):
                    y = 100 * np.asarray(y)
                    ax.errorbar(
                        x, y.mean(0), y.std(0, ddof=1) if len(y) > 1 else None, **style, **more
                    )
            ax.set_xticks([gap, *at], ["without", *(f"{s:g}" for s in at)])
            ax.set_ylabel(measure)
            if len(lines) > 1:
                ax.legend(fontsize=8)
        figure.supxlabel("strength s", fontsize=10)
    return figure
