"""The images at the ends of a run: surest right and wrong, least in-distribution, and OOD ones."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ...data import Images
from ...data.task import Task
from ...judging.evaluation import Evaluation, Outputs
from ...method.model import SOTGLP, TextFeatures

EACH = 4  # images of a kind


class Example(NamedTuple):
    """An image to show, and what the model says of it."""

    name: str
    truth: str
    image: Image.Image
    answer: str
    probability: float
    score: float
    plan: np.ndarray | None  # (N, h, w) of the answer's class; None without local prompts

    @property
    def led(self) -> list[int]:
        """How many patches of the support each prompt holds most of."""
        if self.plan is None:
            return []
        supported = self.plan.sum(0) > 0
        return np.bincount(self.plan.argmax(0)[supported], minlength=len(self.plan)).tolist()


@torch.no_grad()
def examples(
    model: SOTGLP, task: Task, result: Evaluation, *, score: str
) -> dict[str, list[Example]]:
    """Up to four images each that are right, wrong, least in-distribution by the score, and OOD."""
    test, labels, text = result.outputs, torch.as_tensor(task.test.labels), model.text_features()
    confidence, predicted = test.logits.double().softmax(-1).max(-1)
    surest = confidence.argsort(descending=True, stable=True)
    right = (predicted == labels)[surest]
    orders = {
        "right": surest[right],
        "wrong": surest[~right],
        "least": test.scores[score].argsort(stable=True),
    }
    shown = {
        kind: [
            example(model, text, task.test, test, i, truth=task.class_names[labels[i]], score=score)
            for i in order[:EACH].tolist()
        ]
        for kind, order in orders.items()
    }
    ranked = sorted(
        (-value, name, i)
        for name, outputs in result.ood_outputs.items()
        for i, value in enumerate(outputs.scores[score].tolist())
    )
    shown["ood"] = [
        example(
            *(model, text, task.ood[name], result.ood_outputs[name], i),
            truth=f"none of the classes ({name})",
            score=score,
        )
        for _, name, i in ranked[:EACH]
    ]
    return {kind: found for kind, found in shown.items() if found}


def example(
    model: SOTGLP,
    text: TextFeatures,
    images: Images,
    outputs: Outputs,
    i: int,
    *,
    truth: str,
    score: str,
) -> Example:
    """Image i of a set, with the plan of the class that it is taken for."""
    pixels = model.backbone.preprocess(images[i])
    probability, best = outputs.logits[i].double().softmax(-1).max(-1)
    plan = None
    if model.config.local_prompts:
        plan = model(pixels[None], text).plan_on_grid(best[None])[0].cpu().numpy()
    return Example(
        name="/".join(Path(images.names[i]).parts[-2:]),
        truth=truth,
        image=model.backbone.to_image(pixels),
        answer=model.class_names[best],
        probability=float(probability),
        score=float(outputs.scores[score][i]),
        plan=plan,
    )
