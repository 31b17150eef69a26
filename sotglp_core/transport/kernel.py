"""Sinkhorn's iterations in one GPU kernel: each problem stays in registers for all of them.

Importing this module needs Triton; :func:`~sotglp_core.transport.sinkhorn.sinkhorn` does it where
it is of use.
"""

import os
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

LARGEST = 4096  # entries of a problem that the registers take, its sides rounded to powers of two
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # decided when the kernel is defined


@triton.jit
def _iterate(  # type: ignore[no-untyped-def]
    cost,
    a,
    b,
    plan,
    violation,
    iterations,
    K,
    N,
    epsilon,
    tolerance,
    budget,
    KP: tl.constexpr,
    NP: tl.constexpr,
):
    """One problem a program: K x N of the KP x NP entries of a tile."""
    s = tl.program_id(0).to(tl.int64)
    k, n = tl.arange(0, KP), tl.arange(0, NP)
    rows, columns = k < K, n < N
    cells = rows[:, None] & columns[None, :]
    at = s * K * N + k[:, None] * N + n[None, :]
    C = tl.load(cost + at, mask=cells, other=float("inf"))
    A = tl.load(a + s * K + k, mask=rows, other=0.0)
    B = tl.load(b + s * N + n, mask=columns, other=0.0)
    lowest = tl.where(rows, tl.min(C, 1), 0.0)
    kernel = tl.exp((lowest[:, None] - C) / epsilon)  # 0 outside the problem
    p = A / tl.where(rows, tl.sum(kernel, 1), 1.0)
    off, done = float("inf"), 0
    while (done < budget) & (off > tolerance):
        q = B / tl.where(columns, tl.sum(kernel * p[:, None], 0), 1.0)
        row = tl.where(rows, tl.sum(kernel * q[None, :], 1), 1.0)
        off = tl.sum(tl.abs(p * row - A), 0)
        p = A / row
        done += 1
    q = B / tl.where(columns, tl.sum(kernel * p[:, None], 0), 1.0)
    P = p[:, None] * kernel * q[None, :]
    off = tl.sum(tl.abs(tl.sum(P, 1) - A), 0) + tl.sum(tl.abs(tl.sum(P, 0) - B), 0)
    tl.store(plan + at, P, mask=cells)
    tl.store(violation + s, off)
    tl.store(iterations + s, done)


def scale(
    C: Tensor, a: Tensor, b: Tensor, epsilon: float, tolerance: float, budget: int
) -> tuple[Tensor, ...]:
    """The plan, the marginal violation and the iterations of (S, K, N) costs in float32."""
    S, K, N = C.shape
    KP, NP = triton.next_power_of_2(K), triton.next_power_of_2(N)
    plan, violation = torch.empty_like(C), C.new_empty(S)
    iterations = C.new_empty(S, dtype=torch.int64)
    if S:
        # Where a product and a sum are fused, threads that hold the same sum differ in its last
        # bit, and part over whether the loop goes on.
        _iterate[(S,)](
            *(C.contiguous(), a.contiguous(), b.contiguous()),
            *(plan, violation, iterations),
            *(K, N, epsilon, tolerance / 2, budget),
            KP=KP,
            NP=NP,
            num_warps=max(1, KP * NP // 1024),
            enable_fp_fusion=False,
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
