"""The numbers of a report. Tables are rows that begin with their heading, percentages as floats."""

from collections import Counter
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from ...data.task import Task
from ...judging.evaluation import Evaluation
from ...judging.ood import SCORES

PAIRS = 20  # most confused pairs that are listed


def numbers(task: Task, result: Evaluation) -> dict[str, Any]:
    """What the template shows beside the result itself, by the names that it uses."""
    confidence, predicted = (x.numpy() for x in result.outputs.logits.double().softmax(-1).max(-1))
    labels, names = task.test.labels, task.class_names
    correct, classes = predicted == labels, range(len(names))
    options = {"labels": classes, "zero_division": np.nan}
    precision, recall, _, tested = precision_recall_fscore_support(labels, predicted, **options)
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
        "scores": list(SCORES),
    }
