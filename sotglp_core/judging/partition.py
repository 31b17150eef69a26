"""How a class's prompts share its patches: do they look at different places, and are those places parts?"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def prompt_overlap(plan: Tensor) -> Tensor:
    """Mean over pairs of prompts of sum_k min(p_k|n, p_k|m): 0 disjoint, 1 the same patches in the same proportions.

    :param plan: (..., K, N), N >= 2; p_k|n is a column divided by its sum.
    :return: (...).
    :raises ValueError: for a single prompt.
    """
    columns = plan / plan.sum(-2, keepdim=True).clamp_min(torch.finfo(plan.dtype).tiny)
    n, m = torch.triu_indices(plan.shape[-1], plan.shape[-1], 1, device=plan.device)
    if not len(n):
        raise ValueError("overlap needs at least two prompts")
    return torch.minimum(columns[..., n], columns[..., m]).sum(-2).mean(-1)


def effective_prompts(plan: Tensor) -> Tensor:
    """exp(H(w)) of the prompts' hard shares w: from 1 (one prompt gets every patch) to N.

    :param plan: (..., K, N); a patch counts for the prompts that hold its largest mass, ties shared.
    :return: (...).
    """
    winners = (plan == plan.amax(-1, keepdim=True)) & (plan > 0)
    share = winners.to(plan.dtype) / winners.sum(-1, keepdim=True).clamp_min(1)
    w = share.sum(-2) / share.sum((-2, -1)).clamp_min(1)[..., None]
    return torch.special.entr(w).sum(-1).exp()


def entropy_ratio(plan: Tensor) -> Tensor:
    """H(P) / log(K N): 1 for the uniform plan, 0 where one entry of several has all mass.

    :param plan: (..., K, N), total mass 1.
    :return: (...).
    """
    entries = plan.shape[-1] * plan.shape[-2]
    return (
        torch.special.entr(plan).sum((-2, -1)) / math.log(entries)
        if entries > 1
        else plan.new_ones(plan.shape[:-2])
    )


def assignment(plan: Tensor) -> Tensor:
    """The prompt with the largest mass for each patch, -1 where no prompt has any: (..., K) int64."""
    best = plan.max(-1)
    return best.indices.where(best.values > 0, -1)


def purity(prompts: Tensor, parts: Tensor) -> float:
    """sum_n max_p |prompt n and part p| / total: the share of patches that are of their prompt's commonest part.

    :param prompts: (n,) int64 assignment of patches to prompts, of all images of one class; negatives are left out.
    :param parts: (n,) int64 true part of each patch.
    :raises ValueError: if no patch is assigned.
    """
    table = _contingency(prompts, parts)
    return float(table.amax(1).sum() / table.sum())


def normalised_mutual_information(prompts: Tensor, parts: Tensor) -> float:
    """I(prompt; part) / mean(H(prompt), H(part)): 0 independent, 1 the same partition.

    :param prompts: (n,) int64; negatives are left out.
    :param parts: (n,) int64.
    :return: 1 when both are constant, as in scikit-learn.
    :raises ValueError: if no patch is assigned.
    """
    joint = _contingency(prompts, parts)
    joint = joint / joint.sum()
    rows, columns = joint.sum(1), joint.sum(0)
    entropy_rows, entropy_columns, entropy_joint = (
        torch.special.entr(x).sum() for x in (rows, columns, joint)
    )
    if entropy_rows + entropy_columns == 0:
        return 1.0
    mutual = (entropy_rows + entropy_columns - entropy_joint).clamp_min(0)
    return float(2 * mutual / (entropy_rows + entropy_columns))


def _contingency(prompts: Tensor, parts: Tensor) -> Tensor:
    keep = prompts >= 0
    prompts, parts = prompts[keep].long(), parts[keep].long()
    if not len(prompts):
        raise ValueError("no patch is assigned to a prompt")
    size = int(parts.max()) + 1
    return (
        torch.bincount(prompts * size + parts, minlength=size * (int(prompts.max()) + 1))
        .reshape(-1, size)
        .double()
    )
