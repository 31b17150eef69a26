"""The inspector as plain HTML: in a notebook, in the built book, as a page of its own."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image

from ..figures import HEATMAP, PALETTE, overlay
from ..judging.partition import assignment
from ..method.model import SOTGLP
from ..storage import write_text
from .picture import SIDE, Picture, data_uri, described, table


def asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


class PatchInspector:
    """Which patch went to which prompt, for one or several images and some classes of each.

    Displays itself in notebooks and in the built book; :meth:`save` writes one page that stands alone. Mouse, finger and
    keyboard choose a patch; its masses are then shown to the last digit of float32. Where scripts don't run, a picture and a
    table stand in its place.

    :param pictures: :class:`Picture`, all with the same number of prompts.
    :raises ValueError: without a picture, or if the pictures differ in the number of prompts.
    """

    def __init__(self, *pictures: Picture):
        prompts = sorted({picture.plan.shape[1] for picture in pictures})
        if len(prompts) != 1:
            raise ValueError(
                f"the pictures have {prompts} prompts; give at least one picture, all with the same number"
                if prompts
                else "there is no picture to inspect; give at least one"
            )
        self.pictures = pictures

    @classmethod
    @torch.no_grad()
    def from_model(
        cls,
        model: SOTGLP,
        images: Image.Image | Sequence[Image.Image],
        *,
        top: int = 5,
        alt: str | Sequence[str] = "the image",
    ) -> PatchInspector:
        """Inspect the plans of the ``top`` most probable classes of each image.

        :param images: one PIL image or several.
        :param alt: what the images show, for readers who can't see them: one text for all or one for each.
        :raises ValueError: if the model has no local prompts, without an image, or if the texts are not as many as the images.
        """
        images, alt = described(images, alt)
        model.eval()
        prediction = model(torch.stack([model.backbone.preprocess(image) for image in images]))
        if prediction.alignment is None:
            raise ValueError(
                f"the preset {model.config.preset!r} has no local prompts, so there is no plan to inspect"
            )
        probability = prediction.logits.softmax(-1)
        best = probability.topk(min(top, probability.shape[-1])).indices  # (images, top)
        plans = prediction.plan_on_grid()
        return cls(
            *(
                Picture(
                    model.backbone.to_image(model.backbone.preprocess(images[i])),
                    plans[i, best[i]].cpu().numpy(),
                    [model.class_names[c] for c in best[i]],
                    note=[f"probability {probability[i, c]:.1%}" for c in best[i]],
                    alt=alt[i],
                )
                for i in range(len(images))
            )
        )

    @staticmethod
    def live(
        model: SOTGLP,
        images: Image.Image | Sequence[Image.Image],
        *,
        alt: str | Sequence[str] = "the image",
    ) -> Any:
        """Controls that compute the plan anew: image, class, prompt, epsilon, K and allocation.

        It needs a kernel that runs, as in Jupyter or Colab; in the built book it would be dead, so a page shows
        :meth:`from_model` instead. The images are encoded once.

        :return: ``LiveInspector``, a widget whose ``controls`` hold the settings and whose ``alignment`` is the plan shown.
        :raises ValueError: as :meth:`from_model`.
        :raises ImportError: without ipywidgets (7.7 or later).
        """
        try:
            from .live import LiveInspector
        except ModuleNotFoundError as error:
            if error.name != "ipywidgets":
                raise
            raise ImportError(
                "the live inspector needs ipywidgets: run `pip install ipywidgets`"
            ) from None
        return LiveInspector(model, *described(images, alt))

    def to_html(self) -> str:
        """A fragment with its own style and script; it may stand on a page more than once."""
        data = {
            "side": SIDE,
            "colours": PALETTE,
            "heatmap": (colormaps[HEATMAP](np.arange(256))[:, :3] * 255)
            .round()
            .astype(int)
            .tolist(),
            "pictures": [
                {
                    "alt": p.alt,
                    "image": data_uri(p.image),
                    "classes": p.class_names,
                    "note": p.note,
                    "shape": p.plan.shape,
                    "plan": base64.b64encode(p.plan.tobytes()).decode(),
                }
                for p in self.pictures
            ],
        }
        encoded = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
        still = "".join(_still(picture) for picture in self.pictures)
        return (
            f'<div class="sotglp-inspector"><style>{asset("inspector.css")}</style><div class="panel">{still}</div>'
            f'<script type="application/json" class="data">{encoded}</script><script>{asset("inspector.js")}</script></div>'
        )

    def save(self, path: str | Path, title: str = "Patch inspector") -> None:
        """Write one HTML page that needs no other file.

        :raises ValueError: if the folder can't be written to.
        """
        name = html.escape(title)
        write_text(
            path,
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            "<style>body { margin: 1rem auto; padding: 0 1rem; max-width: 56rem; font-family: system-ui, sans-serif }</style>"
            f"</head><body><main><h1>{name}</h1>{self.to_html()}</main></body></html>\n",
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        C, N, h, w = self.pictures[0].plan.shape
        return f"PatchInspector(images={len(self.pictures)}, classes={C}, prompts={N}, patches={h}x{w})"


def _still(picture: Picture) -> str:
    """What is to be seen without JavaScript: the first class's partition, and how many patches each prompt leads for all classes."""
    first, N = picture.class_names[0], picture.plan.shape[1]
    alt = html.escape(
        f"{picture.alt}: number and colour of the prompt that leads each patch, class {first}"
    )
    led = assignment(torch.from_numpy(picture.plan).flatten(2).mT)  # (C, P)
    rows = [
        [
            f"{name}{note and f' ({note})'}",
            ", ".join(str(int((prompts == n).sum())) for n in range(N)),
        ]
        for name, note, prompts in zip(picture.class_names, picture.note, led)
    ]
    return (
        f'<div><img alt="{alt}" src="{data_uri(overlay(picture.image, picture.plan[0]))}" width="{SIDE}" height="{SIDE}">'
        + table(f"In the picture: {first}", ["class", f"patches led by prompts 1 to {N}"], rows)
        + "</div>"
    )
