"""Similarity -> support -> plan -> score: how a class's local prompts share an image's patches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..transport.sinkhorn import Transport, sinkhorn


class Alignment(NamedTuple):
    """Everything that losses, scores, figures and the inspector ask of the local branch."""

    support: Tensor  # (B, C, K) patch indices, most similar first
    similarity: Tensor  # (B, C, K, N) cosines on the support
    plan: Tensor  # (B, C, K, N) of mass 1 per image and class, a constant for autograd
    score: Tensor  # (B, C) sum of plan * similarity
    converged: Tensor | None = None  # (B, C) bool; None where nothing was iterated

    @property
    def prompt_scores(self) -> Tensor:
        """(B, C, N) mean cosine of each prompt with its patches, weighted as in the plan."""
        mass = self.plan.sum(-2)
        return (self.plan * self.similarity).sum(-2) / mass.clamp_min(torch.finfo(mass.dtype).tiny)

    def on_grid(self, patches: int) -> Tensor:
        """The plan spread over all patches: (B, C, P, N), zero off the support."""
        index = self.support[..., None].expand_as(self.plan)
        *batch, _, N = self.plan.shape
        return self.plan.new_zeros(*batch, patches, N).scatter(-2, index, self.plan)


def optimal_transport(
    similarity: Tensor,
    *,
    epsilon: float,
    differentiable: bool,
    solver: Callable[..., Transport],
    **_: Any,
) -> Transport:
    """Balanced entropic OT between uniform marginals, at cost 1 - S."""
    cost = 1 - (similarity if differentiable else similarity.detach())
    return solver(cost, epsilon=epsilon, differentiable=differentiable)


def uniform(similarity: Tensor, **_: Any) -> Tensor:
    """P = 1 / (K N)."""
    K, N = similarity.shape[-2:]
    return torch.full_like(similarity, 1 / (K * N))


def most_similar_prompt(similarity: Tensor, **_: Any) -> Tensor:
    """Each patch's mass to its most similar prompt."""
    best = similarity.argmax(-1, keepdim=True)
    return torch.zeros_like(similarity).scatter(-1, best, 1 / similarity.shape[-2])


def most_similar_patches(similarity: Tensor, *, top_k: tuple[int, ...], **_: Any) -> Tensor:
    """Each prompt's mass to its k most similar patches, k of ``top_k`` in turn (GalLoP)."""
    P, N = similarity.shape[-2:]
    k = torch.tensor([min(top_k[n % len(top_k)], P) for n in range(N)], device=similarity.device)
    rank = similarity.argsort(-2, descending=True).argsort(-2)
    return (rank < k) / (k * N).to(similarity.dtype)


# From (B, C, K, N) cosines and the settings of `align` to a plan, or to a Transport with a plan.
ALLOCATIONS: dict[str, Callable[..., Tensor | Transport]] = {
    "ot": optimal_transport,
    "uniform": uniform,
    "topk": most_similar_patches,
    "max": most_similar_prompt,
}


def align(
    patches: Tensor,
    prompts: Tensor,
    *,
    allocation: str = "ot",
    support: int | None = 10,
    top_k: tuple[int, ...] = (10,),
    epsilon: float = 0.1,
    divide_by_prompts: bool = False,
    differentiable: bool = False,
    solver: Callable[..., Transport] = sinkhorn,
) -> Alignment:
    """u_bc = sum_kn P_kn S_kn, with P the allocation's plan of a class on its K support patches.

    :param patches: (B, P, D) unit vectors.
    :param prompts: (C, N, D) unit vectors.
    :param allocation: a name of :data:`ALLOCATIONS`.
    :param support: K, the patches of largest mean cosine over the class's prompts; None: all P, in
        order, as always under ``topk``.
    :param top_k: patches of each prompt under ``topk``, cycled over the prompts.
    :param epsilon: regularisation of ``ot``.
    :param divide_by_prompts: divide the score by N, as the released code does.
    :param differentiable: let gradients flow through the plan of ``ot``; otherwise it is a constant
        (envelope theorem).
    :param solver: anything with the signature of :func:`sotglp_core.sinkhorn`.
    :return: :class:`Alignment`.
    :raises ValueError: if the support is larger than the image.

    Source: SOT-GLP (arXiv 2603.08347); ``topk``: GalLoP (arXiv 2407.01400).
    """
    P, N = patches.shape[1], prompts.shape[1]
    if support is not None and support > P:
        raise ValueError(f"support is {support} patches, but an image has {P}; choose at most {P}")
    similarity = torch.einsum("bpd,cnd->bcpn", patches, prompts)
    if support is None or allocation == "topk":
        index = torch.arange(P, device=patches.device).expand(similarity.shape[:3])
    else:
        index = similarity.detach().mean(-1).topk(support, dim=-1).indices  # (B, C, K)
        similarity = similarity.gather(2, index[..., None].expand(-1, -1, -1, N))
    found = ALLOCATIONS[allocation](
        similarity, epsilon=epsilon, top_k=top_k, differentiable=differentiable, solver=solver
    )
    plan: Any = getattr(found, "plan", found)
    converged = getattr(found, "converged", None)
    score = (plan * similarity).sum((-1, -2))
    if divide_by_prompts:
        score = score / N
    return Alignment(index, similarity, plan, score, converged)
