"""Similarity -> support -> plan -> score: how a class's local prompts share an image's patches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..messages import did_you_mean
from ..transport.sinkhorn import Transport, sinkhorn


class Alignment(NamedTuple):
    """Everything that losses, scores, figures and the inspector ask of the local branch."""

    support: Tensor  # (B, C, K) patch indices, most similar first
    similarity: Tensor  # (B, C, K, N) cosines on the support
    plan: Tensor  # (B, C, K, N) of mass 1 per image and class, a constant for autograd
    score: Tensor  # (B, C) sum of plan * similarity
    converged: Tensor | None = None  # (B, C) bool; None where nothing was iterated

    def on_grid(self, patches: int) -> Tensor:
        """The plan spread over all patches: (B, C, P, N), zero off the support."""
        index = self.support[..., None].expand_as(self.plan)
        grid = self.plan.new_zeros(*self.plan.shape[:-2], patches, self.plan.shape[-1])
        return grid.scatter(-2, index, self.plan)


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


def find_allocation(name: str) -> Callable[..., Tensor | Transport]:
    """:raises ValueError: on an unknown name, with the nearest one."""
    if name not in ALLOCATIONS:
        known = ", ".join(ALLOCATIONS)
        raise ValueError(
            f"allocation is {name!r}; choose one of {known}{did_you_mean(name, ALLOCATIONS)}"
        )
    return ALLOCATIONS[name]


def align(
    patches: Tensor,
    prompts: Tensor,
    *,
    allocation: str = "ot",
    support: int | None = 10,
    top_k: tuple[int, ...] = (10,),
    epsilon: float = 0.1,
    keep: Tensor | None = None,
    divide_by_prompts: bool = False,
    differentiable: bool = False,
    memory: int = 16,
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
    :param keep: (B, N) bool, prompts that count in the score (prompt dropout); None: all.
    :param divide_by_prompts: divide the score by N, as the released code does.
    :param differentiable: let gradients flow through the plan of ``ot``; otherwise it is a constant
        (envelope theorem).
    :param memory: MiB to spend beside the result while patches are ranked and gathered, class by
        class; one class at the least.
    :param solver: anything with the signature of :func:`sotglp_core.sinkhorn`.
    :return: :class:`Alignment`.
    :raises ValueError: on an unknown allocation or a support larger than the image.

    Source: SOT-GLP (arXiv 2603.08347); ``topk``: GalLoP (arXiv 2407.01400).
    """
    (B, P, _), (C, N, _) = patches.shape, prompts.shape
    if support is not None and support > P:
        raise ValueError(f"support is {support} patches, but an image has {P}; choose at most {P}")
    allocate = find_allocation(allocation)
    if support is None or allocation == "topk":
        index = torch.arange(P, device=patches.device).expand(B, C, P)
        similarity = torch.einsum("bpd,cnd->bcpn", patches, prompts)
    else:
        index = _support(patches.detach(), prompts.detach().mean(1), support, memory)
        similarity = _similarity(patches, prompts, index, memory)
    found = allocate(
        similarity, epsilon=epsilon, top_k=top_k, differentiable=differentiable, solver=solver
    )
    plan: Any = getattr(found, "plan", found)
    converged = getattr(found, "converged", None)
    by_prompt = (plan * similarity).sum(-2)  # (B, C, N)
    if keep is not None:
        by_prompt = by_prompt * (keep * (N / keep.sum(-1, keepdim=True)))[:, None]
    score = by_prompt.sum(-1)
    if divide_by_prompts:
        score = score / N
    return Alignment(index, similarity, plan, score, converged)


def _support(patches: Tensor, mean_prompt: Tensor, support: int, memory: int) -> Tensor:
    """The patches of largest cosine with the mean prompt: (B, C, K)."""
    classes = _classes_at_once(patches[..., 0], memory)
    ranked = [
        (some @ patches.mT).topk(support, dim=-1).indices for some in mean_prompt.split(classes)
    ]
    return torch.cat(ranked, 1)


def _similarity(patches: Tensor, prompts: Tensor, index: Tensor, memory: int) -> Tensor:
    """S_bckn = <x_(b, I_bck), t_cn>: (B, C, K, N).

    The gathered patches exist for a few classes at a time, and once more in the backward pass.
    """
    B, C, K = index.shape
    flat = patches.flatten(0, 1)  # (B P, D)
    rows = index + torch.arange(B, device=index.device)[:, None, None] * patches.shape[1]

    def some(prompts: Tensor, rows: Tensor) -> Tensor:
        gathered = flat.index_select(0, rows.flatten()).unflatten(0, (len(prompts), B * K))
        return (gathered @ prompts.mT).unflatten(1, (B, K))  # (c, B, K, N)

    classes = _classes_at_once(patches[:, :1].expand(-1, K, -1), memory)
    pieces = zip(prompts.split(classes), rows.transpose(0, 1).split(classes))
    parts = [checkpoint(some, *x, use_reentrant=False, preserve_rng_state=False) for x in pieces]
    return torch.cat(parts).transpose(0, 1)


def _classes_at_once(per_class: Tensor, memory: int) -> int:
    """How many tensors like this fit into so many MiB; at least one."""
    return max(1, memory * 2**20 // max(1, per_class.numel() * per_class.element_size()))
