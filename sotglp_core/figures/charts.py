"""Methods compared: by epoch, by setting, by set of images, accuracy against OOD detection."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from .base import canvas

MARKS = "osD^vPX*"


def history(histories: Mapping[str, Sequence]) -> Figure:
    """Loss and training accuracy by epoch, one line a run.

    :param histories: name -> the epochs that ``fit`` returns.
    """
    with canvas(1, 2, (7, 2.7)) as (figure, ((left, right),)):
        for mark, (name, epochs) in zip(cycle(MARKS), histories.items()):
            number, loss, accuracy, _ = zip(*epochs)
            left.plot(number, loss, marker=mark)
            right.plot(number, 100 * np.array(accuracy), marker=mark, label=name)
        left.set(xlabel="epoch", ylabel="training loss")
        right.set(xlabel="epoch", ylabel="training accuracy, %")
        right.legend()
        for ax in (left, right):
            ax.locator_params(axis="x", integer=True)
    return figure


def curves(
    x: Sequence[float], lines: Mapping[str, np.ndarray], *, xlabel: str, ylabel: str
) -> Figure:
    """One line a method: mean and standard deviation over seeds; x on a logarithmic axis.

    :param lines: name -> (seeds, len(x)), as fractions.
    """
    with canvas(1, 1, (5.6, 3.8)) as (figure, ((ax,),)):
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
        for mark, (name, measured) in zip(cycle(MARKS), points.items()):
            (x, across), (y, along) = map(_over_seeds, measured)
            bars = {"xerr": across, "yerr": along, "capsize": 2}
            ax.errorbar(x, y, **bars, fmt=mark, markersize=7, label=name)
        ylabel = f"AUROC of {score}, mean over OOD sets, %"
        ax.set(xlabel="top-1 accuracy, %", ylabel=ylabel)
        ax.legend()
    return figure


def _over_seeds(fractions: Sequence | np.ndarray) -> tuple[Any, Any]:
    """Mean and standard deviation over the first axis, in per cent; None for one seed's."""
    values = 100 * np.asarray(fractions)
    return values.mean(0), values.std(0, ddof=1) if len(values) > 1 else None
