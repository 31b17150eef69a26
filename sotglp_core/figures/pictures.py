"""Pictures, and what lies over them: plans, parts, shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .base import HEATMAP, PALETTE, STYLE, rgb, wrapped


def contact_sheet(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 6,
    size: float = 1.5,
) -> Figure:
    """A grid of (H, W, 3) images, each with an optional title."""
    rows = -(-len(images) // columns)
    with rc_context(STYLE):
        figure = Figure(
            figsize=(size * columns, (size + 0.3 * bool(titles)) * rows), layout="constrained"
        )
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for i, (ax, image) in enumerate(zip(axes.flat, images)):
            ax.imshow(image)
            if titles:
                ax.set_title(wrapped(titles[i]), fontsize=7)
    return figure


def partition(
    image: np.ndarray, plan: np.ndarray, *, title: str = "", names: Sequence[str] | None = None
) -> Figure:
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
            shown = ax.imshow(
                plan[n],
                extent=(0, 1, 1, 0),
                cmap=HEATMAP,
                vmin=0,
                vmax=top,
                alpha=np.where(plan[n] > 0, 0.85, 0.25),
            )
            ax.set_title(names[n], color=PALETTE[n % len(PALETTE)])
        figure.colorbar(shown, ax=list(axes[2:]), shrink=0.8, label="mass")
    return figure


def shares(plan: np.ndarray) -> np.ndarray:
    """(h, w, 4) colours: each patch in the colour of its largest share, paler the smaller that share; clear off the support."""
    colours = np.array([rgb(c) for c in PALETTE])
    mass = plan.sum(0)
    best = plan.argmax(0)
    strength = np.divide(plan.max(0), mass, out=np.zeros_like(mass), where=mass > 0)
    return np.concatenate(
        [colours[best % len(colours)], np.where(mass > 0, 0.25 + 0.75 * strength, 0)[..., None]], -1
    )


def part_colours(parts: np.ndarray) -> np.ndarray:
    """(H, W, 4) colours of a part mask (H, W): part k in colour k - 1 of the palette, 0 clear."""
    colours = np.array([(1, 1, 1, 0), *((*rgb(c), 1) for c in PALETTE)])
    return colours[parts]


def outline(ax: Axes, mask: np.ndarray) -> None:
    """Draw the edge of a mask (H, W) over a picture with the extent (0, 1, 1, 0), light on dark so that it shows on any colour."""
    H, W = mask.shape
    x, y = (np.arange(-0.5, n + 1) / n for n in (W, H))  # pixel centres, with one pixel around
    for colour, width in (("black", 2.4), ("white", 1.1)):
        ax.contour(x, y, np.pad(mask.astype(float), 1), [0.5], colors=colour, linewidths=width)
    ax.set(xlim=(0, 1), ylim=(1, 0))


def similarity_maps(
    image: np.ndarray,
    rows: Mapping[str, np.ndarray],
    titles: Sequence[str],
    outlines: np.ndarray,
    *,
    size: float = 1.45,
) -> Figure:
    """Heatmaps over one image, a row a kind of patch, a column a text; each from its own lowest to its own highest value.

    A cross marks the largest value of each.

    :param image: (H, W, 3), drawn once, before the first row.
    :param rows: name -> (n, h, w).
    :param titles: n texts.
    :param outlines: (n, H, W) masks of what each text speaks of.
    """
    with rc_context(STYLE | {"axes.grid": False}):
        figure, axes = _panels(len(rows), len(titles) + 1, size, 0.45)
        for (name, maps), line in zip(rows.items(), axes):
            line[0].set_visible(False)
            for ax, values, mask in zip(line[1:], maps, outlines):
                ax.imshow(values, extent=(0, 1, 1, 0), cmap=HEATMAP, interpolation="nearest")
                outline(ax, mask)
                h, w = np.unravel_index(values.argmax(), values.shape)
                at = ((w + 0.5) / values.shape[1], (h + 0.5) / values.shape[0])
                for colour, width in (("black", 3.5), ("#56B4E9", 1.8)):
                    ax.plot(
                        *at, "x", color=colour, markersize=8, markeredgewidth=width, clip_on=False
                    )
            line[1].set_ylabel(name)
        axes[0][0].set_visible(True)
        axes[0][0].imshow(image, extent=(0, 1, 1, 0))
        for ax, title in zip(axes[0], ("picture", *titles)):
            ax.set_title(wrapped(title, 16), fontsize=9)
    return figure


def spotlights(
    images: Sequence[np.ndarray],
    kept: Mapping[str, np.ndarray],
    parts: np.ndarray,
    names: Sequence[str],
    *,
    size: float = 1.45,
) -> Figure:
    """Only the kept patches of each image are bright: a row an image, a column a choice of patches.

    :param images: (H, W, 3) each.
    :param kept: title -> (images, h, w) bool.
    :param parts: (images, H, W) part masks; the outline of what is not 0 is drawn.
    :param names: of the images.
    """
    with rc_context(STYLE | {"axes.grid": False}):
        figure, axes = _panels(len(images), len(kept) + 1, size, 0.4)
        for row, (line, image, name) in enumerate(zip(axes, images, names)):
            for ax, masks in zip(line, (None, *kept.values())):
                ax.imshow(image, extent=(0, 1, 1, 0))
                if masks is not None:
                    dark = np.zeros((*masks[row].shape, 4))
                    dark[..., 3] = np.where(masks[row], 0, 0.8)
                    ax.imshow(dark, extent=(0, 1, 1, 0), interpolation="nearest")
                    outline(ax, parts[row] > 0)
            line[0].set_ylabel(wrapped(name, 15), fontsize=8)
        for ax, title in zip(axes[0], ("picture", *kept)):
            ax.set_title(title, fontsize=9)
    return figure


def matrices(named: Mapping[str, np.ndarray], groups: Sequence[str], *, label: str) -> Figure:
    """Square matrices side by side on one colour scale, their rows in groups of equal size.

    :param named: title -> (C, C); the diagonal is left out.
    :param groups: names of the groups, in the order of the rows.
    """
    shown = {
        title: np.where(np.eye(len(values), dtype=bool), np.nan, values)
        for title, values in named.items()
    }
    low, high = (f([f(values) for values in shown.values()]) for f in (np.nanmin, np.nanmax))
    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(2.45 * len(named) + 0.9, 2.9), layout="constrained")
        axes = figure.subplots(1, len(named), squeeze=False, sharey=True)[0]
        for ax, (title, values) in zip(axes, shown.items()):
            drawn = ax.imshow(values, cmap=HEATMAP, vmin=low, vmax=high, interpolation="nearest")
            step = len(values) / len(groups)
            for k in range(1, len(groups)):
                ax.axhline(k * step - 0.5, color="white", linewidth=0.8)
                ax.axvline(k * step - 0.5, color="white", linewidth=0.8)
            ticks = [(k + 0.5) * step - 0.5 for k in range(len(groups))]
            ax.set_xticks(ticks, groups, fontsize=8)
            ax.set_yticks(ticks, groups, fontsize=8)
            ax.tick_params(length=0)
            ax.set_title(title)
        figure.colorbar(drawn, ax=list(axes), label=label, shrink=0.8)
    return figure


def _panels(rows: int, columns: int, size: float, head: float) -> tuple[Figure, np.ndarray]:
    """A figure of square panels without ticks, and its axes (rows, columns)."""
    figure = Figure(figsize=(size * columns, size * rows + head), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.spines[:].set_visible(False)
    return figure, axes
