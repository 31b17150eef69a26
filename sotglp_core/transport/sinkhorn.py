"""Balanced entropic optimal transport, batched.

    P* = argmin_P <C, P> + eps * sum P (log P - 1)   subject to   P 1 = a,  P^T 1 = b
    P*_kn = exp((f_k + g_n - C_kn) / eps)

Sinkhorn's fixed point (Cuturi 2013) runs on a kernel stabilised by its row minima, which settles
easy problems in a handful of iterations. What it leaves (small eps, adversarial costs) goes to the
log domain in float64, where Newton steps on the dual (Brauer, Clason, Lorenz and Wirth 2017) follow
a decreasing temperature.
"""

import math
import os
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

BACKENDS = ("auto", "torch", "triton")
SCALING_ITERATIONS = 60  # what the scaling form may spend before the Newton steps take over
NEWTON_BATCH = 1 << 14  # problems
SERIAL = 1 << 15  # entries below which one thread does an operation alone (but exp and log)
DAMPINGS = (1, 0.5, 0.25, 0.1, 0.02)  # of the Newton steps that are tried


class Transport(NamedTuple):
    """Solution of a batch of transport problems."""

    plan: Tensor  # (..., K, N)
    marginal_violation: Tensor  # (...) L1 distance of both marginals, summed
    iterations: Tensor  # (...) int64
    converged: Tensor  # (...) bool


def sinkhorn(
    cost: Tensor,
    *,
    epsilon: float,
    a: Tensor | None = None,
    b: Tensor | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    differentiable: bool = False,
    backend: str = "auto",
) -> Transport:
    """min_P <C, P> - eps H(P) over P with row sums ``a`` and column sums ``b``.

    :param cost: (..., K, N), finite.
    :param epsilon: regularisation, in units of the cost, > 0.
    :param a: (..., K) row marginal, zeros allowed; uniform 1/K if None.
    :param b: (..., N) column marginal, scaled to the total of ``a``; uniform 1/N if None.
    :param tolerance: marginal violation at which a problem counts as converged.
    :param max_iterations: iterations after which a problem is returned as it is, with ``converged``
        False.
    :param differentiable: let gradients flow from the plan to the cost by implicit differentiation.
        Off, the plan is a constant: for sum(plan * cost) at the optimum that loses only the
        entropy's term (envelope theorem).
    :param backend: "triton" for the fused GPU kernel, "torch" for operations of torch, "auto" for
        the kernel on CUDA wherever it can run.
    :return: :class:`Transport`, in float32 or the cost's wider type.
    :raises ValueError: on a shape, a marginal or a value that makes no transport problem, or a
        backend that can't solve it.

    Source: Cuturi, "Sinkhorn Distances", NeurIPS 2013; SOT-GLP (arXiv 2603.08347).
    """
    if cost.ndim < 2 or 0 in cost.shape[-2:]:
        raise ValueError(f"cost has shape {tuple(cost.shape)}; it needs (..., K, N) with K, N >= 1")
    if not 0 < epsilon < math.inf:
        raise ValueError(
            f"epsilon is {epsilon}; it must be positive (for the unregularised limit use ot.emd)"
        )
    if max_iterations < 1:
        raise ValueError(f"max_iterations is {max_iterations}; allow at least 1")
    *batch, K, N = cost.shape
    with torch.no_grad(), torch.autocast(cost.device.type, enabled=False):
        C = cost.detach().to(torch.promote_types(cost.dtype, torch.float32))
        if not bool(C.isfinite().all()):
            raise ValueError("the cost holds NaN or infinity; check what it was computed from")
        scale, epsilon = _first_stage(C, backend), max(epsilon, torch.finfo(C.dtype).tiny)
        budget = min(max_iterations, SCALING_ITERATIONS)
        a, b = _marginal(a, C, K), _marginal(b, C, N)
        b = _balanced(a, b).reshape(-1, N)
        C, a = C.reshape(-1, K, N), a.reshape(-1, K)
        plan, violation, iterations = scale(C, a, b, epsilon, tolerance, budget)
        hard = (~(violation <= tolerance)).nonzero()[:, 0]  # also where there is NaN
        for rest in hard.split(NEWTON_BATCH) if len(hard) else ():
            costs, rows, columns = (widened(x[rest]) for x in (C, a, b))
            left = max_iterations - budget
            refined, steps = _newton(costs, rows, columns, epsilon, tolerance, left)
            refined = refined.to(plan)
            new_violation = marginal_violation(refined, a[rest], b[rest])
            better = ~(violation[rest] <= new_violation)
            plan[rest[better]], violation[rest[better]] = refined[better], new_violation[better]
            iterations[rest] += steps.to(plan.device)
        solved = (plan, violation, iterations, violation <= tolerance)
        result = Transport(*(x.reshape((*batch, *x.shape[1:])) for x in solved))
    if differentiable and cost.requires_grad:
        result = result._replace(plan=_differentiable(result.plan, cost, epsilon))
    return result


