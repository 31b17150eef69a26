"""Sinkhorn's fixed point in one GPU kernel: every problem stays in registers for all its iterations."""

from __future__ import annotations

import os
import warnings

import torch
from torch import Tensor

from .sinkhorn import CHECK_EVERY, Transport, sinkhorn, solve

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

LARGEST = (
    4096  # entries of a problem, both sides rounded up to powers of two, that the registers take
)
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # Triton decides when the kernel is defined


def sinkhorn_triton(
    cost: Tensor,
    *,
    epsilon: float,
    a: Tensor | None = None,
    b: Tensor | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    differentiable: bool = False,
) -> Transport:
    """:func:`sotglp_core.sinkhorn` with its first stage fused; parameters, result and errors are the same.

    What does not converge in the kernel goes to the same Newton steps. Where :func:`unfit` finds a reason, the whole problem is
    solved by :func:`sotglp_core.sinkhorn`, with the reason as a warning.
    """
    reason = unfit(cost)
    if reason is None:
        return solve(_scale, cost, epsilon, a, b, tolerance, max_iterations, differentiable)
    warnings.warn(f"Sinkhorn runs in torch instead of the fused kernel: {reason}", stacklevel=2)
    return sinkhorn(
        cost,
        epsilon=epsilon,
        a=a,
        b=b,
        tolerance=tolerance,
        max_iterations=max_iterations,
        differentiable=differentiable,
    )


def unfit(cost: Tensor) -> str | None:
    """Why a (..., K, N) cost can't go through the kernel; None if it can."""
    if triton is None:
        return "triton is not installed"
    if cost.device.type != "cuda" and not INTERPRETED:
        return f"the cost is on {cost.device.type}, the kernel needs a CUDA device"
    if cost.dtype == torch.float64:
        return "the kernel computes in float32, the cost is float64"
    if (
        cost.ndim >= 2
        and cost.numel()
        and _power(cost.shape[-2]) * _power(cost.shape[-1]) > LARGEST
    ):
        return f"problems of {cost.shape[-2]} x {cost.shape[-1]} do not fit the registers"
    return None


def _power(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()


def _scale(C: Tensor, a: Tensor, b: Tensor, tolerance: float, budget: int) -> tuple[Tensor, ...]:
    S, K, N = C.shape
    result = (
        torch.empty_like(C),
        torch.empty_like(a),
        torch.empty_like(b),
        C.new_empty(S),
        C.new_empty(S, dtype=torch.int64),
    )
    if S:
        _iterate[lambda meta: (triton.cdiv(S, meta["BLOCK"]),)](
            C.contiguous(),
            a.contiguous(),
            b.contiguous(),
            *result,
            S,
            K,
            N,
            tolerance / 2,
            budget,
            KP=_power(K),
            NP=_power(N),
            EVERY=CHECK_EVERY,
        )
    return result


if triton is not None:
    CONFIGS = [
        triton.Config({"BLOCK": block}, num_warps=warps)
        for block, warps in (
            [(4, 1)]
            if INTERPRETED
            else [(1, 4), (1, 1), (2, 1), (4, 1), (8, 1), (8, 4), (16, 2), (32, 4), (64, 8)]
        )
    ]

    def _fitting(configs: list, arguments: dict, **settings: int) -> list:
        """Blocks of at most 8,192 entries: more would leave the registers."""
        cells = settings["KP"] * settings["NP"]
        return [c for c in configs if c.kwargs["BLOCK"] * cells <= 2 * LARGEST] or configs[:1]

    @triton.autotune(CONFIGS, key=["KP", "NP"], prune_configs_by={"early_config_prune": _fitting})
    @triton.jit
    def _iterate(  # type: ignore[no-untyped-def]
        cost,
        a,
        b,
        plan,
        u,
        v,
        violation,
        iterations,
        S,
        K,
        N,
        tolerance,
        budget,  # type: ignore[no-untyped-def]
        KP: tl.constexpr,
        NP: tl.constexpr,
        EVERY: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        s = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
        k, n = tl.arange(0, KP), tl.arange(0, NP)
        rows = (s < S)[:, None] & (k < K)[None, :]
        columns = (s < S)[:, None] & (n < N)[None, :]
        cells = rows[:, :, None] & columns[:, None, :]
        row_at, column_at = s[:, None] * K + k[None, :], s[:, None] * N + n[None, :]
        cell_at = row_at[:, :, None] * N + n[None, None, :]
        C = tl.load(cost + cell_at, mask=cells, other=float("inf"))  # (BLOCK, KP, NP)
        A, B = (
            tl.load(a + row_at, mask=rows, other=0.0),
            tl.load(b + column_at, mask=columns, other=0.0),
        )
        lowest = tl.where(rows, tl.min(C, 2), 0.0)
        kernel = tl.where(cells, tl.exp(lowest[:, :, None] - C), 0.0)
        row = tl.where(rows, tl.sum(kernel, 2), 1.0)
        p, q, last = A / row, B, A / row
        done = tl.zeros([BLOCK], tl.int64) + budget
        spent, going = 0, 1
        while (going > 0) & (spent < budget):
            steps = tl.minimum(EVERY, budget - spent)
            for _ in range(steps):
                q = B / tl.where(columns, tl.sum(kernel * p[:, :, None], 1), 1.0)
                row = tl.where(rows, tl.sum(kernel * q[:, None, :], 2), 1.0)
                last = p
                p = A / row
            spent += steps
            met = tl.sum(tl.abs(last * row - A), 1) <= tolerance
            done = tl.where(met & (done > spent), spent, done)
            going = tl.sum((~met & (s < S)).to(tl.int32), 0)
        P = last[:, :, None] * kernel * q[:, None, :]
        off = tl.sum(tl.abs(tl.sum(P, 2) - A), 1) + tl.sum(tl.abs(tl.sum(P, 1) - B), 1)
        tl.store(plan + cell_at, P, mask=cells)
        tl.store(u + row_at, lowest + tl.log(last), mask=rows)
        tl.store(v + column_at, tl.log(q), mask=columns)
        tl.store(violation + s, off, mask=s < S)
        tl.store(iterations + s, done, mask=s < S)
