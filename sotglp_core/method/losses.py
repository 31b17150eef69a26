"""What training minimises; a new term is a function here, and its weight a setting."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..config import Config
from .model import Prediction


def training_loss(prediction: Prediction, labels: Tensor, config: Config) -> Tensor:
    """L = CE(s g, y) + lambda CE(s u, y) + mu L_entropy, of the terms that the settings ask for.

    :param labels: (B,) int64.
    :return: scalar.
    """
    loss = prompt_loss(
        prediction.global_logits, prediction.local_logits, labels, local_weight=config.local_weight
    )
    if config.entropy_weight:
        loss = loss + config.entropy_weight * irrelevant_patch_entropy(
            prediction.patch_logits, labels, rank=config.entropy_rank
        )
    return loss


def prompt_loss(
    global_logits: Tensor | None,
    local_logits: Tensor | None,
    labels: Tensor,
    *,
    local_weight: float = 1.0,
) -> Tensor:
    """L = CE(s g, y) + lambda CE(s u, y), over the branches that exist.

    :param global_logits: (B, C) scale times the mean global cosine, or None.
    :param local_logits: (B, C) scale times the local score, or None.
    :param labels: (B,) int64.
    :param local_weight: lambda.
    :return: scalar.
    """
    total = labels.new_zeros((), dtype=torch.float32)
    if global_logits is not None:
        total = total + cross_entropy(global_logits, labels)
    if local_logits is not None:
        total = total + local_weight * cross_entropy(local_logits, labels)
    return total


def irrelevant_patch_entropy(patch_logits: Tensor, labels: Tensor, *, rank: float) -> Tensor:
    """-mean H(softmax_c(l_bp)) over the patches whose true class ranks below the first rank * C.

    Minimised, it leaves patches of the background undecided between the classes.

    :param patch_logits: (B, P, C).
    :param labels: (B,) int64.
    :param rank: fraction of the classes within which the true class marks a patch as relevant.
    :return: scalar; 0 when every patch is relevant.

    Source: LoCoOp (Miyai et al., arXiv 2306.01293), eq. 6 and 7.
    """
    B, P, C = patch_logits.shape
    of_label = patch_logits.gather(-1, labels[:, None, None].expand(-1, P, 1))
    above = (patch_logits > of_label).sum(-1)  # (B, P)
    irrelevant = above >= max(1, round(rank * C))
    log_p = patch_logits.log_softmax(-1)
    negative_entropy = (log_p.exp() * log_p).sum(-1)  # (B, P)
    return (negative_entropy * irrelevant).sum() / irrelevant.sum().clamp_min(1)
