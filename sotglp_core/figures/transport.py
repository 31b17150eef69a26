"""Transport problems and how they are solved: links, plans, cost against entropy, lines on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import HEATMAP, PALETTE, STYLE, wrapped


def links(sources: np.ndarray, targets: np.ndarray, plans: Mapping[str, np.ndarray]) -> Figure:
    """Points of the plane and the mass that goes between them, one panel a plan; a line is as wide as its mass.

    :param sources: (K, 2), drawn as discs as large as the mass they give.
    :param targets: (N, 2), drawn as squares as large as the mass they get.
    :param plans: title -> (K, N).
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(3.1 * len(plans), 3.1), layout="constrained")
        for ax, (title, plan) in zip(
            figure.subplots(1, len(plans), squeeze=False)[0], plans.items()
        ):
            for k, n in np.argwhere(plan > 1e-3 * plan.max()):
                ax.plot(
                    *zip(sources[k], targets[n]),
                    color="0.45",
                    linewidth=5 * plan[k, n] / plan.max(),
                    solid_capstyle="round",
                    zorder=1,
                )
            ax.scatter(*sources.T, s=900 * plan.sum(1), marker="o", color=PALETTE[0], zorder=2)
            ax.scatter(*targets.T, s=900 * plan.sum(0), marker="s", color=PALETTE[1], zorder=2)
            ax.set_title(title)
            ax.set_aspect("equal", "datalim")
            ax.set_axis_off()
    return figure


def plans(
    plans: Mapping[str, np.ndarray], *, rows: str = "patch", columns: str = "prompt"
) -> Figure:
    """Plans as matrices on one colour scale, one panel a plan: title -> (K, N)."""
    top = max(float(plan.max()) for plan in plans.values())
    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(1.6 * len(plans) + 1.2, 3.2), layout="constrained")
        axes = figure.subplots(1, len(plans), squeeze=False, sharey=True)[0]
        for ax, (title, plan) in zip(axes, plans.items()):
            shown = ax.imshow(plan, cmap=HEATMAP, vmin=0, vmax=top, aspect="auto")
            ax.set_xticks(range(plan.shape[1]), range(1, plan.shape[1] + 1))
            ax.set_yticks(range(plan.shape[0]), range(1, plan.shape[0] + 1))
            ax.set_title(wrapped(title, 14))
            ax.set_xlabel(columns)
        axes[0].set_ylabel(rows)
        figure.colorbar(shown, ax=list(axes), label="mass")
    return figure


def regularisation(
    epsilon: Sequence[float],
    cost: Sequence[float],
    entropy: Sequence[float],
    *,
    exact: float,
    bound: Sequence[float],
) -> Figure:
    """What an entropic plan costs and how spread out it is, by epsilon.

    :param cost: <C, P> at each epsilon.
    :param entropy: H(P) at each epsilon.
    :param exact: the linear programme's cost.
    :param bound: what the cost can't exceed.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(epsilon, bound, color="0.5", linestyle=":", label="bound")
        left.plot(epsilon, cost, color=PALETTE[0], marker="o", label="entropic plan")
        left.axhline(exact, color=PALETTE[1], linestyle="--", label="linear programme")
        left.set_ylim(0.8 * exact, 1.2 * max(cost))
        left.set_ylabel("transport cost")
        left.legend(fontsize=8)
        right.plot(epsilon, entropy, color=PALETTE[0], marker="o")
        right.set_ylabel("entropy of the plan")
        for ax in (left, right):
            ax.set_xscale("log")
            ax.set_xlabel("ε")
    return figure


def loglog(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, xlabel: str, ylabel: str
) -> Figure:
    """Lines on two logarithmic axes, told apart by their dashes, and by marks where the points are few: name -> (x, y)."""
    dashes = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
    with rc_context(STYLE):
        figure = Figure(figsize=(5.8, 3.4), layout="constrained")
        ax = figure.subplots()
        for i, (name, (x, y)) in enumerate(lines.items()):
            ax.loglog(
                x,
                y,
                linestyle=dashes[i % len(dashes)],
                marker="osD^vP"[i % 6] if len(x) <= 20 else "",
                color=PALETTE[i % len(PALETTE)],
                label=name,
            )
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.legend(fontsize=8)
    return figure
