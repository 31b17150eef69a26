"""Evaluate a model: accuracy, calibration, OOD detection, and how prompts share the patches."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import Images
from ..data.features import Features, encode, images_of
from ..distributed import Processes
from ..messages import progress_bar
from ..method.model import SOTGLP
from ..transport.sinkhorn import widened
from .ood import SCORES, metrics, scores
from .partition import sharing


@dataclass(frozen=True)
class Outputs:
    """What a model says of n images, on the CPU."""

    logits: Tensor  # (n, C)
    scores: dict[str, Tensor]  # name -> (n,) float64, higher: more in-distribution
    partition: dict[str, Tensor]  # name -> (n,) of the predicted class; empty without local prompts


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one model on one task; every number is a fraction."""

    accuracy: float
    class_accuracy: dict[str, float]  # of the classes with test images
    calibration_error: float
    ood: dict[str, dict[str, dict[str, float]]]  # set, or "mean" -> score -> metric
    partition: dict[str, float]
    shifts: dict[str, float]  # set -> accuracy among the classes that it has
    outputs: Outputs
    ood_outputs: dict[str, Outputs]

    def to_dict(self) -> dict:
        """The metrics, without the outputs, ready for JSON."""
        return {k: v for k, v in vars(self).items() if not k.endswith("outputs")}


@torch.no_grad()
def outputs(
    model: SOTGLP,
    images: Images | Features,
    *,
    batch_size: int = 64,
    progress: bool = True,
    description: str = "evaluate",
    accelerator: Any = None,
) -> Outputs:
    """Logits, every score of :data:`~sotglp_core.judging.ood.SCORES`, and partition measures.

    :param accelerator: an ``accelerate.Accelerator``: its processes share images and prompts, and
        each returns all rows, none twice.
    :raises ValueError: if there is no image, or fewer than processes.
    """
    model.eval()
    images = images_of(images)
    processes, number = Processes(accelerator), len(images)
    if not number:
        raise ValueError(f"the set {description!r} has no images; leave it out")
    progress = progress and processes.rank == 0
    features = encode(
        model.backbone,
        processes.subset(images),
        dense=model.config.dense,
        progress=progress,
        description=f"encode {description}",
    )
    text = model.text_features(processes.encode_sharded)
    starts = range(0, len(features), batch_size)
    rows = []
    for start in progress_bar(starts, desc=description, unit="batch", show=progress):
        batch = features.batch(slice(start, start + batch_size), model.backbone.device)
        prediction = model(batch, text)
        row = {"logits": prediction.logits, **scores(prediction)}
        if prediction.alignment is not None:
            predicted = prediction.logits.argmax(-1)
            plan = prediction.alignment.plan[torch.arange(len(predicted)), predicted]  # (B, K, N)
            row |= sharing(widened(plan))
        rows.append(row)
    columns = {
        name: processes.gather(torch.cat([row[name] for row in rows]), number).cpu()
        for name in rows[0]
    }
    return Outputs(columns.pop("logits"), {name: columns.pop(name) for name in SCORES}, columns)


def evaluate(
    model: SOTGLP,
    test: Images | Features,
    ood: Mapping[str, Images | Features] | None = None,
    shifts: Mapping[str, Images | Features] | None = None,
    *,
    progress: bool = True,
    accelerator: Any = None,
) -> Evaluation:
    """Accuracy, expected calibration error; AUROC, AUPR and FPR95 by score and OOD set.

    :param test: in-distribution images with labels; as all sets, also a list of Pillow's images or
        a dataset of torchvision's, see :func:`~sotglp_core.data.images.held_images`.
    :param ood: sets of images of none of the classes; "mean" in the result is the mean over them.
    :param shifts: other labelled images; where a set has only some of the classes (ImageNet-A and
        -R, say), the prediction is the best of those, as in CoOp's evaluation.
    :param accelerator: as in :func:`outputs`.
    :raises ValueError: if there are no test images, or a label is outside the classes.
    """
    test, shifts = images_of(test), {name: images_of(x) for name, x in (shifts or {}).items()}
    labels = labels_of(model, test)
    truths = {name: labels_of(model, images) for name, images in shifts.items()}
    run = partial(outputs, model, progress=progress, accelerator=accelerator)
    inside = run(test, description="test")
    outside = {name: run(images, description=name) for name, images in (ood or {}).items()}
    correct = inside.logits.argmax(-1) == labels
    shifted = {}
    for name, truth in truths.items():
        present = truth.unique()
        best = run(shifts[name], description=name).logits[:, present].argmax(-1)
        shifted[name] = _mean(present[best] == truth)
    return Evaluation(
        accuracy=_mean(correct),
        class_accuracy={
            model.class_names[c]: _mean(correct[labels == c]) for c in labels.unique().tolist()
        },
        calibration_error=calibration_error(inside.logits, labels),
        ood=_detection(inside, outside),
        partition={name: _mean(value) for name, value in inside.partition.items()},
        shifts=shifted,
        outputs=inside,
        ood_outputs=outside,
    )


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def _detection(inside: Outputs, outside: dict[str, Outputs]) -> dict:
    table = {
        name: {score: metrics(inside.scores[score], out.scores[score]) for score in SCORES}
        for name, out in outside.items()
    }
    if outside:
        rows = list(table.values())
        table["mean"] = {
            score: {name: float(np.mean([row[score][name] for row in rows])) for name in names}
            for score, names in rows[0].items()
        }
    return table


def labels_of(model: SOTGLP, images: Images | Features) -> Tensor:
    """(n,) int64 labels of images of the model's classes, on the CPU.

    :raises ValueError: if there is no image, or a label is outside the classes.
    """
    labels, classes = torch.as_tensor(images.labels).cpu(), len(model.class_names)
    if not len(labels) or labels.min() < 0 or labels.max() >= classes:
        found = f"labelled {labels.min()} to {labels.max()}" if len(labels) else "none at all"
        raise ValueError(
            f"give images labelled 0 to {classes - 1}, as the model's classes; there are {found}"
        )
    return labels


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """sum_i |bin i| / n * |accuracy_i - confidence_i|, 15 bins of equal width by confidence.

    :param logits: (n, C); the confidence is the largest probability.
    :param labels: (n,) int64.

    Source: Guo et al., ICML 2017 (arXiv 1706.04599).
    """
    confidence, predicted = logits.double().softmax(-1).max(-1)
    gap = confidence - (predicted == labels).double()
    by_bin, _ = np.histogram(confidence, bins=15, range=(0, 1), weights=gap)
    return float(np.abs(by_bin).sum() / len(labels))
