"""Judge a model: accuracy, calibration, out-of-distribution detection, and how its prompts share the patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import Images
from ..data.features import Features, encode
from ..distributed import Processes
from ..messages import progress_bar
from ..method.model import SOTGLP
from . import ood as scores
from .partition import effective_prompts, entropy_ratio, prompt_overlap


@dataclass(frozen=True)
class Outputs:
    """What a model says of a set of images, image by image, on the CPU."""

    logits: Tensor  # (n, C)
    scores: dict[str, Tensor]  # name -> (n,) float64, higher: more in-distribution
    partition: dict[
        str, Tensor
    ]  # name -> (n,), of the predicted class's plan; empty without local prompts


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one model on one task; every number a fraction."""

    accuracy: float
    calibration_error: float
    ood: dict[str, dict[str, dict[str, float]]]  # set (and "mean") -> score -> metric
    partition: dict[str, float]
    outputs: Outputs
    ood_outputs: dict[str, Outputs]
    shifts: dict[str, float] = field(
        default_factory=dict
    )  # set -> accuracy among the classes that it has

    def to_dict(self) -> dict:
        """The metrics, without the outputs, ready for JSON."""
        return {
            "accuracy": self.accuracy,
            "calibration_error": self.calibration_error,
            "shifts": self.shifts,
            "ood": self.ood,
            "partition": self.partition,
        }


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
    """Logits, every score of :data:`sotglp_core.judging.ood.SCORES`, and the partition metrics of each image.

    :param accelerator: an ``accelerate.Accelerator``: its processes share images and prompts, and each has all rows, none twice.
    :raises ValueError: if there is no image, or fewer than processes.
    """
    model.eval()
    processes, number = Processes(accelerator), len(images)
    if number < processes.number:
        raise ValueError(
            f"the set {description!r} has {number or 'no'} images"
            + (
                f", too few for {processes.number} processes"
                if number
                else "; leave it out, or add some"
            )
        )
    progress = progress and processes.rank == 0
    images = (
        images.subset(range(number)[processes.shard(number)]) if processes.number > 1 else images
    )
    features = encode(
        model.backbone,
        images,
        shared_first_block=model.config.shared_first_block,
        progress=progress,
        description=f"encode {description}",
    )
    text, rows = model.text_features(processes.encode_sharded), []
    for start in progress_bar(
        range(0, len(features), batch_size), desc=description, unit="batch", show=progress
    ):
        index = slice(start, start + batch_size)
        p = model(features.batch(index, model.backbone.device), text)
        row = {
            "logits": p.logits,
            **{
                name: score(p.similarity, p.patch_similarity, p.logits)
                for name, score in scores.SCORES.items()
            },
        }
        if p.alignment is not None:
            plan = p.alignment.plan[
                torch.arange(len(p.logits)), p.logits.argmax(-1)
            ].double()  # (B, K, N)
            row |= {
                "effective_prompts": effective_prompts(plan),
                "entropy_ratio": entropy_ratio(plan),
            }
            row |= {"prompt_overlap": prompt_overlap(plan)} if plan.shape[-1] > 1 else {}
        rows.append(row)
    columns = {
        key: processes.gather(torch.cat([row[key] for row in rows]), number).cpu()
        for key in rows[0]
    }
    return Outputs(
        columns.pop("logits"), {name: columns.pop(name) for name in scores.SCORES}, columns
    )


def evaluate(
    model: SOTGLP,
    test: Images | Features,
    ood: Mapping[str, Images | Features] | None = None,
    shifts: Mapping[str, Images | Features] | None = None,
    *,
    progress: bool = True,
    accelerator: Any = None,
) -> Evaluation:
    """Top-1 accuracy, expected calibration error, and AUROC, AUPR and FPR95 of every score against every OOD set.

    :param test: in-distribution images with labels.
    :param ood: sets of images that belong to no class; "mean" in the result is the plain mean over them.
    :param shifts: other labelled images; where a set has only some of the classes (ImageNet-A and -R, say), the answer is the
        best of those, as in CoOp's evaluation.
    :param accelerator: as in :func:`outputs`.
    :raises ValueError: if there are no test images, or a label is outside the classes.
    """
    settings = {"progress": progress, "accelerator": accelerator}
    shifts = shifts or {}
    labels, others = (
        _labels(model, test),
        {name: _labels(model, images) for name, images in shifts.items()},
    )
    inside = outputs(model, test, description="test", **settings)
    outside = {
        name: outputs(model, images, description=name, **settings)
        for name, images in (ood or {}).items()
    }
    table = {
        name: {
            score: scores.metrics(inside.scores[score], out.scores[score])
            for score in scores.SCORES
        }
        for name, out in outside.items()
    }
    if table:
        table["mean"] = {
            score: {
                metric: float(np.mean([row[score][metric] for row in table.values()]))
                for metric in next(iter(table.values()))[score]
            }
            for score in scores.SCORES
        }
    accuracy = float((inside.logits.argmax(-1) == labels).double().mean())
    shifted = {}
    for name, images in shifts.items():
        truth = others[name]
        present = truth.unique()
        answer = present[
            outputs(model, images, description=name, **settings).logits[:, present].argmax(-1)
        ]
        shifted[name] = float((answer == truth).double().mean())
    return Evaluation(
        accuracy,
        calibration_error(inside.logits, labels),
        table,
        {name: float(value.mean()) for name, value in inside.partition.items()},
        inside,
        outside,
        shifted,
    )


def _labels(model: SOTGLP, images: Images | Features) -> Tensor:
    labels = torch.as_tensor(images.labels)
    if len(labels) == 0 or not bool(((labels >= 0) & (labels < len(model.class_names))).all()):
        raise ValueError(
            f"evaluation needs images labelled 0 to {len(model.class_names) - 1}; this set has {len(labels)} images"
            + (f" with labels {int(labels.min())} to {int(labels.max())}" if len(labels) else "")
        )
    return labels


def calibration_error(logits: Tensor, labels: Tensor, *, bins: int = 15) -> float:
    """sum_i |bin i| / n * |accuracy_i - confidence_i| over equal-width bins of the largest probability.

    Source: Guo et al., ICML 2017 (arXiv 1706.04599).
    """
    confidence, predicted = logits.double().softmax(-1).max(-1)
    right = (predicted == labels).double()
    bin_of = (confidence * bins).long().clamp_max(bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add(0, bin_of, confidence - right)
    return float(gap.abs().sum() / len(labels))
