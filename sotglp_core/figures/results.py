"""Methods compared: accuracy by shots, accuracy against detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import PALETTE, STYLE, wrapped


def tradeoff(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, score: str = "GL-MCM"
) -> Figure:
    """Accuracy against AUROC, one mark a method with the deviation over seeds as bars.

    :param points: name -> (accuracies, AUROCs), one entry a seed, as fractions.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.8), layout="constrained")
        ax = figure.subplots()
        for i, (name, (accuracy, auroc)) in enumerate(points.items()):
            x, y = 100 * np.asarray(accuracy), 100 * np.asarray(auroc)
            spread = {"xerr": x.std(ddof=1), "yerr": y.std(ddof=1)} if len(x) > 1 else {}
            ax.errorbar(
                x.mean(),
                y.mean(),
                **spread,
                fmt="osD^vPX*"[i % 8],
                markersize=7,
                capsize=2,
                color=PALETTE[i % len(PALETTE)],
                label=name,
            )
        ax.set_xlabel("top-1 accuracy, %")
        ax.set_ylabel(f"AUROC of {score}, mean over OOD sets, %")
        ax.legend(fontsize=8)
    return figure


def curves(
    x: Sequence[float], lines: Mapping[str, np.ndarray], *, xlabel: str, ylabel: str
) -> Figure:
    """One line a method: the mean over seeds, with the deviation as bars; x on a logarithmic axis.

    :param lines: name -> (seeds, len(x)), as fractions.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.8), layout="constrained")
        ax = figure.subplots()
        for i, (name, values) in enumerate(lines.items()):
            values = 100 * np.asarray(values)
            ax.errorbar(
                x,
                values.mean(0),
                values.std(0, ddof=1) if len(values) > 1 else None,
                marker="osD^vPX*"[i % 8],
                markersize=5,
                capsize=2,
                color=PALETTE[i % len(PALETTE)],
                label=name,
            )
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, [str(v) for v in x])
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.legend(fontsize=8)
    return figure


def measures(
    found: Mapping[str, Mapping[str, float]],
    chance: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Small multiples, one panel a measure and one row a method: a dot where it came out, hollow where chance would have put it.

    :param found: method -> measure -> value, from 0 up; every method has the same measures.
    :param chance: method -> measure -> value, for those that have one.
    """
    names, chance = list(next(iter(found.values()))), chance or {}
    with rc_context(STYLE):
        figure = Figure(
            figsize=(1.15 * len(names) + 1.5, 0.3 * len(found) + 0.8), layout="constrained"
        )
        axes = figure.subplots(
            1, len(names), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.15}
        )[0]
        for ax, name in zip(axes, names):
            for row, (method, values) in enumerate(found.items()):
                if name in chance.get(method, {}):
                    ax.plot(
                        chance[method][name],
                        row,
                        "o",
                        color="black",
                        markerfacecolor="white",
                        markersize=6,
                        clip_on=False,
                    )
                ax.plot(values[name], row, "o", color=PALETTE[0], markersize=6, clip_on=False)
            top = max(1, int(np.ceil(max(values[name] for values in found.values()) - 1e-3)))
            ax.set(xlim=(0, top), ylim=(len(found) - 0.5, -0.5), yticks=range(len(found)))
            ax.set_xticks([0, top / 2, top], ["0", f"{top / 2:g}", f"{top}"])
            ax.set_yticklabels(found)
            ax.set_title(wrapped(name, 14))
            ax.tick_params(labelsize=9)
    return figure


def panels(
    x: Sequence[float],
    lines: Mapping[str, np.ndarray],
    *,
    baseline: str,
    xlabel: str,
    ylabel: str,
    columns: int = 4,
) -> Figure:
    """One panel a method: mean and deviation over seeds, a small dot for each seed, and the baseline dashed; x is logarithmic.

    :param lines: name -> (seeds, len(x)), as fractions.
    :param baseline: the name whose mean is drawn in every panel and that has none of its own.
    """
    names = [name for name in lines if name != baseline]
    rows, flat = -(-len(names) // columns), 100 * np.mean(lines[baseline], 0)
    with rc_context(STYLE):
        figure = Figure(figsize=(2 * columns + 0.4, 1.9 * rows + 0.4), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for ax, name in zip(axes.flat, names):
            values = 100 * np.asarray(lines[name])
            ax.plot(x, flat, "--", color="0.4", linewidth=1)
            ax.plot(1.12 * np.asarray(x), values.T, ".", color="0.35", markersize=4)
            ax.errorbar(
                x,
                values.mean(0),
                values.std(0, ddof=1) if len(values) > 1 else None,
                marker="o",
                markersize=4,
                capsize=2,
                color=PALETTE[0],
            )
            ax.set_xscale("log", base=2)
            ax.set_xticks(x, [str(v) for v in x])
            ax.set_title(name)
            ax.tick_params(labelbottom=True)
        for ax in axes.flat[len(names) :]:
            ax.set_axis_off()
        figure.supxlabel(xlabel, fontsize=10)
        figure.supylabel(ylabel, fontsize=10)
    return figure
