"""The images at the ends of a run: surest right and wrong, least in-distribution, and OOD ones."""

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...data import Images
from ...data.task import Task
from ...judging.evaluation import Evaluation, Outputs
from ...method.model import SOTGLP, TextFeatures

EACH = 4  # images of a kind


class Choice(NamedTuple):
    """Image i of a set."""

    images: Images
    outputs: Outputs
    i: int
    truth: str  # what it shows, in words


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
    outputs, labels = result.outputs, torch.as_tensor(task.test.labels)
    right = outputs.logits.argmax(-1) == labels
    surest = log_odds(outputs.logits).argsort(descending=True, stable=True)
    orders = {
        "right": surest[right[surest]],
        "wrong": surest[~right[surest]],
        "least": outputs.scores[score].argsort(stable=True),
    }
    groups = {
        kind: [
            Choice(task.test, outputs, i, truth=task.class_names[labels[i]])
            for i in order[:EACH].tolist()
        ]
        for kind, order in orders.items()
    }
    outside = [
        (value, Choice(task.ood[name], found, i, truth=f"none of the classes ({name})"))
        for name, found in result.ood_outputs.items()
        for i, value in enumerate(found.scores[score].tolist())
    ]
    outside.sort(key=itemgetter(0), reverse=True)
    groups["ood"] = [choice for _, choice in outside[:EACH]]
    text = model.eval().text_features()
    return {
        kind: shown(model, text, chosen, score=score) for kind, chosen in groups.items() if chosen
    }


def log_odds(logits: Tensor) -> Tensor:
    """l_y - log sum_{c != y} exp(l_c), y = argmax l: log p / (1 - p) of the predicted class.

    In the order of p, and different even where p rounds to 1.

    :param logits: (n, C).
    :return: (n,) float64.
    """
    logits = logits.double()
    best, predicted = logits.max(-1, keepdim=True)
    return best[:, 0] - logits.scatter(-1, predicted, float("-inf")).logsumexp(-1)


def shown(
    model: SOTGLP, text: TextFeatures, chosen: Sequence[Choice], *, score: str
) -> list[Example]:
    """The chosen images, each decoded once, with the plans of the classes they are taken for."""
    pixels = torch.stack([model.backbone.preprocess(c.images[c.i]) for c in chosen])
    logits = torch.stack([c.outputs.logits[c.i] for c in chosen])
    plans: Sequence = [None] * len(chosen)
    if model.config.local_prompts:
        plans = model(pixels, text).plan_on_grid(logits.argmax(-1)).cpu().numpy()
    return [
        Example(
            name="/".join(Path(choice.images.names[choice.i]).parts[-2:]),
            truth=choice.truth,
            image=model.backbone.to_image(image),
            answer=model.class_names[row.argmax()],
            probability=row.double().softmax(-1).max().item(),
            score=choice.outputs.scores[score][choice.i].item(),
            plan=plan,
        )
        for choice, image, row, plan in zip(chosen, pixels, logits, plans)
    ]
