"""Sinkhorn's iterations in one GPU kernel: each problem stays in registers for all of them.

Importing this module needs Triton; :func:`~sotglp_core.transport.sinkhorn.sinkhorn` does it where
it is of use.
"""

from __future__ import annotations

import os
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

LARGEST = 4096  # entries of a problem that the registers take, its sides rounded to powers of two
ENTRIES = 2048  # of all problems that one program solves together
CHECK_EVERY = 4  # iterations
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # decided when the kernel is defined


@triton.jit
def _iterate(  # type: ignore[no-untyped-def]
    cost,
    a,
    b,
    plan,
    violation,
    iterations,
    S,
    K,
    N,
    epsilon,
    tolerance,
    budget,
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
    A = tl.load(a + row_at, mask=rows, other=0.0)
    B = tl.load(b + column_at, mask=columns, other=0.0)
    lowest = tl.where(rows, tl.min(C, 2), 0.0)
    kernel = tl.where(cells, tl.exp((lowest[:, :, None] - C) / epsilon), 0.0)
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
    tl.store(violation + s, off, mask=s < S)
    tl.store(iterations + s, done, mask=s < S)


def scale(
    C: Tensor, a: Tensor, b: Tensor, epsilon: float, tolerance: float, budget: int
) -> tuple[Tensor, ...]:
    """The plan, the marginal violation and the iterations of (S, K, N) costs in float32."""
    S, K, N = C.shape
    KP, NP = triton.next_power_of_2(K), triton.next_power_of_2(N)
    block = max(1, ENTRIES // (KP * NP))  # problems
    plan, violation = torch.empty_like(C), C.new_empty(S)
    iterations = C.new_empty(S, dtype=torch.int64)
    if S:
        _iterate[(triton.cdiv(S, block),)](
            *(C.contiguous(), a.contiguous(), b.contiguous()),
            *(plan, violation, iterations),
            *(S, K, N, epsilon, tolerance / 2, budget),
            KP=KP,
            NP=NP,
            EVERY=CHECK_EVERY,
            BLOCK=block,
        )
    return plan, violation, iterations


def check(cost: Tensor) -> None:
    """:raises ValueError: if the kernel can't take (..., K, N) costs."""
    K, N = cost.shape[-2:]
    reason = None
    if cost.dtype == torch.float64:
        reason = "the kernel computes in float32, and the cost is float64"
    elif triton.next_power_of_2(K) * triton.next_power_of_2(N) > LARGEST:
        reason = f"problems of {K} x {N} do not fit into the registers"
    elif not INTERPRETED:
        reason = _unable(cost.device)
    if reason:
        raise ValueError(reason)


@cache
def _unable(device: torch.device) -> str | None:
    """Why a device can't run the kernel, found out by one small problem; None if it can."""
    if device.type != "cuda":
        return f"the cost is on {device.type}, and the kernel needs a CUDA device"
    if torch.cuda.get_device_capability(device) < (7, 0):
        return f"{torch.cuda.get_device_name(device)} is too old"
    C, half = torch.zeros(1, 2, 2, device=device), torch.full((1, 2), 0.5, device=device)
    try:
        scale(C, half, half, 1.0, 1e-6, 4)
    except Exception as error:  # Triton found no C compiler, for one
        return f"{type(error).__name__}: {error}"
    return None
