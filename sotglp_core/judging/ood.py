"""Out-of-distribution scores (higher: more in-distribution) and the metrics that judge them, all in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def mcm(similarity: Tensor, *, tau: float = 1.0) -> Tensor:
    """max_c softmax(g / tau)_c, maximum concept matching.

    :param similarity: (B, C) cosines of the image with the classes.
    :param tau: temperature; 1 is the literature's.
    :return: (B,) float64.
    :raises ValueError: on empty scores or a NaN.

    Source: Ming et al., NeurIPS 2022 (arXiv 2211.13445).
    """
    return (_checked(similarity) / tau).softmax(-1).amax(-1)


def l_mcm(patch_similarity: Tensor, *, tau: float = 1.0) -> Tensor:
    """max_{p,c} softmax_c(s_p / tau)_c, over all patches.

    :param patch_similarity: (B, C, P) cosines of the patches with the classes.
    :return: (B,) float64.
    :raises ValueError: on empty scores or a NaN.

    Source: Miyai et al., GL-MCM (arXiv 2304.04521).
    """
    return (_checked(patch_similarity) / tau).softmax(-2).amax((-1, -2))


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
    """max_c l_c, for (B, C) logits: (B,) float64. Source: Hendrycks et al., ICML 2022 (arXiv 1911.11132)."""
    return _checked(logits).amax(-1)


def energy(logits: Tensor) -> Tensor:
    """log sum_c exp(l_c), for (B, C) logits: (B,) float64. Source: Liu et al., NeurIPS 2020 (arXiv 2010.03759)."""
    return _checked(logits).logsumexp(-1)


def negative_entropy(logits: Tensor) -> Tensor:
    """sum_c p_c log p_c with p = softmax(l), for (B, C) logits: (B,) float64."""
    log_p = _checked(logits).log_softmax(-1)
    return (log_p.exp() * log_p).sum(-1)


Scores = Tensor | np.ndarray
SCORES: dict[
    str, Callable[[Tensor, Tensor, Tensor], Tensor]
] = {  # of (similarity, patch_similarity, logits)
    "MCM": lambda g, s, l: mcm(g),
    "L-MCM": lambda g, s, l: l_mcm(s),
    "GL-MCM": lambda g, s, l: gl_mcm(g, s),
    "MaxLogit": lambda g, s, l: max_logit(l),
    "Energy": lambda g, s, l: energy(l),
    "Entropy": lambda g, s, l: negative_entropy(l),
}


def auroc(inside: Scores, outside: Scores) -> float:
    """P(inside > outside) + P(inside = outside) / 2.

    :param inside: (n,) scores of in-distribution images, the positive class.
    :param outside: (m,) scores of out-of-distribution images.
    :raises ValueError: if either is empty or holds a NaN.
    """
    inside, outside = _pair(inside, outside)
    sorted_out = np.sort(outside)
    below, not_above = (
        np.searchsorted(sorted_out, inside, "left"),
        np.searchsorted(sorted_out, inside, "right"),
    )
    return float((below + not_above).mean() / (2 * len(outside)))


def aupr(inside: Scores, outside: Scores) -> float:
    """Average precision with in-distribution as the positive class: sum_i (R_i - R_{i-1}) P_i over the thresholds.

    :raises ValueError: if either is empty or holds a NaN.
    """
    true, false = _counts(*_pair(inside, outside))
    recall = true / true[-1]
    return float((np.diff(recall, prepend=0.0) * true / (true + false)).sum())


def fpr_at_recall(inside: Scores, outside: Scores, recall: float = 0.95) -> float:
    """Share of outside accepted at the first (highest) threshold that accepts at least ``recall`` of inside.

    In-distribution is the positive class: the convention of MCM, LoCoOp and GalLoP.

    :raises ValueError: if either is empty or holds a NaN.
    """
    inside, outside = _pair(inside, outside)
    true, false = _counts(inside, outside)
    first = int(np.argmax(true >= recall * len(inside) - 1e-9))
    return float(false[first] / len(outside))


def fpr_at_recall_ood_positive(inside: Scores, outside: Scores, recall: float = 0.95) -> float:
    """Share of inside flagged at the first threshold that flags at least ``recall`` of outside; errors as above.

    Out-of-distribution is the positive class: the convention of OpenOOD v1.5 and pytorch-ood.
    """
    inside, outside = _pair(inside, outside)
    return fpr_at_recall(-outside, -inside, recall)


def metrics(inside: Scores, outside: Scores) -> dict[str, float]:
    """AUROC, AUPR and FPR95 in both conventions, as fractions.

    :raises ValueError: if either is empty or holds a NaN.
    """
    return {
        "auroc": auroc(inside, outside),
        "aupr": aupr(inside, outside),
        "fpr95": fpr_at_recall(inside, outside),
        "fpr95_ood_positive": fpr_at_recall_ood_positive(inside, outside),
    }


def _counts(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accepted inside and outside at every distinct threshold, from the highest down."""
    scores = np.concatenate([inside, outside])
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    positive = order < len(inside)
    return np.cumsum(positive)[last_of_tie], np.cumsum(~positive)[last_of_tie]


def _checked(scores: Tensor) -> Tensor:
    scores = torch.as_tensor(scores).cpu().double()
    if not scores.numel() or bool(scores.isnan().any()):
        raise ValueError(
            "scores are empty or hold a NaN; check the images and the features that they come from"
        )
    return scores


def _pair(inside: Scores, outside: Scores) -> tuple[np.ndarray, np.ndarray]:
    first, second = (
        _checked(torch.as_tensor(x)).flatten().cpu().numpy() for x in (inside, outside)
    )
    return first, second
