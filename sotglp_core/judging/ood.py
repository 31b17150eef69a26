"""Out-of-distribution scores, higher for in-distribution images, and the metrics of detection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor

from ..method.model import Prediction

Scores = Tensor | np.ndarray | Sequence[float]
SCORES = ("MCM", "L-MCM", "GL-MCM", "MaxLogit", "Energy", "Entropy")
CHUNK = 2**18  # cosines whose exponentials are in memory at once


def scores(prediction: Prediction) -> dict[str, Tensor]:
    """Every score of :data:`SCORES`, (B,) float64 each.

    :raises ValueError: on an empty batch or a NaN.
    """
    of_image, of_patches = mcm(prediction.similarity), l_mcm(prediction.patch_similarity)
    return {
        "MCM": of_image,
        "L-MCM": of_patches,
        "GL-MCM": of_image + of_patches,
        "MaxLogit": max_logit(prediction.logits),
        "Energy": energy(prediction.logits),
        "Entropy": negative_entropy(prediction.logits),
    }


def mcm(similarity: Tensor, *, tau: float = 1.0) -> Tensor:
    """max_c softmax(g / tau)_c, maximum concept matching.

    :param similarity: (B, C) cosines of the image with the classes.
    :param tau: temperature; 1 is the literature's.
    :return: (B,) float64.
    :raises ValueError: on empty scores or a NaN.

    Source: Ming et al., NeurIPS 2022 (arXiv 2211.13445).
    """
    return (_checked(similarity).double() / tau).softmax(-1).amax(-1)


def l_mcm(patch_similarity: Tensor, *, tau: float = 1.0) -> Tensor:
    """max_{p,c} softmax_c(s_p / tau)_c = max_p 1 / sum_c exp((s_pc - max_c' s_pc') / tau).

    The exponentials are in float32 (or wider, as the cosines are), their sum in float64.

    :param patch_similarity: (B, C, P) cosines of the patches with the classes.
    :return: (B,) float64.
    :raises ValueError: on empty scores or a NaN.

    Source: Miyai et al., GL-MCM (arXiv 2304.04521).
    """
    images = max(1, CHUNK // _checked(patch_similarity)[0].numel())
    parts = []
    for part in patch_similarity.split(images):
        cosines = part.to(torch.promote_types(part.dtype, torch.float32))
        below_best = cosines - cosines.amax(-2, keepdim=True)
        total = (below_best / tau).exp().sum(-2, dtype=torch.float64)  # (b, P)
        parts.append(1 / total.amin(-1))
    return torch.cat(parts)


def gl_mcm(similarity: Tensor, patch_similarity: Tensor, *, tau: float = 1.0) -> Tensor:
    """MCM + L-MCM.

    :param similarity: (B, C).
    :param patch_similarity: (B, C, P).
    :return: (B,) float64.
    :raises ValueError: on empty scores or a NaN.

    Source: Miyai et al., GL-MCM (arXiv 2304.04521).
    """
    return mcm(similarity, tau=tau) + l_mcm(patch_similarity, tau=tau)


def max_logit(logits: Tensor) -> Tensor:
    """max_c l_c, of (B, C) logits: (B,) float64.

    Source: Hendrycks et al., ICML 2022 (arXiv 1911.11132).
    """
    return _checked(logits).double().amax(-1)


def energy(logits: Tensor) -> Tensor:
    """log sum_c exp(l_c), of (B, C) logits: (B,) float64.

    Source: Liu et al., NeurIPS 2020 (arXiv 2010.03759).
    """
    return _checked(logits).double().logsumexp(-1)


def negative_entropy(logits: Tensor) -> Tensor:
    """sum_c p_c log p_c with p = softmax(l), of (B, C) logits: (B,) float64."""
    log_p = _checked(logits).double().log_softmax(-1)
    return (log_p.exp() * log_p).sum(-1)


def auroc(id_scores: Scores, ood_scores: Scores) -> float:
    """P(ID > OOD) + P(ID = OOD) / 2.

    :param id_scores: (n,) of in-distribution images, the positive class.
    :param ood_scores: (m,) of OOD images; scores may be infinite.
    :raises ValueError: if either is empty or holds a NaN.
    """
    return float(roc_auc_score(*_ranked(id_scores, ood_scores)))


def aupr(id_scores: Scores, ood_scores: Scores) -> float:
    """Average precision, sum_i (R_i - R_{i-1}) P_i, with in-distribution as the positive class.

    :raises ValueError: if either is empty or holds a NaN.
    """
    return float(average_precision_score(*_ranked(id_scores, ood_scores)))


def fpr_at_recall(id_scores: Scores, ood_scores: Scores, recall: float = 0.95) -> float:
    """Fraction of OOD accepted at the highest threshold that accepts ``recall`` of ID or more.

    In-distribution is the positive class: the convention of MCM, LoCoOp and GalLoP.

    :raises ValueError: if either is empty or holds a NaN, or on a recall outside (0, 1].
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall is {recall}; give a fraction above 0 and at most 1, such as 0.95")
    fpr, tpr, _ = roc_curve(*_ranked(id_scores, ood_scores), drop_intermediate=False)
    return float(fpr[np.argmax(tpr >= recall - 1e-9)])


def fpr_at_recall_ood_positive(
    id_scores: Scores, ood_scores: Scores, recall: float = 0.95
) -> float:
    """Fraction of ID flagged at the first threshold that flags ``recall`` of OOD or more.

    Out-of-distribution is the positive class: the convention of OpenOOD v1.5 and pytorch-ood.

    :raises ValueError: as :func:`fpr_at_recall`.
    """
    return fpr_at_recall(-np.asarray(ood_scores), -np.asarray(id_scores), recall)


def metrics(id_scores: Scores, ood_scores: Scores) -> dict[str, float]:
    """AUROC, AUPR and FPR95 in both conventions, as fractions.

    :raises ValueError: if either is empty or holds a NaN.
    """
    return {
        "auroc": auroc(id_scores, ood_scores),
        "aupr": aupr(id_scores, ood_scores),
        "fpr95": fpr_at_recall(id_scores, ood_scores),
        "fpr95_ood_positive": fpr_at_recall_ood_positive(id_scores, ood_scores),
    }


def _ranked(id_scores: Scores, ood_scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Truth (1: in-distribution), and ranks in place of scores: infinite ones have a rank, too."""
    pair = [_checked(torch.as_tensor(x)).double().flatten().cpu() for x in (id_scores, ood_scores)]
    truth = np.repeat([1, 0], [len(pair[0]), len(pair[1])])
    return truth, np.unique(torch.cat(pair).numpy(), return_inverse=True)[1]


def _checked(values: Tensor) -> Tensor:
    if not values.numel() or bool(values.isnan().any()):
        raise ValueError(
            "scores are empty or hold a NaN; check the images and the features they come from"
        )
    return values
