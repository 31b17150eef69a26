"""Partitions side by side: pictures down, ways of sharing their patches across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .base import PALETTE, STYLE, rgb, wrapped
from .pictures import shares


def partitions(
    images: Sequence[np.ndarray],
    plans: Mapping[str, np.ndarray],
    parts: np.ndarray | None = None,
    *,
    size: float = 1.1,
) -> Figure:
    """One row a picture, one column a method: each patch in the colour of its largest share, grey where all shares are equal.

    :param images: (H, W, 3) each.
    :param plans: method -> (images, N, h, w) mass of each prompt on each patch.
    :param parts: (images, H, W) part masks; the outline of what is not 0 is drawn over every panel.
    """
    prompts = max(plan.shape[1] for plan in plans.values())
    with rc_context(STYLE):
        figure = Figure(
            figsize=(size * (len(plans) + 1), size * len(images) + 0.7), layout="constrained"
        )
        axes = figure.subplots(len(images), len(plans) + 1, squeeze=False)
        for row, (line, image) in enumerate(zip(axes, images)):
            for column, ax in enumerate(line):
                ax.imshow(image, extent=(0, 1, 1, 0), alpha=1 if column == 0 else 0.45)
                if parts is not None and column and parts[row].any():
                    outline = np.pad(parts[row] > 0, 1)
                    edge = 1 / (outline.shape[0] - 2)
                    ax.contour(
                        outline,
                        [0.5],
                        colors="black",
                        linewidths=0.9,
                        extent=(-edge, 1 + edge, -edge, 1 + edge),
                    )
                ax.set(xlim=(0, 1), ylim=(1, 0))
                ax.set_axis_off()
            for ax, plan in zip(line[1:], plans.values()):
                ax.imshow(_coloured(plan[row]), extent=(0, 1, 1, 0), interpolation="nearest")
        for ax, name in zip(axes[0], ("picture", *plans)):
            ax.set_title(wrapped(name, 11), fontsize=9)
        handles = [
            Patch(color=PALETTE[n % len(PALETTE)], label=f"prompt {n + 1}") for n in range(prompts)
        ]
        handles.append(Patch(color="0.45", label="even shares"))
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(len(handles), int(figure.get_figwidth() / 1.4)),
            fontsize=9,
        )
    return figure


def _coloured(plan: np.ndarray) -> np.ndarray:
    """(h, w, 4) :func:`shares` with grey for patches that every prompt holds alike."""
    colours = shares(plan)
    colours[np.isclose(plan.max(0), plan.min(0), rtol=1e-5, atol=0), :3] = rgb("#737373")
    return colours
