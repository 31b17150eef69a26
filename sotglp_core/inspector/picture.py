"""One image, the plans of some classes for it, and how they are drawn over it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

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

    def __init__(
        self,
        image: Image.Image | np.ndarray,
        plan: np.ndarray,
        class_names: Sequence[str],
        *,
        note: Sequence[str] | None = None,
        alt: str = "the image",
    ):
        self.plan = np.asarray(plan, dtype="<f4")
        if self.plan.ndim != 4 or len(self.plan) != len(class_names):
            raise ValueError(
                f"plan has shape {self.plan.shape} for {len(class_names)} classes; it needs (C, N, h, w)"
            )
        if not self.plan.size:
            raise ValueError(
                f"plan has shape {self.plan.shape}, which holds nothing; give at least one class, prompt and patch"
            )
        if not np.isfinite(self.plan).all() or (self.plan < 0).any():
            raise ValueError("the plan's mass must be finite and not negative")
        if note is not None and len(note) != len(class_names):
            raise ValueError(
                f"there are {len(note)} notes for {len(class_names)} classes; give one for each"
            )
        image = (
            image
            if isinstance(image, Image.Image)
            else Image.fromarray(np.asarray(image, np.uint8))
        )
        self.image = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        self.class_names, self.note, self.alt = (
            list(class_names),
            list(note or [""] * len(class_names)),
            alt,
        )


def described(
    images: Image.Image | Sequence[Image.Image], alt: str | Sequence[str]
) -> tuple[list[Image.Image], list[str]]:
    """One or several images as a list, and a text for each.

    :raises ValueError: without an image, or if the texts are not as many as the images.
    """
    images = [images] if isinstance(images, Image.Image) else list(images)
    alt = [alt] * len(images) if isinstance(alt, str) else list(alt)
    if not images:
        raise ValueError("there is no image to inspect; give at least one")
    if len(alt) != len(images):
        raise ValueError(
            f"there are {len(alt)} texts for {len(images)} images; give one for all or one for each"
        )
    return images, alt


def data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """An HTML table whose rows begin with their heading."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{html.escape(str(first))}</th>'
        + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
