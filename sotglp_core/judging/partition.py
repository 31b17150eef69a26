"""How a class's prompts divide its patches: do they look at different places, at parts?"""

import math

import torch
from torch import Tensor


def sharing(plan: Tensor) -> dict[str, Tensor]:
    """How evenly the prompts share the patches: the three measures below, (...) each.

    :param plan: (..., K, N); of a single prompt there is no overlap.
    """
    measures = {"effective_prompts": effective_prompts(plan), "entropy_ratio": entropy_ratio(plan)}
    if plan.shape[-1] > 1:
        measures["prompt_overlap"] = prompt_overlap(plan)
    return measures


def prompt_overlap(plan: Tensor) -> Tensor:
    """Mean over pairs of prompts of sum_k min(p_k|n, p_k|m).

    0: disjoint patches; 1: the same patches in the same proportions.

    :param plan: (..., K, N), N >= 2; p_k|n is a column divided by its sum.
    :return: (...), NaN for a single prompt.
    """
    columns = plan / plan.sum(-2, keepdim=True).clamp_min(torch.finfo(plan.dtype).tiny)
    n, m = torch.triu_indices(plan.shape[-1], plan.shape[-1], 1, device=plan.device)
    return torch.minimum(columns[..., n], columns[..., m]).sum(-2).mean(-1)


def effective_prompts(plan: Tensor) -> Tensor:
    """exp(H(w)), w the fractions of the patches that each prompt leads: from 1 to N.

    :param plan: (..., K, N); a patch is led by the prompts of its largest mass, ties count in part.
    :return: (...).
    """
    leads = ((plan == plan.amax(-1, keepdim=True)) & (plan > 0)).to(plan.dtype)
    of_prompt = (leads / leads.sum(-1, keepdim=True).clamp_min(1)).sum(-2)  # (..., N) patches
    w = of_prompt / of_prompt.sum(-1, keepdim=True).clamp_min(1)
    return torch.special.entr(w).sum(-1).exp()


def entropy_ratio(plan: Tensor) -> Tensor:
    """H(P) / log(K N): 1 for the uniform plan, 0 where one entry of several has all mass.

    :param plan: (..., K, N), total mass 1.
    :return: (...).
    """
    entropy = torch.special.entr(plan).sum((-2, -1))
    return entropy / math.log(max(2, plan.shape[-1] * plan.shape[-2]))


def assignment(plan: Tensor) -> Tensor:
    """The prompt of the largest mass for each patch, -1 where no prompt has any: (..., K) int64."""
    best = plan.max(-1)
    return best.indices.where(best.values > 0, -1)


def purity(prompts: Tensor, parts: Tensor) -> float:
    """sum_n max_p |prompt n and part p| / total: patches that are of their prompt's commonest part.

    :param prompts: (n,) int64 prompts of all patches of a class; negative: not assigned, left out.
    :param parts: (n,) int64 true parts.
    """
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(*_assigned(prompts, parts))
    return float(table.max(1).sum() / table.sum())


def normalised_mutual_information(prompts: Tensor, parts: Tensor) -> float:
    """I(prompt; part) / mean(H(prompt), H(part)): 0 independent, 1 the same partition.

    :param prompts: (n,) int64; negative: not assigned, left out.
    :param parts: (n,) int64.
    :return: 1 where both are constant.
    """
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(*_assigned(prompts, parts)))


def _assigned(prompts: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
    chosen = prompts >= 0
    return prompts[chosen].cpu(), parts[chosen].cpu()
