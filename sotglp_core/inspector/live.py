"""The inspector with a kernel behind it: every control computes the plan anew. The only importer of ipywidgets."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from types import SimpleNamespace

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image

from ..figures import overlay
from ..judging.partition import assignment, entropy_ratio, prompt_overlap
from ..method.alignment import Alignment, align
from ..method.model import SOTGLP
from .picture import SIDE, data_uri, table
from .static import asset

HEAVIEST = 10  # patches listed


class LiveInspector(widgets.VBox):
    """What :meth:`~sotglp_core.inspector.PatchInspector.live` returns; ``controls`` hold the settings, ``alignment`` what they give.

    Widgets of ipywidgets 7.7 and 8 only.
    """

    @torch.no_grad()
    def __init__(self, model: SOTGLP, images: Sequence[Image.Image], alt: Sequence[str]):
        model.eval()
        self.model, self.alt, self.shown = (
            model,
            alt,
            [
                model.backbone.to_image(model.backbone.preprocess(image)).resize((SIDE, SIDE))
                for image in images
            ],
        )
        text = model.text_features()
        if text.local_text is None:
            raise ValueError(
                f"the preset {model.config.preset!r} has no local prompts, so there is no plan to inspect"
            )
        prediction = model(
            torch.stack([model.backbone.preprocess(image) for image in images]), text
        )
        self.prompts, self.patches, self.grid = text.local_text, prediction.patches, prediction.grid
        self.probability = prediction.logits.softmax(-1)  # (images, C) at the model's own settings
        self.controls, self.view = self._controls(), widgets.HTML()
        super().__init__([*vars(self.controls).values(), self.view])
        for control in vars(self.controls).values():
            control.observe(self._changed, "value")
        self._draw()

    def _controls(self) -> SimpleNamespace:
        config, P, N = self.model.config, self.patches.shape[1], self.prompts.shape[1]
        how = {
            "style": {"description_width": "6em"},
            "layout": {"width": "auto", "max_width": "30em"},
        }
        exponent = math.log10(config.epsilon)
        return SimpleNamespace(
            image=widgets.Dropdown(
                options=[(f"{i + 1}: {alt}", i) for i, alt in enumerate(self.alt)],
                description="Image",
                **how,
            ),
            class_name=widgets.Dropdown(options=self._classes(0), description="Class", **how),
            prompt=widgets.Dropdown(
                options=[("partition: who leads", -1), *((f"prompt {n + 1}", n) for n in range(N))],
                description="Show",
                **how,
            ),
            allocation=widgets.Dropdown(
                options=["ot", "uniform", "max", "topk"],
                value=config.allocation,
                description="Allocation",
                **how,
            ),
            epsilon=widgets.FloatLogSlider(
                value=config.epsilon,
                min=min(-3, exponent),
                max=max(1, exponent),
                step=0.05,
                description="Epsilon",
                **how,
            ),
            support=widgets.IntSlider(
                value=config.support or P, min=1, max=P, description="K patches", **how
            ),
            strength=widgets.FloatSlider(
                value=0.7, min=0, max=1, step=0.05, description="Overlay", **how
            ),
        )

    def _classes(self, image: int) -> list[tuple[str, int]]:
        """The image's classes, most probable first."""
        probability = self.probability[image]
        return [
            (f"{self.model.class_names[c]} ({probability[c]:.1%})", c)
            for c in probability.argsort(descending=True).tolist()
        ]

    def _changed(self, change: dict) -> None:
        if change["owner"] is self.controls.image:
            self.controls.class_name.options = self._classes(change["new"])
        self._draw()

    @torch.no_grad()
    def _draw(self) -> None:
        image, c, prompt, allocation, epsilon, support, strength = (
            control.value for control in vars(self.controls).values()
        )
        config = self.model.config
        self.controls.epsilon.disabled, self.controls.support.disabled = (
            allocation != "ot",
            allocation == "topk",
        )
        self.alignment = align(
            self.patches[image : image + 1],
            self.prompts[c : c + 1],
            allocation=allocation,
            epsilon=epsilon,
            support=support,
            top_k=config.top_k,
            divide_by_prompts=config.divide_by_prompts,
            solver=self.model.solver,
        )
        plan = (
            self.alignment.on_grid(self.patches.shape[1])[0, 0]
            .T.unflatten(-1, self.grid)
            .cpu()
            .numpy()
        )  # (N, h, w)
        drawn = overlay(self.shown[image], plan, None if prompt < 0 else prompt, strength)
        name = self.model.class_names[c]
        alt = f"{self.alt[image]}: {'the prompt that leads each patch' if prompt < 0 else f'mass of prompt {prompt + 1}'}, class {name}"
        self.view.value = (
            f'<div class="sotglp-inspector" data-ready><style>{asset("inspector.css")}</style><div class="panel">'
            f'<img alt="{html.escape(alt)}" src="{data_uri(drawn)}" width="{SIDE}" height="{SIDE}">'
            f'<div class="side">{_numbers(self.alignment)}{_heaviest(plan)}</div></div></div>'
        )


def _numbers(alignment: Alignment) -> str:
    plan = alignment.plan[0, 0]  # (K, N)
    K, N = plan.shape
    led, rows, columns = assignment(plan), plan.sum(1), plan.sum(0)
    overlap = f"{float(prompt_overlap(plan)):.4f}" if N > 1 else "one prompt only"
    return table(
        "The plan",
        ["", "value"],
        [
            ("local score u", f"{float(alignment.score):.4f}"),
            ("entropy ratio H(P) / log KN", f"{float(entropy_ratio(plan)):.4f}"),
            ("overlap of the prompts", overlap),
            (
                f"mass of a patch (1/K = {1 / K:.4g})",
                f"{float(rows.min()):.4g} to {float(rows.max()):.4g}",
            ),
        ],
    ) + table(
        f"The prompts (1/N = {1 / N:.4g})",
        ["prompt", "mass", "patches led"],
        [(n + 1, f"{float(columns[n]):.4f}", int((led == n).sum())) for n in range(N)],
    )


def _heaviest(plan: np.ndarray) -> str:
    N, h, w = plan.shape
    masses = plan.reshape(N, -1).T  # (P, N)
    order = [p for p in (-masses.sum(1)).argsort(kind="stable")[:HEAVIEST] if masses[p].sum() > 0]
    return table(
        f"The {len(order)} patches of largest mass",
        ["row, column", *(f"prompt {n + 1}" for n in range(N))],
        [(f"{p // w + 1}, {p % w + 1}", *(f"{mass:.4g}" for mass in masses[p])) for p in order],
    )
