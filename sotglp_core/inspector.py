"""A panel to look into a transport plan, patch by patch: plain HTML that needs neither a kernel nor a network."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image

from .figures import HEATMAP, PALETTE
from .model import SOTGLP
from .storage import write_text

SIDE = 336  # pixels of the picture shown


class PatchInspector:
    """Which patch went to which prompt, for one image and several classes.

    Displays itself in notebooks and in the built book; :meth:`save` writes one page that stands alone.

    :param image: PIL image or (H, W, 3) uint8 array, square as the backbone saw it.
    :param plan: (C, N, h, w) non-negative mass of every prompt on every patch.
    :param class_names: C names.
    :param note: a line for each class, such as its probability.
    :param alt: what the image shows, for readers who can't see it.
    :raises ValueError: on shapes that do not fit or a plan with negative or infinite mass.
    """

    def __init__(self, image, plan, class_names: Sequence[str], *, note: Sequence[str] | None = None, alt: str = "the image"):
        self.plan = np.asarray(plan, dtype="<f4")
        if self.plan.ndim != 4 or len(self.plan) != len(class_names):
            raise ValueError(f"plan has shape {self.plan.shape} for {len(class_names)} classes; it needs (C, N, h, w)")
        if not np.isfinite(self.plan).all() or (self.plan < 0).any():
            raise ValueError("the plan's mass must be finite and not negative")
        image = image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image, np.uint8))
        self.image = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        self.class_names, self.note, self.alt = list(class_names), list(note or [""] * len(class_names)), alt

    @classmethod
    @torch.no_grad()
    def from_model(cls, model: SOTGLP, image: Image.Image, *, top: int = 5, alt: str = "the image") -> PatchInspector:
        """Inspect the plans of the ``top`` most probable classes.

        :raises ValueError: if the model has no local prompts.
        """
        model.eval()
        pixels = model.backbone.preprocess(image)
        prediction = model(pixels[None])
        if prediction.alignment is None:
            raise ValueError(f"the preset {model.config.preset!r} has no local prompts, so there is no plan to inspect")
        probability = prediction.logits[0].softmax(-1)
        best = probability.topk(min(top, len(probability))).indices
        plan = prediction.plan_on_grid()[0, best]  # (top, N, h, w)
        return cls(shown_pixels(model, image), plan.cpu().numpy(), [model.class_names[i] for i in best],
                   note=[f"probability {probability[i]:.1%}" for i in best], alt=alt)

    def to_html(self) -> str:
        """A fragment with its own style and script; it may stand on a page more than once."""
        buffer = io.BytesIO()
        self.image.save(buffer, "JPEG", quality=88)
        lut = (colormaps[HEATMAP](np.arange(256))[:, :3] * 255).round().astype(int).tolist()
        data = {"side": SIDE, "shape": self.plan.shape, "plan": _base64(self.plan.tobytes()), "classes": self.class_names,
                "note": self.note, "alt": self.alt, "image": "data:image/jpeg;base64," + _base64(buffer.getvalue()),
                "colours": PALETTE, "lut": lut}
        encoded = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
        code = (files("sotglp_core") / "inspector.js").read_text(encoding="utf-8")
        style = (files("sotglp_core") / "inspector.css").read_text(encoding="utf-8")
        return (f'<div class="sotglp-inspector"><style>{style}</style><div class="panel"></div>'
                f'<script type="application/json" class="data">{encoded}</script>'
                f'<noscript>The inspector needs JavaScript.</noscript><script>{code}</script></div>')

    def save(self, path: str | Path, title: str = "Patch inspector") -> None:
        """Write one HTML page that needs no other file."""
        write_text(path, f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                         f"<title>{html.escape(title)}</title></head><body>{self.to_html()}</body></html>")

    def _repr_html_(self) -> str:
        return self.to_html()


def shown_pixels(model: SOTGLP, image: Image.Image) -> Image.Image:
    """The square that the backbone sees of an image: resized and cropped, not normalised."""
    normalise = model.backbone.preprocess.transforms[-1]
    pixels = model.backbone.preprocess(image)
    mean, std = (torch.tensor(x)[:, None, None] for x in (normalise.mean, normalise.std))
    return Image.fromarray(((pixels * std + mean).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
