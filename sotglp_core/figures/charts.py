"""Methods compared: by epoch, by setting, by set of images, accuracy against OOD detection."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .base import canvas

MARKS = "osD^vPX*"


def history(histories: Mapping[str, Sequence]) -> Figure:
    """Loss and training accuracy by epoch, one line a run.

    :param histories: name -> the epochs that ``fit`` returns.
    """
    rows = [
        (name, epoch.epoch, epoch.loss, 100 * epoch.accuracy)
        for name, epochs in histories.items()
        for epoch in epochs
    ]
    with canvas(1, 2, (7, 2.7)) as (figure, ((left, right),)):
        columns = ("run", "epoch", "training loss", "training accuracy, %")
        for ax, y in zip((left, right), columns[2:]):
            _lines(ax, rows, columns, y=y, legend=ax is right)
            ax.locator_params(axis="x", integer=True)
        sns.move_legend(right, "best", title=None)
    return figure


def curves(
    x: Sequence[float], lines: Mapping[str, np.ndarray], *, xlabel: str, ylabel: str
) -> Figure:
    """One line a method: mean and standard deviation over seeds; x on a logarithmic axis.

    :param lines: name -> (seeds, len(x)), as fractions.
    """
    rows = [
        (name, at, 100 * value)
        for name, seeds in lines.items()
        for values in seeds
        for at, value in zip(x, values)
    ]
    with canvas(1, 1, (5.6, 3.8)) as (figure, ((ax,),)):
        columns = ("method", xlabel, ylabel)
        _lines(ax, rows, columns, y=ylabel, errorbar="sd", err_style="bars")
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, [str(value) for value in x])
        sns.move_legend(ax, "best", title=None)
    return figure


def _lines(
    ax: Axes, rows: Sequence[Sequence], columns: Sequence[str], *, y: str, **settings: Any
) -> None:
    """One line for each value of the first column, over the second."""
    name, x, *_ = columns
    styles: dict = {"hue": name, "style": name, "markers": True, "dashes": False}
    sns.lineplot(dict(zip(columns, zip(*rows))), x=x, y=y, ax=ax, **styles, **settings)


def dots(
    fractions: Mapping[str, Mapping[str, float]], *, xlabel: str, line: float | None = None
) -> Figure:
    """Fractions in per cent, one row a set and one mark a method.

    :param fractions: method -> set -> fraction.
    :param line: a fraction to mark by a vertical line.
    """
    rows = [
        (name, key, 100 * fraction)
        for name, by_set in fractions.items()
        for key, fraction in by_set.items()
    ]
    methods, sets, values = zip(*rows)
    with canvas(1, 1, (6.5, 0.42 * len(set(sets)) + 1.2)) as (figure, ((ax,),)):
        if line is not None:
            ax.axvline(100 * line, color="0.6", linewidth=0.8)
        sns.pointplot(
            x=values,
            y=sets,
            hue=methods,
            markers=list(MARKS[: len(fractions)]),
            markersize=6,
            linestyle="none",
            dodge=0.4 if len(fractions) > 1 else False,
            errorbar=None,
            clip_on=False,
            ax=ax,
        )
        ax.set(xlim=(0, 100), xlabel=xlabel, ylabel="")
        sns.move_legend(ax, "center left", bbox_to_anchor=(1.01, 0.5), title=None)
    return figure


def tradeoff(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, score: str = "GL-MCM"
) -> Figure:
    """Accuracy against AUROC, one mark a method with its standard deviation over seeds as bars.

    :param points: name -> (accuracies, AUROCs), one entry a seed, as fractions.
    """
    with canvas(1, 1, (5.2, 3.8)) as (figure, ((ax,),)):
        for i, (name, measured) in enumerate(points.items()):
            x, y = 100 * np.asarray(measured)
            spread = {"xerr": x.std(ddof=1), "yerr": y.std(ddof=1)} if len(x) > 1 else {}
            mark = MARKS[i % len(MARKS)]
            ax.errorbar(x.mean(), y.mean(), **spread, fmt=mark, markersize=7, capsize=2, label=name)
        ylabel = f"AUROC of {score}, mean over OOD sets, %"
        ax.set(xlabel="top-1 accuracy, %", ylabel=ylabel)
        ax.legend()
    return figure
