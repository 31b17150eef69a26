"""Pictures, and what lies over them: plans, parts, shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .base import HEATMAP, PALETTE, STYLE, rgb, wrapped


def contact_sheet(images: Sequence[np.ndarray], titles: Sequence[str] | None = None, *, columns: int = 6, size: float = 1.5) -> Figure:
    """A grid of (H, W, 3) images, each with an optional title."""
    rows = -(-len(images) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(size * columns, (size + 0.3 * bool(titles)) * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for i, (ax, image) in enumerate(zip(axes.flat, images)):
            ax.imshow(image)
            if titles:
                ax.set_title(wrapped(titles[i]), fontsize=7)
    return figure


def partition(image: np.ndarray, plan: np.ndarray, *, title: str = "", names: Sequence[str] | None = None) -> Figure:
    """One image, the prompts' shares of its patches, and one heatmap a prompt.

    :param image: (H, W, 3).
    :param plan: (N, h, w) mass of each prompt on each patch.
    """
    prompts = len(plan)
    names = names or [f"prompt {n + 1}" for n in range(prompts)]
    with rc_context(STYLE):
        figure = Figure(figsize=(1.75 * (prompts + 2), 2.25), layout="constrained")
        axes = figure.subplots(1, prompts + 2)
        for ax in axes:
            ax.imshow(image, extent=(0, 1, 1, 0))
            ax.set_axis_off()
        axes[0].set_title(wrapped(title))
        axes[1].imshow(shares(plan), extent=(0, 1, 1, 0), interpolation="nearest", alpha=0.8)
        axes[1].set_title("largest share")
        top = max(float(plan.max()), 1e-12)
        for n, ax in enumerate(axes[2:]):
            shown = ax.imshow(plan[n], extent=(0, 1, 1, 0), cmap=HEATMAP, vmin=0, vmax=top, alpha=np.where(plan[n] > 0, 0.85, 0.25))
            ax.set_title(names[n], color=PALETTE[n % len(PALETTE)])
        figure.colorbar(shown, ax=list(axes[2:]), shrink=0.8, label="mass")
    return figure


def shares(plan: np.ndarray) -> np.ndarray:
    """(h, w, 4) colours: each patch in the colour of its largest share, paler the smaller that share; clear off the support."""
    colours = np.array([rgb(c) for c in PALETTE])
    mass = plan.sum(0)
    best = plan.argmax(0)
    strength = np.divide(plan.max(0), mass, out=np.zeros_like(mass), where=mass > 0)
    return np.concatenate([colours[best % len(colours)], np.where(mass > 0, 0.25 + 0.75 * strength, 0)[..., None]], -1)


def part_colours(parts: np.ndarray) -> np.ndarray:
    """(H, W, 4) colours of a part mask (H, W): part k in colour k - 1 of the palette, 0 clear."""
    colours = np.array([(1, 1, 1, 0), *((*rgb(c), 1) for c in PALETTE)])
    return colours[parts]
