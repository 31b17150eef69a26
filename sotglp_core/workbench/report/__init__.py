"""A run as one page that stands alone: numbers, curves, confusions, calibration, OOD, images."""

import base64
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from ... import figures
from ...data.task import Task
from ...figures.base import data_uri
from ...judging.evaluation import Evaluation
from ...judging.ood import SCORES
from ...judging.threshold import score_of
from ...learning.checkpoint import Epoch
from ...messages import printable
from ...method.model import SOTGLP
from ...storage import write_text

PAIRS = 20  # most confused pairs that are listed
EACH = 4  # images of a kind


def write_report(
    path: str | Path,
    model: SOTGLP,
    task: Task,
    result: Evaluation,
    history: Sequence[Epoch],
    record: Mapping,
) -> None:
    """Write the page, atomically; the model sees only the dozen images that are shown.

    Every value in it is shown as text, unless the template made it.

    :param result: of this model on this task's test, OOD and shifted images.
    :param history: what ``fit`` returned; empty where nothing was learned.
    :param record: what else to show under "How this was made": ``command``, other values, and
        mappings of values, each as a table of its own; ``settings`` and ``backbone`` are those of
        the model unless they are given.
    :raises ValueError: if an image to be shown can't be read, or the file can't be written.
    """
    pages = Environment(
        loader=PackageLoader("sotglp_core.workbench", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    pages.filters |= {
        "data_uri": data_uri,
        "digest": digest,
        "json": partial(json.dumps, default=str),
        "printable": printable,
    }
    confidence, predicted = (x.numpy() for x in result.outputs.logits.double().softmax(-1).max(-1))
    page = pages.get_template("report.html.j2").render(
        title=f"{model.config.preset} on {Path(task.name).name or task.name}",
        figures=figures,
        model=model.eval(),
        task=task,
        result=result,
        history=history,
        score=score_of(model),
        scores=list(SCORES),
        examples=examples(model, task, result, confidence, predicted),
        record={"settings": model.config.to_dict(), "backbone": model.backbone.record, **record},
        **numbers(task, confidence, predicted),
    )
    write_text(path, page)


def digest(content: str) -> str:
    """What a Content-Security-Policy knows a style or a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def numbers(task: Task, confidence: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """What the template shows beside the result itself, by the names that it uses.

    Tables are rows that begin with their heading, percentages as floats.

    :param confidence: (n,) largest probability of each test image.
    :param predicted: (n,) its class.
    """
    labels, names = task.test.labels, task.class_names
    correct, classes = predicted == labels, range(len(names))
    precision, recall, _, tested = precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=np.nan
    )
    both = zip(labels.tolist(), predicted.tolist())
    mistakes = Counter((i, j) for i, j in both if i != j).most_common()
    rivals = {i: f"{names[j]} ({number})" for (i, j), number in reversed(mistakes)}
    learned = np.bincount(task.train.labels, minlength=len(names))
    rows = zip(names, learned, tested, 100 * recall, 100 * precision)
    return {
        "counts": confusion_matrix(labels, predicted, labels=classes),
        "confidence": confidence,
        "correct": correct,
        "interval": binomtest(correct.sum(), len(correct)).proportion_ci(0.95, "wilson"),
        "classes": [(*row, rivals.get(i, "none")) for i, row in enumerate(rows)],
        "pairs": [
            (names[i], names[j], number, 100 * number / tested[i])
            for (i, j), number in mistakes[:PAIRS]
        ],
    }


@torch.no_grad()
def examples(
    model: SOTGLP, task: Task, result: Evaluation, confidence: np.ndarray, predicted: np.ndarray
) -> dict[str, list[dict[str, Any]]]:
    """The images at the ends of a run, up to four each: the surest that are right and wrong, the
    least in-distribution ones by the score, and OOD ones.

    :param confidence: as in :func:`numbers`.
    :return: kind -> what the template shows of each. ``plan`` is an (N, h, w) array of the class
        that the image is taken for, None without local prompts; ``led`` how many patches of the
        support each prompt holds most of.
    """
    test, text, names = result.outputs, model.text_features(), task.class_names
    score, found = score_of(model), defaultdict(list)
    surest = np.argsort(-confidence, kind="stable")
    right = (predicted == task.test.labels)[surest]
    orders = {
        "right": surest[right],
        "wrong": surest[~right],
        "least": test.scores[score].argsort(stable=True),
    }
    chosen = [
        (kind, task.test, test, i, names[task.test.labels[i]])
        for kind, order in orders.items()
        for i in order[:EACH].tolist()
    ]
    ranked = sorted(
        (-value, name, i)
        for name, outputs in result.ood_outputs.items()
        for i, value in enumerate(outputs.scores[score].tolist())
    )
    chosen += [
        ("ood", task.ood[name], result.ood_outputs[name], i, f"none of the classes ({name})")
        for _, name, i in ranked[:EACH]
    ]
    for kind, images, outputs, i, truth in chosen:
        pixels = model.backbone.preprocess(images[i])
        probability, best = outputs.logits[i].double().softmax(-1).max(-1)
        shown = {
            "name": "/".join(Path(images.names[i]).parts[-2:]),
            "truth": truth,
            "image": model.backbone.to_image(pixels),
            "answer": names[best],
            "probability": float(probability),
            "score": float(outputs.scores[score][i]),
            "plan": None,
        }
        if model.config.local_prompts:
            plan = model(pixels[None], text).plan_on_grid(best[None])[0].cpu().numpy()
            leaders = plan.argmax(0)[plan.sum(0) > 0]
            shown |= {"plan": plan, "led": np.bincount(leaders, minlength=len(plan)).tolist()}
        found[kind].append(shown)
    return found
