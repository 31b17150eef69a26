"""Known or unknown: a threshold on the familiarity score, read off held-out images of the classes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from ..data import Images
from ..data.features import Features
from ..method.model import SOTGLP
from .evaluation import outputs
from .ood import SCORES


@dataclass(frozen=True)
class OODThreshold:
    """Quantiles of one score over held-out images of the classes."""

    score: str  # a name of sotglp_core.judging.ood.SCORES
    quantiles: tuple[
        float, ...
    ]  # 101: the j-th is the largest of the images' own scores that at most j % of them fall below
    images: int
    source: str  # where the images came from, in words

    def __post_init__(self) -> None:
        if (
            self.score not in SCORES
            or len(self.quantiles) != 101
            or not np.isfinite(self.quantiles).all()
            or list(self.quantiles) != sorted(self.quantiles)
            or self.images < 1
        ):
            raise ValueError(
                "an OOD threshold needs the name of a score, 101 ascending finite quantiles of it, and at least one image; "
                "fit it again"
            )

    def at(self, tpr: float) -> float:
        """The largest threshold that keeps at least ``tpr`` of the held-out images; between whole per cents, that of the next one up.

        A new image is called known if its score is at least the threshold.

        :param tpr: share of the classes' own images to keep, the true-positive rate.
        :raises ValueError: if it is not between 0 and 1.
        """
        if not 0 < tpr < 1:
            raise ValueError(
                f"the true-positive rate is {tpr}; give one between 0 and 1, such as 0.95"
            )
        return self.quantiles[math.floor(100 * (1 - tpr) + 1e-9)]

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, given: dict) -> OODThreshold:
        """What :meth:`to_dict` made.

        :raises ValueError: if it is nothing of the kind.
        """
        try:
            values = (
                str(given["score"]),
                tuple(map(float, given["quantiles"])),
                int(given["images"]),
                str(given["source"]),
            )
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"this is no OOD threshold: {type(error).__name__} {error}") from None
        return cls(*values)


def fit_threshold(
    model: SOTGLP, images: Images | Features, *, source: str, progress: bool = True
) -> OODThreshold:
    """q_j = s_(floor(j n / 100)), of the ascending scores s_0 ... s_(n-1) of held-out images; the last is the maximum.

    :param model: its score is GL-MCM, or MCM where it has no local prompts.
    :param images: of the model's classes; not those that it learned from, which it knows too well.
    :param source: where they came from, for the record.
    :raises ValueError: if there is no image.
    """
    score = score_of(model)
    scores = (
        outputs(model, images, description="threshold", progress=progress)
        .scores[score]
        .sort()
        .values
    )
    ranks = [min(j * len(scores) // 100, len(scores) - 1) for j in range(101)]
    return OODThreshold(score, tuple(scores[ranks].tolist()), len(scores), source)


def score_of(model: SOTGLP) -> str:
    """The name of the score that tells known from unknown."""
    return "GL-MCM" if model.config.local_prompts else "MCM"


def threshold_of(model: SOTGLP) -> OODThreshold | None:
    """What the file of a loaded model held; None for other models."""
    return getattr(model, "threshold", None)
