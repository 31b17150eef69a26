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
    local_logits = prediction.local_logits
    if config.local_loss == "by_prompt":
        local_logits = prediction.prompt_logits
    loss = prompt_loss(
        prediction.global_logits, local_logits, labels, local_weight=config.local_weight
    )
    if config.entropy_weight:
        rank = config.entropy_rank or max(1, prediction.logits.shape[1] // 5)
        entropy = irrelevant_patch_entropy(prediction.patch_logits, labels, rank=rank)
        loss = loss + config.entropy_weight * entropy
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
    :param local_logits: (B, C) scale times the local score; (B, C, N) for the mean of one
        cross-entropy a prompt, as in GalLoP; or None.
    :param labels: (B,) int64.
    :param local_weight: lambda.
    :return: scalar.
    """
    total = labels.new_zeros((), dtype=torch.float32)
    if global_logits is not None:
        total = total + cross_entropy(global_logits, labels)
    if local_logits is not None:
        if local_logits.dim() == 3:
            labels = labels[:, None].expand(-1, local_logits.shape[-1])
        total = total + local_weight * cross_entropy(local_logits, labels)
    return total


def irrelevant_patch_entropy(patch_logits: Tensor, labels: Tensor, *, rank: int) -> Tensor:
    """mean sum_c p log(p + 1e-5), p = softmax_c(l_bp), over the patches without the true class
    among their ``rank`` most likely ones.

    Minimised, it leaves patches of the background undecided between the classes.

    :param patch_logits: (B, P, C).
    :param labels: (B,) int64.
    :param rank: number of classes; 200 of ImageNet's 1,000 in LoCoOp.
    :return: scalar; 0 when every patch is relevant.

    Source: LoCoOp (Miyai et al., arXiv 2306.01293), eq. 6 and 7.
    """
    of_label = patch_logits.gather(-1, labels[:, None, None].expand(-1, patch_logits.shape[1], 1))
    above = (patch_logits > of_label).sum(-1)  # (B, P)
    irrelevant = above >= rank
    p = patch_logits.softmax(-1)
    negative_entropy = (p * (p + 1e-5).log()).sum(-1)  # (B, P)
    return (negative_entropy * irrelevant).sum() / irrelevant.sum().clamp_min(1)
