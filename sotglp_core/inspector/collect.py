"""What a model knows of some images, reduced to what the inspector's page computes with."""

import base64
from collections.abc import Sequence

import torch
from PIL import Image

from ..data.images import Images
from ..figures import overlay
from ..figures.base import data_uri
from ..judging.partition import assignment
from ..method.model import SOTGLP, Prediction, TextFeatures

SIDE = 336  # pixels of a drawing


@torch.no_grad()
def collect(
    model: SOTGLP, images: Sequence[Image.Image] | Images, *, top: int, alt: Sequence[str]
) -> tuple[list[dict], list[dict]]:
    """The page's record of each image, and what stands in its place where no script runs."""
    backbone, names = model.backbone, model.class_names
    stages = {"learned": model.eval()}
    if not model.text_free:  # which can't tell how its prompts started
        stages["initial"] = SOTGLP(backbone, names, model.config).eval()
    texts = {name: stage.text_features() for name, stage in stages.items()}
    labels = getattr(images, "labels", [-1] * len(images))
    parts = images.part_grids().tolist() if hasattr(images, "part_grids") else None
    records, stills = [], []
    for i, label in enumerate(labels):
        pixels = backbone.preprocess(images[i])
        features = backbone.encode_image(pixels[None], dense=model.config.dense)
        learned, image = model(features, texts["learned"]), backbone.to_image(pixels)
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
                "parts": parts and sum(parts[i], []),
                "stages": {
                    name: _numbers(stage(features, texts[name]), texts[name], classes)
                    for name, stage in stages.items()
                },
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
