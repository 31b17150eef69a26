"""Images, and what lies over their patches: which prompt leads, and by how much."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw, ImageFont

from .base import DIVERGING, PALETTE, canvas, wrapped

EVEN = "#737373"  # the colour of a patch that all prompts hold alike


def shares(plan: np.ndarray) -> np.ndarray:
    """saturation = (N share - 1) / (N - 1), with share = max_n plan_n / sum_n plan_n

    Each patch in its leading prompt's colour, mixed with grey: grey where all hold it alike.

    :param plan: (N, h, w) mass of each prompt on each patch.
    :return: (h, w, 4) colours, clear where there is no mass.
    """
    prompts, mass = len(plan), plan.sum(0)
    leading = np.divide(plan.max(0), mass, out=np.zeros_like(mass), where=mass > 0)
    saturation = (prompts * leading - 1) / (prompts - 1) if prompts > 1 else leading
    leader = plan.argmax(0) % len(PALETTE)
    colours, grey = np.array([to_rgb(colour) for colour in PALETTE]), np.array(to_rgb(EVEN))
    mixed = grey + saturation[..., None] * (colours[leader] - grey)
    return np.concatenate([mixed.clip(0, 1), (mass > 0)[..., None]], -1)


def beyond_even(plan: np.ndarray) -> np.ndarray:
    """d_n = plan_n / sum_m plan_m - 1 / N, what prompt n holds of a patch beyond an even share.

    :param plan: (N, h, w) mass of each prompt on each patch.
    :return: (N, h, w), nan where there is no mass.
    """
    mass = plan.sum(0)
    return plan / np.where(mass > 0, mass, np.nan) - 1 / len(plan)


def overlay(
    image: Image.Image, plan: np.ndarray, prompt: int | None = None, strength: float = 0.7
) -> Image.Image:
    """The image under the partition (:func:`shares`, with the leaders' numbers), or a heatmap.

    :param plan: (N, h, w).
    :param prompt: of the heatmap of :func:`beyond_even`; None: the partition.
    :param strength: opacity from 0 to 1.
    """
    h, w = plan.shape[1:]
    if prompt is None:
        colours = shares(plan)
    else:
        difference = beyond_even(plan)
        far = np.nanmax(abs(difference)) or 1
        colours = colormaps[DIVERGING](0.5 + difference[prompt] / (2 * far))
    colours[..., 3] *= strength
    layer = Image.fromarray((255 * colours).round().astype(np.uint8), "RGBA")
    layer = layer.resize(image.size, Image.Resampling.NEAREST)
    drawn = Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")
    if prompt is None:
        dx, dy = image.width / w, image.height / h
        font, pen = ImageFont.load_default(max(8, min(dx, dy) * 0.6)), ImageDraw.Draw(drawn)
        for row, column in zip(*np.nonzero(plan.sum(0))):
            centre = ((column + 0.5) * dx, (row + 0.5) * dy)
            number = str(plan[:, row, column].argmax() + 1)
            pen.text(
                centre,
                number,
                fill="white",
                font=font,
                anchor="mm",
                stroke_width=1,
                stroke_fill="#222",
            )
    return drawn


def partition(image: np.ndarray | Image.Image, plan: np.ndarray, *, title: str = "") -> Figure:
    """One image, the :func:`shares` of its patches, and :func:`beyond_even` of each prompt.

    :param image: (H, W, 3).
    :param plan: (N, h, w) mass of each prompt on each patch.
    """
    prompts, difference = len(plan), beyond_even(plan)
    far = np.nanmax(abs(difference)) or 1
    columns = (prompts + 3) // 2
    with canvas(2, columns, (2.25 * columns + 0.7, 5)) as (figure, axes):
        first, second, *others = axes.flat
        for ax in axes.flat:
            ax.set_axis_off()
        show(first, image)
        first.set_title(wrapped(title, 30))
        show(second, image)
        show(second, shares(plan), alpha=0.8)
        second.set_title("leading prompt")
        for n, (ax, values) in enumerate(zip(others, difference)):
            show(ax, image, alpha=0.45)
            drawn = show(ax, values, cmap=DIVERGING, vmin=-far, vmax=far)
            ax.set_title(f"prompt {n + 1}", color=PALETTE[n % len(PALETTE)])
        figure.colorbar(drawn, ax=axes, shrink=0.7, label=f"share of a patch - 1/{prompts}")
    return figure


def partitions(
    images: Sequence[np.ndarray],
    plans: Mapping[str, np.ndarray],
    parts: np.ndarray | None = None,
    *,
    size: float = 1.1,
) -> Figure:
    """One row an image, one column a method: the :func:`shares` of the patches.

    The methods of one image alone are drawn three in a row.

    :param images: (H, W, 3) each.
    :param plans: method -> (images, N, h, w) mass of each prompt on each patch.
    :param parts: (images, H, W) part masks; the outline of what is not 0 is drawn over every panel.
    """
    prompts = max(plan.shape[1] for plan in plans.values())
    alone = len(images) == 1
    rows, columns = (-(-len(plans) // 3), 3) if alone else (len(images), len(plans) + 1)
    with canvas(rows, columns, (size * columns, (size + 0.2 * alone) * rows + 0.7)) as (
        figure,
        axes,
    ):
        grid = axes.reshape(1, -1) if alone else axes[:, 1:]
        for ax in axes.flat:
            ax.set_axis_off()
        for row, panels in enumerate(grid):
            if not alone:
                show(axes[row, 0], images[row])
            for ax, plan in zip(panels, plans.values()):
                show(ax, images[row], alpha=0.45)
                show(ax, shares(plan[row]))
                if parts is not None:
                    outline(ax, parts[row] > 0)
        for ax, name in zip(axes.flat, plans if alone else ("image", *plans)):
            ax.set_title(wrapped(name, int(10 * size)), fontsize=9)
        handles = [
            Patch(color=PALETTE[n % len(PALETTE)], label=f"prompt {n + 1}") for n in range(prompts)
        ]
        handles.append(Patch(color=EVEN, label="divided evenly"))
        width = min(len(handles), int(figure.get_figwidth() / 1.2))
        figure.legend(handles=handles, loc="outside lower center", ncols=width, fontsize=9)
    return figure


def contact_sheet(
    images: Sequence[np.ndarray | Image.Image],
    titles: Sequence[str] = (),
    *,
    columns: int = 6,
    size: float = 1.5,
) -> Figure:
    """A grid of (H, W, 3) images, each with a title if there are any."""
    rows = -(-len(images) // columns)
    height = (size + (0.3 if titles else 0)) * rows
    with canvas(rows, columns, (size * columns, height)) as (figure, axes):
        for ax in axes.flat:
            ax.set_axis_off()
        for ax, image in zip(axes.flat, images):
            show(ax, image)
        for ax, title in zip(axes.flat, titles):
            ax.set_title(wrapped(title), fontsize=7)
    return figure


def show(ax: Axes, image: np.ndarray | Image.Image, **settings: Any) -> Any:
    """Draw an image, or a map of its patches, over the unit square."""
    ax.set_axis_off()
    return ax.imshow(image, extent=(0, 1, 1, 0), interpolation="nearest", **settings)


def outline(ax: Axes, mask: np.ndarray) -> None:
    """Draw the edge of a mask (H, W), light on dark so that it shows on any colour."""
    if not mask.any():
        return
    H, W = mask.shape
    x, y = (np.arange(-0.5, n + 1) / n for n in (W, H))  # centres of pixels, and one around them
    for colour, width in (("black", 2.4), ("white", 1.1)):
        ax.contour(x, y, np.pad(mask.astype(float), 1), [0.5], colors=colour, linewidths=width)
    ax.set(xlim=(0, 1), ylim=(1, 0))
