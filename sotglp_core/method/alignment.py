"""Similarity -> support -> plan -> score: how a class's local prompts share the patches of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..transport.sinkhorn import Transport, sinkhorn


class Alignment(NamedTuple):
    """Everything that losses, scores, figures and the inspector ask of the local branch."""

    support: Tensor  # (B, C, K) patch indices, most similar first
    similarity: Tensor  # (B, C, K, N) cosines on the support
    plan: Tensor  # (B, C, K, N) mass 1 an image and class, a constant for autograd
    score: Tensor  # (B, C) sum of plan * similarity

    def on_grid(self, patches: int) -> Tensor:
        """The plan spread over all patches: (B, C, P, N), zero off the support."""
        index = self.support[..., None].expand_as(self.plan)
        return self.plan.new_zeros(*self.plan.shape[:2], patches, self.plan.shape[-1]).scatter(
            2, index, self.plan
        )


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
    :param memory: MiB to spend beside the result while patches are ranked and gathered, class by class; one class at the least.
    :param solver: anything with the signature of :func:`sotglp_core.sinkhorn`.
    :return: :class:`Alignment`.
    :raises ValueError: on an unknown allocation or a support larger than the image.

    Source: SOT-GLP (arXiv 2603.08347); ``topk``: GalLoP (arXiv 2407.01400).
    """
    P, N = patches.shape[1], prompts.shape[1]
    if support is not None and support > P:
        raise ValueError(f"support is {support} patches, but an image has {P}; choose at most {P}")
    if support is None or allocation == "topk":
        index = torch.arange(P, device=patches.device).expand(patches.shape[0], len(prompts), P)
        similarity = torch.einsum("bpd,cnd->bcpn", patches, prompts)
    else:
        index = _support(patches.detach(), prompts.detach().mean(1), support, memory)
        similarity = _GatheredSimilarity.apply(patches, prompts, index, memory)
    if allocation == "ot":
        cost = 1 - (similarity if differentiable else similarity.detach())
        plan = solver(cost, epsilon=epsilon, differentiable=differentiable).plan
    else:
        plan = _fixed_plan(similarity.detach(), allocation, top_k)
    by_prompt = (plan * similarity).sum(-2)  # (B, C, N)
    if keep is not None:
        by_prompt = by_prompt * (keep * (N / keep.sum(-1, keepdim=True)))[:, None]
    score = by_prompt.sum(-1)
    return Alignment(index, similarity, plan, score / N if divide_by_prompts else score)


def _support(patches: Tensor, mean_prompt: Tensor, support: int, memory: int) -> Tensor:
    """The patches of largest cosine with the mean prompt, which is the mean cosine with the prompts: (B, C, K)."""
    per_class = len(patches) * patches.shape[1]
    return torch.cat(
        [
            (some @ patches.mT).topk(support, dim=-1).indices
            for some in _chunks(mean_prompt, per_class, memory)
        ],
        1,
    )


def _chunks(by_class: Tensor, per_class: int, memory: int) -> tuple[Tensor, ...]:
    """Split the classes so that ``per_class`` numbers of each fit in ``memory`` MiB."""
    return by_class.split(max(1, memory * 2**20 // (max(1, per_class) * by_class.element_size())))


class _GatheredSimilarity(torch.autograd.Function):
    """S_bckn = <x_(b, I_bck), t_cn>; the gathered patches exist for a few classes at a time, again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, prompts: Tensor, index: Tensor, memory: int) -> Tensor:
        ctx.save_for_backward(patches, prompts, index)
        ctx.memory = memory
        similarity = prompts.new_empty(*index.shape, prompts.shape[1])  # (B, C, K, N)
        for lo, hi, rows in _gathers(patches, prompts, index, memory):
            gathered = patches.flatten(0, 1).index_select(0, rows)  # (c B K, D)
            some = gathered.view(hi - lo, -1, patches.shape[-1]) @ prompts[lo:hi].mT  # (c, B K, N)
            similarity[:, lo:hi] = some.view(hi - lo, len(patches), -1, prompts.shape[1]).transpose(
                0, 1
            )
        return similarity

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        patches, prompts, index = ctx.saved_tensors
        of_patches = torch.zeros_like(patches) if ctx.needs_input_grad[0] else None
        of_prompts = torch.empty_like(prompts) if ctx.needs_input_grad[1] else None
        for lo, hi, rows in _gathers(patches, prompts, index, ctx.memory):
            some = grad[:, lo:hi].transpose(0, 1).flatten(1, 2)  # (c, B K, N)
            if of_prompts is not None:
                of_prompts[lo:hi] = some.mT @ patches.flatten(0, 1).index_select(0, rows).view(
                    hi - lo, -1, patches.shape[-1]
                )
            if of_patches is not None:
                of_patches.view(-1, patches.shape[-1]).index_add_(
                    0, rows, (some @ prompts[lo:hi]).flatten(0, 1)
                )
        return of_patches, of_prompts, None, None


def _gathers(
    patches: Tensor, prompts: Tensor, index: Tensor, memory: int
) -> Iterator[tuple[int, int, Tensor]]:
    """(first class, last class + 1, rows of the flattened patches: (c B K)) of each chunk."""
    B, C, K = index.shape
    starts = torch.arange(B, device=index.device)[:, None, None] * patches.shape[1]
    at = 0
    for some in _chunks(prompts, B * K * patches.shape[-1], memory):
        yield at, at + len(some), (index[:, at : at + len(some)] + starts).transpose(0, 1).flatten()
        at += len(some)


def _fixed_plan(similarity: Tensor, allocation: str, top_k: tuple[int, ...]) -> Tensor:
    K, N = similarity.shape[-2:]
    if allocation == "uniform":
        return torch.full_like(similarity, 1 / (K * N))
    if allocation == "max":
        return torch.zeros_like(similarity).scatter(-1, similarity.argmax(-1, keepdim=True), 1 / K)
    if allocation == "topk":
        counts = torch.tensor(
            [min(top_k[n % len(top_k)], K) for n in range(N)], device=similarity.device
        )
        rank = similarity.argsort(-2, descending=True).argsort(-2)
        return (rank < counts) / (counts * N).to(similarity.dtype)
    raise ValueError(f"allocation is {allocation!r}; choose ot, uniform, max or topk")
