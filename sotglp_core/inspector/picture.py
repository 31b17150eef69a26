"""One image, the plans of some classes for it, and how they are drawn over it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from ..figures import HEATMAP, shares
from ..model import SOTGLP

SIDE = 336  # pixels of the picture shown


class Picture:
    """An image and what to show over it.

    :param image: PIL image or (H, W, 3) uint8 array, square as the backbone saw it.
    :param plan: (C, N, h, w) non-negative mass of every prompt on every patch.
    :param class_names: C names.
    :param note: a line for each class, such as its probability.
    :param alt: what the image shows, for readers who can't see it.
    :raises ValueError: on shapes that do not fit or a plan with negative or infinite mass.
    """

    def __init__(self, image: Image.Image | np.ndarray, plan: np.ndarray, class_names: Sequence[str], *,
                 note: Sequence[str] | None = None, alt: str = "the image"):
        self.plan = np.asarray(plan, dtype="<f4")
        if self.plan.ndim != 4 or len(self.plan) != len(class_names):
            raise ValueError(f"plan has shape {self.plan.shape} for {len(class_names)} classes; it needs (C, N, h, w)")
        if not self.plan.size:
            raise ValueError(f"plan has shape {self.plan.shape}, which holds nothing; give at least one class, prompt and patch")
        if not np.isfinite(self.plan).all() or (self.plan < 0).any():
            raise ValueError("the plan's mass must be finite and not negative")
        if note is not None and len(note) != len(class_names):
            raise ValueError(f"there are {len(note)} notes for {len(class_names)} classes; give one for each")
        image = image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image, np.uint8))
        self.image = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        self.class_names, self.note, self.alt = list(class_names), list(note or [""] * len(class_names)), alt


def overlay(image: Image.Image, plan: np.ndarray, prompt: int | None = None, strength: float = 0.7) -> Image.Image:
    """The image under the partition (colour and number of the prompt that leads each patch) or under one prompt's heatmap.

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
    layer = Image.fromarray((255 * colours).round().astype(np.uint8), "RGBA").resize(image.size, Image.Resampling.NEAREST)
    drawn = Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")
    if prompt is None:
        dx, dy = image.width / w, image.height / h
        font, pen = ImageFont.load_default(max(8, min(dx, dy) * 0.6)), ImageDraw.Draw(drawn)
        for row, column in zip(*np.nonzero(plan.sum(0))):
            at = ((column + 0.5) * dx, (row + 0.5) * dy)
            pen.text(at, str(plan[:, row, column].argmax() + 1), "white", font, "mm", stroke_width=1, stroke_fill="#222")
    return drawn


def shown_pixels(model: SOTGLP, image: Image.Image) -> Image.Image:
    """The square that the backbone sees of an image: resized and cropped, not normalised."""
    normalise = model.backbone.preprocess.transforms[-1]
    pixels = model.backbone.preprocess(image)
    mean, std = (torch.tensor(x)[:, None, None] for x in (normalise.mean, normalise.std))
    return Image.fromarray(((pixels * std + mean).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def described(images: Image.Image | Sequence[Image.Image], alt: str | Sequence[str]) -> tuple[list[Image.Image], list[str]]:
    """One or several images as a list, and a text for each.

    :raises ValueError: without an image, or if the texts are not as many as the images.
    """
    images = [images] if isinstance(images, Image.Image) else list(images)
    alt = [alt] * len(images) if isinstance(alt, str) else list(alt)
    if not images:
        raise ValueError("there is no image to inspect; give at least one")
    if len(alt) != len(images):
        raise ValueError(f"there are {len(alt)} texts for {len(images)} images; give one for all or one for each")
    return images, alt


def data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """An HTML table whose rows begin with their heading."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    body = "".join(f'<tr><th scope="row">{html.escape(str(first))}</th>' + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in rest)
                   + "</tr>" for first, *rest in rows)
    return f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
