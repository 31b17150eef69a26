"""Similarity -> support -> plan -> score: how a class's local prompts share the patches of an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .sinkhorn import Transport, sinkhorn


class Alignment(NamedTuple):
    """Everything that losses, scores, figures and the inspector ask of the local branch."""

    patch_similarity: Tensor  # (B, C, P) mean cosine over the class's prompts
    support: Tensor  # (B, C, K) patch indices, most similar first
    similarity: Tensor  # (B, C, K, N) cosines on the support
    plan: Tensor  # (B, C, K, N) mass 1 an image and class, a constant for autograd
    score: Tensor  # (B, C) sum of plan * similarity

    def on_grid(self, patches: int) -> Tensor:
        """The plan spread over all patches: (B, C, P, N), zero off the support."""
        index = self.support[..., None].expand_as(self.plan)
        return self.plan.new_zeros(*self.plan.shape[:2], patches, self.plan.shape[-1]).scatter(2, index, self.plan)


def align(patches: Tensor, prompts: Tensor, *, allocation: str = "ot", support: int | None = 10,
          top_k: tuple[int, ...] = (10,), epsilon: float = 0.1, keep: Tensor | None = None,
          divide_by_prompts: bool = False, differentiable: bool = False, solver: Callable[..., Transport] = sinkhorn) -> Alignment:
    """u_bc = sum_kn P_kn S_kn, with P the allocation's plan over the K support patches and N prompts of each class.

    Allocations: ``ot`` balanced entropic OT between uniform marginals at cost 1 - S; ``uniform`` P = 1/(K N); ``max``
    each patch's mass to its most similar prompt; ``topk`` each prompt's mass to its own most similar patches of all P.

    :param patches: (B, P, D) unit vectors.
    :param prompts: (C, N, D) unit vectors.
    :param support: K, the patches of largest mean cosine over the class's prompts; None: all P, in order.
    :param top_k: patches of each prompt under ``topk``, cycled over the prompts.
    :param epsilon: regularisation of ``ot``.
    :param keep: (B, N) bool, prompts that count in the score (prompt dropout); None: all.
    :param divide_by_prompts: divide the score by N, as the released code does.
    :param differentiable: let gradients flow through the plan of ``ot``; otherwise it is a constant (envelope theorem).
    :param solver: anything with the signature of :func:`sotglp_core.sinkhorn`.
    :return: :class:`Alignment`.
    :raises ValueError: on an unknown allocation or a support larger than the image.

    Source: SOT-GLP (arXiv 2603.08347); ``topk``: GalLoP (arXiv 2407.01400).
    """
    P, N = patches.shape[1], prompts.shape[1]
    if support is not None and support > P:
        raise ValueError(f"support is {support} patches, but an image has {P}; choose at most {P}")
    dense = torch.einsum("bpd,cnd->bcpn", patches, prompts)
    ranking = dense.mean(-1)  # (B, C, P)
    if support is None or allocation == "topk":
        index, similarity = torch.arange(P, device=dense.device).expand_as(ranking), dense
    else:
        index = ranking.detach().topk(support, dim=-1).indices
        similarity = dense.gather(2, index[..., None].expand(-1, -1, -1, N))
    if allocation == "ot":
        cost = 1 - (similarity if differentiable else similarity.detach())
        plan = solver(cost, epsilon=epsilon, differentiable=differentiable).plan
    else:
        plan = _fixed_plan(similarity.detach(), allocation, top_k)
    by_prompt = (plan * similarity).sum(-2)  # (B, C, N)
    if keep is not None:
        by_prompt = by_prompt * (keep * (N / keep.sum(-1, keepdim=True)))[:, None]
    score = by_prompt.sum(-1)
    return Alignment(ranking, index, similarity, plan, score / N if divide_by_prompts else score)


def _fixed_plan(similarity: Tensor, allocation: str, top_k: tuple[int, ...]) -> Tensor:
    K, N = similarity.shape[-2:]
    if allocation == "uniform":
        return torch.full_like(similarity, 1 / (K * N))
    if allocation == "max":
        return torch.zeros_like(similarity).scatter(-1, similarity.argmax(-1, keepdim=True), 1 / K)
    if allocation == "topk":
        counts = torch.tensor([min(top_k[n % len(top_k)], K) for n in range(N)], device=similarity.device)
        rank = similarity.argsort(-2, descending=True).argsort(-2)
        return (rank < counts) / (counts * N).to(similarity.dtype)
    raise ValueError(f"allocation is {allocation!r}; choose ot, uniform, max or topk")
