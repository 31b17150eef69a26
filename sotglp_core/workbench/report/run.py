"""A run and what its answers amount to, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from ...data.task import Task
from ...judging.evaluation import Evaluation
from ...judging.threshold import score_of
from ...learning.state import Epoch
from ...method.model import SOTGLP


@dataclass(frozen=True)
class Run:
    """What a report is about."""

    model: SOTGLP
    task: Task
    result: Evaluation
    history: Sequence[Epoch]
    record: Mapping

    @property
    def preset(self) -> str:
        return self.model.config.preset

    @property
    def score(self) -> str:
        """The name of the score that tells how familiar an image is."""
        return score_of(self.model)

    @property
    def names(self) -> tuple[str, ...]:
        return self.model.class_names

    @cached_property
    def labels(self) -> np.ndarray:
        return np.asarray(self.task.test.labels)

    @cached_property
    def predicted(self) -> np.ndarray:
        return self.result.outputs.logits.argmax(-1).numpy()

    @cached_property
    def odds(self) -> np.ndarray:
        """log p / (1 - p) of the predicted class, (n,): in the order of p, and apart even where p rounds to 1."""
        return log_odds(self.result.outputs.logits)

    @cached_property
    def counts(self) -> np.ndarray:
        """(C, C) test images, true class by predicted class."""
        classes = len(self.names)
        return np.bincount(self.labels * classes + self.predicted, minlength=classes**2).reshape(
            classes, classes
        )


def log_odds(logits: Tensor) -> np.ndarray:
    """l_y - log sum_{c != y} exp(l_c) for y = argmax l, of (n, C) logits: (n,) float64."""
    best = logits.argmax(-1, keepdim=True)
    rest = logits.scatter(-1, best, float("-inf")).logsumexp(-1)
    return (logits.gather(-1, best)[:, 0] - rest).double().numpy()


def probability(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
