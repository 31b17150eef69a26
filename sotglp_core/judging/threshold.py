"""Known or unknown: a threshold on an in-distribution score, fitted to held-out images."""

import math
from dataclasses import dataclass

from ..data import Images
from ..data.features import Features
from ..method.model import SOTGLP
from .evaluation import outputs
from .ood import SCORES

ROUNDING = 1e-6  # relative; the score of an image in a batch of another size differs by less


@dataclass(frozen=True)
class OODThreshold:
    """Quantiles of one score over held-out images of the classes."""

    score: str  # a name of sotglp_core.judging.ood.SCORES
    quantiles: tuple[float, ...]  # 101: at most j % of the scores are below the j-th
    images: int
    source: str  # where the images came from, in words

    def __post_init__(self) -> None:
        ascending = tuple(sorted(filter(math.isfinite, self.quantiles)))
        object.__setattr__(self, "quantiles", tuple(self.quantiles))  # a list, from a file
        whole = self.quantiles == ascending and len(ascending) == 101
        if not (self.score in SCORES and whole and self.images):
            raise ValueError(
                "an OOD threshold needs the name of a score and 101 ascending, finite quantiles "
                "of it; fit it again"
            )

    def at(self, tpr: float) -> float:
        """The largest threshold that at least ``tpr`` of the held-out images reach.

        Between whole per cents it is that of the next one up, and in all cases lower by a relative
        1e-6, so that rounding makes no known image unknown. Images that reach it are known.

        :param tpr: true-positive rate, the fraction of in-distribution images to call known.
        :raises ValueError: if it is not between 0 and 1.
        """
        if not 0 < tpr < 1:
            raise ValueError(f"the true-positive rate is {tpr}; give one between 0 and 1, say 0.95")
        quantile = self.quantiles[math.floor(100 * (1 - tpr) + 1e-9)]
        return quantile - ROUNDING * abs(quantile)


def fit_threshold(
    model: SOTGLP, images: Images | Features, *, source: str, progress: bool = True
) -> OODThreshold:
    """q_j = s_(floor(j n / 100)), of ascending scores s_0 ... s_(n-1); the last is the maximum.

    :param model: its score is GL-MCM, or MCM where it has no local prompts.
    :param images: of the model's classes; not those that it learned from, which score too high.
    :param source: where they came from, for the record.
    :raises ValueError: if there is no image.
    """
    score = score_of(model)
    seen = outputs(model, images, description="threshold", progress=progress)
    ascending = sorted(seen.scores[score].tolist())
    n = len(ascending)
    quantiles = tuple(ascending[min(j * n // 100, n - 1)] for j in range(101))
    return OODThreshold(score, quantiles, n, source)


def score_of(model: SOTGLP) -> str:
    """The name of the score that tells known from unknown."""
    return "GL-MCM" if model.config.local_prompts else "MCM"
