"""Out-of-distribution scores, higher for in-distribution images, and the metrics of detection.

scikit-learn, which takes a second to import, is imported where metrics are computed: a prediction
needs none.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..method.model import Prediction
from ..transport.sinkhorn import widened

SCORES = ("MCM", "L-MCM", "GL-MCM", "MaxLogit", "Energy", "Entropy")


def scores(prediction: Prediction) -> dict[str, Tensor]:
    """Every score of :data:`SCORES`, (B,) float64 each."""
    of_image, of_patches = mcm(prediction.similarity), l_mcm(prediction.patch_similarity)
    of_logits = [score(prediction.logits) for score in (max_logit, energy, negative_entropy)]
    return dict(zip(SCORES, (of_image, of_patches, of_image + of_patches, *of_logits)))


def mcm(similarity: Tensor, *, tau: float = 1.0) -> Tensor:
    """max_c softmax(g / tau)_c, maximum concept matching.

    :param similarity: (B, C) cosines of the image with the classes.
    :param tau: temperature; 1 is the literature's.
    :return: (B,) float64.

    Source: Ming et al., NeurIPS 2022 (arXiv 2211.13445).
    """
    return (widened(similarity) / tau).softmax(-1).amax(-1)


def l_mcm(patch_similarity: Tensor) -> Tensor:
    """max_{p,c} softmax_c(s_p)_c = max_p 1 / sum_c exp(s_pc - max_c' s_pc').

    The exponentials have the cosines' dtype, their sum is in float64.

    :param patch_similarity: (B, C, P) cosines of the patches with the classes; over a temperature,
        if it is another than the literature's 1.
    :return: (B,) float64.

    Source: Miyai et al., GL-MCM (arXiv 2304.04521).
    """
    totals = []
    for cosines in patch_similarity:  # one image at a time, (C, P), to bound the memory
        below_best = cosines - cosines.amax(0)
        totals.append(widened(below_best.exp()).sum(0).amin())
    return 1 / torch.stack(totals)


def gl_mcm(similarity: Tensor, patch_similarity: Tensor) -> Tensor:
    """MCM + L-MCM.

    :param similarity: (B, C).
    :param patch_similarity: (B, C, P).
    :return: (B,) float64.

    Source: Miyai et al., GL-MCM (arXiv 2304.04521).
    """
    return mcm(similarity) + l_mcm(patch_similarity)


def max_logit(logits: Tensor) -> Tensor:
    """max_c l_c, of (B, C) logits: (B,) float64.

    Source: Hendrycks et al., ICML 2022 (arXiv 1911.11132).
    """
    return widened(logits).amax(-1)


def energy(logits: Tensor) -> Tensor:
    """log sum_c exp(l_c), of (B, C) logits: (B,) float64.

    Source: Liu et al., NeurIPS 2020 (arXiv 2010.03759).
    """
    return widened(logits).logsumexp(-1)


def negative_entropy(logits: Tensor) -> Tensor:
    """sum_c p_c log p_c with p = softmax(l), of (B, C) logits: (B,) float64."""
    log_p = widened(logits).log_softmax(-1)
    return (log_p.exp() * log_p).sum(-1)


def auroc(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """P(ID > OOD) + P(ID = OOD) / 2.

    :param id_scores: (n,) of in-distribution images, the positive class.
    :param ood_scores: (m,) of OOD images; scores may be infinite.
    :raises ValueError: if either is empty or holds a NaN.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*_ranked(id_scores, ood_scores)))


def aupr(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """Average precision, sum_i (R_i - R_{i-1}) P_i, with in-distribution as the positive class.

    :raises ValueError: if either is empty or holds a NaN.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*_ranked(id_scores, ood_scores)))


def fpr_at_recall(
    id_scores: ArrayLike, ood_scores: ArrayLike, recall: float = 0.95, *, ood_positive: bool = False
) -> float:
    """Fraction of OOD accepted at the highest threshold that accepts ``recall`` of ID or more.

    So it is in MCM, LoCoOp and GalLoP, where in-distribution is the positive class.

    :param ood_positive: the fraction of ID flagged at the first threshold that flags ``recall`` of
        OOD or more: so it is in OpenOOD v1.5 and pytorch-ood.
    :raises ValueError: if either is empty or holds a NaN, or on a recall outside (0, 1].
    """
    from sklearn.metrics import roc_curve

    if not 0 < recall <= 1:
        raise ValueError(f"recall is {recall}; give a fraction above 0 and at most 1, such as 0.95")
    truth, ranks = _ranked(id_scores, ood_scores)
    if ood_positive:
        truth, ranks = 1 - truth, -ranks
    fpr, tpr, _ = roc_curve(truth, ranks, drop_intermediate=False)
    return float(fpr[np.argmax(tpr >= recall - 1e-9)])


def metrics(id_scores: ArrayLike, ood_scores: ArrayLike) -> dict[str, float]:
    """AUROC, AUPR and FPR95 in both conventions, as fractions.

    :raises ValueError: if either is empty or holds a NaN.
    """
    return {
        "auroc": auroc(id_scores, ood_scores),
        "aupr": aupr(id_scores, ood_scores),
        "fpr95": fpr_at_recall(id_scores, ood_scores),
        "fpr95_ood_positive": fpr_at_recall(id_scores, ood_scores, ood_positive=True),
    }


def _ranked(id_scores: ArrayLike, ood_scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Truth (1: in-distribution), and ranks in place of scores: infinite ones have a rank, too."""
    both = (x.cpu() if isinstance(x, Tensor) else x for x in (id_scores, ood_scores))
    pair = [np.asarray(x, np.float64) for x in both]
    sizes, values = [*map(len, pair)], np.concatenate(pair)
    if 0 in sizes or np.isnan(values).any():
        raise ValueError(
            "scores are empty or hold a NaN; check the images and the features they come from"
        )
    return np.repeat([1, 0], sizes), np.unique(values, return_inverse=True)[1]
