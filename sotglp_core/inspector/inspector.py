"""The inspector: what a model knows of some images, its state, and how it is shown."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from anywidget import AnyWidget
from jinja2 import Environment, PackageLoader
from matplotlib import colormaps
from PIL import Image
from torch import Tensor
from traitlets import Bool, Dict, Enum, Float, Int, observe, validate

from ..data.images import Images
from ..figures import HEATMAP, PALETTE, overlay
from ..figures.base import data_uri
from ..judging.partition import assignment
from ..method.alignment import align
from ..method.model import SOTGLP, Prediction, TextFeatures
from ..storage import write_text

SIDE = 336  # pixels of a drawing
COMPUTED = ("ot", "uniform", "max", "topk")  # allocations that the page knows
PAGES = Environment(loader=PackageLoader("sotglp_core", "inspector"), autoescape=True)


class PatchInspector(AnyWidget):
    """Which patch goes to which prompt, for one or several images and some classes of each.

    Made by :meth:`from_model`. The page holds the cosines of patches and prompts; support, plan,
    score and class probability are computed from them when a control moves: in a notebook, in the
    built book, and in a page that :meth:`save` wrote. A notebook with a kernel shares the state
    with Python: ``inspector.epsilon = 0.01`` moves the slider, and the slider sets
    ``inspector.epsilon``.

    Everything that the page can be set to is an attribute, which can also be observed: ``image``,
    ``class_index`` (of the image's classes, most probable first), ``stage`` of the prompts
    ("learned" or "initial"), ``allocation``, ``epsilon``, ``support`` (K), ``prompt`` (None: the
    partition), ``difference`` (from the even share 1/KN), ``outline`` (of the true parts),
    ``overlay`` (opacity) and ``patch`` (picked, row by row). Everything counts from 0.
    """

    _esm = Path(__file__).with_name("inspector.js")
    _css = Path(__file__).with_name("inspector.css")
    stills: Sequence[dict] = ()  # what stands in each image's place where no script runs
    data = Dict()  # what the page computes from
    image = Int()
    class_index = Int()
    stage = Enum(("learned", "initial"), "learned")
    allocation = Enum(COMPUTED, "ot")
    epsilon = Float(0.1, min=1e-4)
    support = Int(1, min=1)
    prompt = Int(None, allow_none=True)
    difference = Bool()
    outline = Bool(True)
    overlay = Float(0.7, min=0, max=1)
    patch = Int(None, allow_none=True)

    @classmethod
    def from_model(
        cls,
        model: SOTGLP,
        images: Image.Image | Sequence[Image.Image] | Images,
        *,
        top: int = 5,
        alt: str | Sequence[str] = "the image",
    ) -> PatchInspector:
        """Inspect the ``top`` most probable classes of each image, and the true one where known.

        :param images: one PIL image, several, or a data set, whose labels and parts are shown too.
        :param alt: what the images show, for readers who can't see them: for all or for each.
        :raises ValueError: without an image, if the texts are not as many as the images, or for a
            model without local prompts, or of an allocation that the page can't compute.
        """
        config, backbone = model.config, model.backbone
        if config.allocation not in COMPUTED:
            raise ValueError(
                f"the inspector computes plans of {', '.join(COMPUTED)}, not of "
                f"{config.allocation!r}; draw this model's with figures.partition"
            )
        images = [images] if isinstance(images, Image.Image) else images
        alt = [alt] * len(images) if isinstance(alt, str) else alt
        if not 0 < len(images) == len(alt):
            raise ValueError(
                f"there are {len(images)} images and {len(alt)} texts; "
                "give at least one image, and one text for all or one for each"
            )
        records, stills = _collect(model, images, top=top, alt=alt)
        data = {
            "images": records,
            "grid": backbone.grid,
            "prompts": config.local_prompts,
            "logit_scale": float(backbone.logit_scale),
            "top_k": config.top_k,
            "divide_by_prompts": config.divide_by_prompts,
            "palette": PALETTE,
            "heatmap": colormaps[HEATMAP](range(256), bytes=True).tolist(),
        }
        inspector = cls(
            data=data,
            allocation=config.allocation,
            epsilon=config.epsilon,
            support=config.support or math.prod(backbone.grid),
        )
        inspector.stills = stills
        return inspector

    @validate("image", "class_index", "support", "prompt", "patch")
    def _in_range(self, proposal: dict) -> int | None:
        name, value = proposal["trait"].name, proposal["value"]
        images, patches = self.data["images"], math.prod(self.data["grid"])
        number = {
            "image": len(images),
            "class_index": len(images[self.image]["class_names"]),
            "support": patches + 1,
            "prompt": self.data["prompts"],
            "patch": patches,
        }[name]
        if value is not None and not 0 <= value < number:
            raise ValueError(f"{name} is {value}; the largest here is {number - 1}")
        return value

    @observe("image")
    def _start_over(self, change: dict) -> None:
        self.class_index, self.patch = 0, None

    @property
    def plan(self) -> Tensor:
        """The plan shown: (N, h, w) mass of every prompt on every patch, float64."""
        packed = self.data["images"][self.image]["stages"][self.stage]["cosines"]
        floats = torch.frombuffer(bytearray(base64.b64decode(packed)), dtype=torch.float32)
        grid, N = self.data["grid"], self.data["prompts"]
        cosines = floats.double().view(-1, math.prod(grid), N)[self.class_index]  # (P, N)
        alignment = align(
            cosines[None],
            torch.eye(N).double()[None],  # as prompts, they leave the cosines as they are
            allocation=self.allocation,
            support=self.support,
            top_k=self.data["top_k"],
            epsilon=self.epsilon,
        )
        return alignment.on_grid(len(cosines))[0, 0].T.unflatten(1, grid)

    def to_html(self, title: str | None = None) -> str:
        """A fragment with its own style and script, or with a title a page without other files."""
        template = PAGES.get_template("panel.html.j2" if title is None else "page.html.j2")
        state = {name: getattr(self, name) for name in STATE}
        return template.render(state=state, stills=self.stills, title=title)

    def save(self, path: str | Path, title: str = "Patch inspector") -> None:
        """Write the page.

        :raises ValueError: if the folder can't be written to.
        """
        write_text(path, self.to_html(title))

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The widget where there is a kernel, and the page's HTML elsewhere."""
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return data | {"text/html": self.to_html()}, metadata


STATE = PatchInspector.class_own_traits()  # what Python and the page share
for trait in STATE.values():
    trait.tag(sync=True)


@torch.no_grad()
def _collect(
    model: SOTGLP, images: Sequence[Image.Image] | Images, *, top: int, alt: Sequence[str]
) -> tuple[list[dict], list[dict]]:
    """The page's record of each image, and what stands in its place where no script runs."""
    backbone, names = model.backbone, model.class_names
    stages = {"learned": model.eval()}
    if not model.text_free:  # which can't tell how its prompts started
        stages["initial"] = SOTGLP(backbone, names, model.config).eval()
    texts = {name: stage.text_features() for name, stage in stages.items()}
    labels = getattr(images, "labels", [-1] * len(images))
    grids = images.part_grids() if hasattr(images, "part_grids") else None
    records, stills = [], []
    for i, label in enumerate(labels):
        pixels = backbone.preprocess(images[i])
        features = backbone.encode_image(pixels[None], dense=model.config.dense)
        seen = {name: stage(features, texts[name]) for name, stage in stages.items()}
        learned, image = seen["learned"], backbone.to_image(pixels)
        classes = learned.logits[0].topk(min(top, len(names))).indices.tolist()
        if label >= 0 and label not in classes:
            classes.append(label)
        stills.append(_still(image, learned, classes))
        records.append(
            {
                "alt": alt[i],
                "source": data_uri(image),
                "class_names": [names[c] for c in classes],
                "truth": names[label] if label >= 0 else None,
                "parts": None if grids is None else grids[i].flatten().tolist(),
                "stages": {name: _numbers(seen[name], texts[name], classes) for name in stages},
            }
        )
    return records, stills


def _numbers(seen: Prediction, text: TextFeatures, classes: list[int]) -> dict:
    """Cosines (C, P, N) as base64 of float32, and the logits that enter the probability with them.

    ``others`` is the log-sum-exp of the logits of all classes that are not shown.
    """
    assert text.local_text is not None
    cosines = torch.einsum("pd,cnd->cpn", seen.patches[0], text.local_text[classes])
    global_logits, others = seen.global_logits, seen.logits[0].clone()
    others[classes] = -torch.inf
    return {
        "cosines": base64.b64encode(cosines.float().cpu().numpy().tobytes()).decode(),
        "global_logits": None if global_logits is None else global_logits[0, classes].tolist(),
        "others": float(others.logsumexp(0).clamp_min(-1e9)),  # JSON has no infinity
    }


def _still(image: Image.Image, seen: Prediction, classes: list[int]) -> dict:
    plans = seen.plan_on_grid()[0, classes].cpu()  # (C, N, h, w)
    leaders = assignment(plans.flatten(2).mT)  # (C, P)
    led = (leaders[..., None] == torch.arange(plans.shape[1])).sum(1).tolist()
    probability = seen.logits[0].softmax(-1)[classes].tolist()
    drawing = overlay(image.resize((SIDE, SIDE)), plans[0].numpy())
    return {"drawing": data_uri(drawing), "led": led, "probability": probability}