def marginal_violation(plan: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """sum_k |(P 1)_k - a_k| + sum_n |(P^T 1)_n - b_n|.

    :param plan: (..., K, N).
    :param a: (..., K) wanted row sums.
    :param b: (..., N) wanted column sums.
    :return: (...).
    """
    return (plan.sum(-1) - a).abs().sum(-1) + (plan.sum(-2) - b).abs().sum(-1)


def widened(x: Tensor) -> Tensor:
    """The tensor in float64; on the CPU where its device has no such numbers, as Apple's."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def _marginal(value: Tensor | None, C: Tensor, size: int) -> Tensor:
    shape = (*C.shape[:-2], size)
    if value is None:
        return C.new_full(shape, 1 / size)
    try:
        value = value.detach().to(C).expand(shape)
    except RuntimeError:
        found = tuple(value.shape)
        raise ValueError(
            f"a marginal has shape {found}; it needs {shape} or a shape that broadcasts to it"
        ) from None
    if not bool((value >= 0).all() & (value.sum(-1) > 0).all() & value.isfinite().all()):
        raise ValueError("marginals must be finite and non-negative, each with a positive total")
    return value


def _balanced(a: Tensor, b: Tensor) -> Tensor:
    """``b`` with the totals of ``a``, from which it may differ by rounding.

    :raises ValueError: if it differs by more.
    """
    ratio = a.sum(-1, keepdim=True) / b.sum(-1, keepdim=True)
    if not bool(((ratio - 1).abs() <= 1e-5).all()):
        raise ValueError("a and b differ in their totals; scale them to the same total")
    return b * ratio


def _first_stage(C: Tensor, backend: str) -> Callable:
    """The function that iterates: the fused kernel's where it is wanted and can run, or torch's."""
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; choose one of {', '.join(BACKENDS)}")
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if backend == "triton" or (backend == "auto" and C.is_cuda and not interpreted):
        try:
            from . import kernel

            kernel.check(C)
            return kernel.scale
        except Exception as error:  # Triton's versions fail to load in many ways
            if backend == "triton":
                raise ValueError(
                    f"backend='triton' is impossible here: {error}; choose 'auto' or 'torch'"
                ) from None
    return _scale


def _scale(
    C: Tensor, a: Tensor, b: Tensor, epsilon: float, tolerance: float, budget: int
) -> tuple[Tensor, ...]:
    """P = diag(p) exp((min_n C - C) / eps) diag(q) by operations of torch.

    On the CPU in pieces that one thread works on: several would have to wait for each other after
    every operation, for a long time if other programs keep the cores busy.
    """
    kernel = (C.amin(-1, keepdim=True) - C).div_(epsilon).exp_()  # at once: exp takes all threads
    S, K, N = C.shape
    size = max(1, SERIAL // (K * N) if C.device.type == "cpu" else S)  # problems
    pieces = zip(kernel.split(size), a.split(size), b.split(size))
    solved = [_iterate(G, rows, columns, tolerance, budget) for G, rows, columns in pieces]
    return tuple(torch.cat(parts) for parts in zip(*solved))


def _iterate(
    kernel: Tensor, a: Tensor, b: Tensor, tolerance: float, budget: int
) -> tuple[Tensor, ...]:
    """p and q in turn; problems come last, so that every operation is one long vector."""
    check_every = 4 if kernel.device.type == "cpu" else 12  # iterations; a check waits for the GPU
    kernel = kernel.permute(1, 2, 0).contiguous()  # (K, N, S)
    a, b = a.T.contiguous(), b.T.contiguous()  # (K, S), (N, S)
    p, q, iterations = a / kernel.sum(1), b, 0
    done = torch.full(a.shape[1:], budget, dtype=torch.int64, device=a.device)
    while iterations < budget:
        for _ in range(min(check_every, budget - iterations)):
            q = b / (kernel * p[:, None]).sum(0)
            row = (kernel * q).sum(1)
            last, p = p, a / row
            iterations += 1
        met = (last * row - a).abs_().sum(0) <= tolerance / 2
        done = done.where(~met | (done < iterations), iterations)
        if bool(met.all()):
            break
    plan = kernel.mul_(last[:, None]).mul_(q)
    violation = (plan.sum(1) - a).abs_().sum(0) + (plan.sum(0) - b).abs_().sum(0)
    return plan.permute(2, 0, 1), violation, done


def _newton(
    C: Tensor, a: Tensor, b: Tensor, epsilon: float, tolerance: float, budget: int
) -> tuple[Tensor, ...]:
    """Newton steps on the dual in float64; the temperature halves from the costs' range to epsilon.

    Rows are exact for every g, so that r = b - P^T 1 is the dual's gradient and H / T its Hessian;
    of the damped Newton steps and Sinkhorn's own the one that leaves the smallest |r| is taken.
    """
    b = _balanced(a, b)
    log_b, g = b.log(), torch.zeros_like(b).masked_fill(b == 0, -torch.inf)
    span = C.amax((-2, -1)) - C.amin((-2, -1))  # (S,)
    T = span.clamp(epsilon, torch.finfo(C.dtype).max)[:, None]
    dampings = C.new_tensor(DAMPINGS)[:, None, None]
    used = torch.full(a.shape[:1], budget, device=C.device)
    for step in range(budget):
        plan = _exact_rows(C, a, g, T)
        column = plan.sum(-2)
        residual = b - column
        met = residual.abs().sum(-1, keepdim=True) <= tolerance / 4  # (S, 1)
        used = used.where(~(met & (epsilon == T))[:, 0] | (used < step), step)
        if step % 4 == 0 and bool((used <= step).all()):
            break
        T = T.where(~met, (T / 2).clamp_min(epsilon))
        newton = _schur_solve(plan, a, b, residual).nan_to_num(0, 0, 0)
        scaling = (log_b - column.log()).nan_to_num(0, 0, 0)
        tries = g + T * torch.cat([dampings * newton, scaling[None]])  # (6, S, N)
        left = (b - _exact_rows(C, a, tries, T).sum(-2)).abs().sum(-1)  # (6, S)
        best = left.nan_to_num(torch.inf).argmin(0)
        g = tries[best, torch.arange(len(best), device=C.device)]
    return _exact_rows(C, a, g, torch.full_like(T, epsilon)), used


def _exact_rows(C: Tensor, a: Tensor, g: Tensor, T: Tensor) -> Tensor:
    """P = diag(a) softmax_n((g - C) / T): for potentials g the plan whose row sums are a."""
    gain = g[..., None, :] - C
    below = (gain - gain.amax(-1, keepdim=True)) / T[..., None]  # overflows only downwards
    return a[..., None] * below.softmax(-1)


def _schur_solve(plan: Tensor, a: Tensor, b: Tensor, right: Tensor) -> Tensor:
    """Solve (diag(P^T 1) - P^T diag(1/a) P) x = right off the constant vector: (..., N)."""
    scaled = plan / a.clamp_min(torch.finfo(a.dtype).tiny)[..., None]
    hessian = torch.diag_embed(plan.sum(-2) + (b == 0)) - scaled.mT @ plan
    gauge = (b[..., None] * b[..., None, :]) / b.sum(-1)[..., None, None]
    ridge = torch.finfo(a.dtype).eps * torch.eye(b.shape[-1], dtype=a.dtype, device=a.device)
    return torch.linalg.solve_ex(hessian + gauge + ridge, right[..., None])[0][..., 0]


def _differentiable(plan: Tensor, cost: Tensor, epsilon: float) -> Tensor:
    """The plan with its first derivative: dP = P (dx + dy - dC / eps), at fixed marginals."""
    P, change = widened(plan), widened(cost.detach() - cost) / epsilon  # 0, with a gradient
    a, b = P.sum(-1), P.sum(-2)
    row_weight = 1 / a.clamp_min(torch.finfo(a.dtype).tiny)
    moved = P * change
    per_row = moved.sum(-1) * row_weight
    y = _schur_solve(P, a, b, (P * per_row[..., None]).sum(-2) - moved.sum(-2))
    x = -per_row - (P @ y[..., None])[..., 0] * row_weight
    return (P + P * (x[..., None] + y[..., None, :] + change)).to(plan)
