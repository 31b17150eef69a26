"""The numbers of a report. Tables are rows that begin with their heading, percentages as floats."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from ... import figures
from ...data.task import Task
from ...judging.evaluation import Evaluation
from ...judging.ood import SCORES
from ...messages import printable

PAIRS = 20  # most confused pairs that are listed


def numbers(task: Task, result: Evaluation, score: str) -> dict[str, Any]:
    """What the template shows beside the result itself, by the names that it uses."""
    confidence, predicted = (x.numpy() for x in result.outputs.logits.double().softmax(-1).max(-1))
    labels, classes = task.test.labels, range(len(task.class_names))
    counts = confusion_matrix(labels, predicted, labels=classes)  # true class by predicted class
    correct = predicted == labels
    values = {
        "counts": counts,
        "confidence": confidence,
        "correct": correct,
        "interval": binomtest(correct.sum(), len(correct)).proportion_ci(0.95, "wilson"),
        "classes": class_rows(task, counts),
        "pairs": confused_pairs(task, counts),
        "scores": list(SCORES),
        "shift_rows": shift_rows(task, result),
    }
    if result.ood:
        values["ood_rows"] = {m: ood_rows(task, result, m) for m in ("auroc", "fpr95")}
        values["ood_scores"] = {
            legend(name): outputs.scores[score] for name, outputs in result.ood_outputs.items()
        }
        values["tradeoff"] = tradeoff(result, score)
    return values


def class_rows(task: Task, counts: np.ndarray) -> list[tuple]:
    """Class, training and test images, accuracy, precision, and what it is most often taken for."""
    names, right = task.class_names, counts.diagonal()
    wrong = counts - np.diag(right)
    training = np.bincount(task.train.labels, minlength=len(names))
    with np.errstate(invalid="ignore"):  # 0 / 0 is shown as a dash
        accuracy, precision = 100 * right / counts.sum(1), 100 * right / counts.sum(0)
    mistakes = [
        f"{names[rival]} ({row[rival]})" if row[rival] else "none"
        for row, rival in zip(wrong, wrong.argmax(1))
    ]
    return list(zip(names, training, counts.sum(1), accuracy, precision, mistakes))


def confused_pairs(task: Task, counts: np.ndarray) -> list[tuple]:
    """True class, predicted class, images, and their percentage of the true class."""
    wrong = counts - np.diag(counts.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    return [
        (task.class_names[i], task.class_names[j], wrong[i, j], 100 * wrong[i, j] / counts[i].sum())
        for i, j in zip(*np.unravel_index(order, wrong.shape))
        if wrong[i, j]
    ]


def ood_rows(task: Task, result: Evaluation, metric: str) -> list[tuple]:
    """OOD set, images, and the metric of every score; the mean over several sets comes last."""
    sizes: dict[str, int | None] = {name: len(task.ood[name]) for name in result.ood_outputs}
    if len(sizes) > 1:
        sizes["mean"] = None
    return [
        (name, size, *(100 * result.ood[name][score][metric] for score in SCORES))
        for name, size in sizes.items()
    ]


def shift_rows(task: Task, result: Evaluation) -> list[tuple]:
    """Set, images, classes, accuracy, and its difference from the test images'."""
    sets: dict[str, tuple] = {"test images": (task.test, result.accuracy, None)}
    for name, accuracy in result.shifts.items():
        sets[name] = (task.shifts[name], accuracy, 100 * (accuracy - result.accuracy))
    return [
        (name, len(images), len(np.unique(images.labels)), 100 * accuracy, difference)
        for name, (images, accuracy, difference) in sets.items()
    ]


def tradeoff(result: Evaluation, score: str) -> Figure:
    """The run's accuracy against its mean AUROC, and against that of each of several OOD sets."""
    aurocs = {name: result.ood[name][score]["auroc"] for name in result.ood_outputs}
    points = {"this run": ([result.accuracy], [result.ood["mean"][score]["auroc"]])}
    if len(aurocs) > 1:
        for name, auroc in aurocs.items():
            points[f"on {legend(name)}"] = ([result.accuracy], [auroc])
    figure = figures.tradeoff(points, score=score)
    lowest = min(50, 100 * min(aurocs.values()))
    figure.axes[0].set(xlim=(0, 101), ylim=(lowest - 1, 101), ylabel=f"AUROC of {score}, %")
    return figure


def legend(name: str) -> str:
    """A set's name as matplotlib's legend shows it: no mathematics, and no hidden underscore."""
    name = textwrap.fill(printable(name), 28).replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name
