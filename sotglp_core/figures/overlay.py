"""A plan drawn over an image, as an image."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from .base import HEATMAP
from .pictures import shares


def overlay(
    image: Image.Image, plan: np.ndarray, prompt: int | None = None, strength: float = 0.7
) -> Image.Image:
    """The image under the partition (colour and number of each patch's leading prompt) or a heatmap.

    :param plan: (N, h, w).
    :param prompt: None: the partition.
    :param strength: opacity from 0 to 1.
    """
    h, w = plan.shape[1:]
    if prompt is None:
        colours = shares(plan)
    else:
        colours = colormaps[HEATMAP](plan[prompt] / (plan.max() or 1))
        colours[..., 3] = np.where(plan.sum(0) > 0, 1, 0.3)
    colours[..., 3] *= strength
    layer = Image.fromarray((255 * colours).round().astype(np.uint8), "RGBA").resize(
        image.size, Image.Resampling.NEAREST
    )
    drawn = Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")
    if prompt is None:
        dx, dy = image.width / w, image.height / h
        font, pen = ImageFont.load_default(max(8, min(dx, dy) * 0.6)), ImageDraw.Draw(drawn)
        for row, column in zip(*np.nonzero(plan.sum(0))):
            at = ((column + 0.5) * dx, (row + 0.5) * dy)
            pen.text(
                at,
                str(plan[:, row, column].argmax() + 1),
                "white",
                font,
                "mm",
                stroke_width=1,
                stroke_fill="#222",
            )
    return drawn
