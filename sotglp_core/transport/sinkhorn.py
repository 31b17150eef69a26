"""Balanced entropic optimal transport, batched.

    P* = argmin_P <C, P> + eps * sum P (log P - 1)   subject to   P 1 = a,  P^T 1 = b
    P*_kn = exp((f_k + g_n - C_kn) / eps)

Sinkhorn's fixed point (Cuturi 2013) runs on a kernel stabilised by its row minima, which settles easy problems in a
handful of iterations. What it leaves (small eps, adversarial costs) goes to the log domain in float64, where Newton
steps on the dual (Brauer, Clason, Lorenz and Wirth 2017) follow a decreasing temperature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHECK_EVERY = 4  # iterations between two looks at the marginals: one host synchronisation each
SCALING_ITERATIONS = 60  # what the scaling form may spend before the Newton steps take over
CHUNK = 1 << 16  # problems a Newton batch
CACHED = (
    1 << 18
)  # entries of the kernels that the CPU iterates on at once, so that they stay in its cache


class Transport(NamedTuple):
    """Solution of a batch of transport problems."""

    plan: Tensor  # (..., K, N)
    f: Tensor  # (..., K) row potentials
    g: Tensor  # (..., N) column potentials
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
) -> Transport:
    """Solve min_P <C, P> - eps H(P) over P with row sums ``a`` and column sums ``b``.

    :param cost: (..., K, N), finite.
    :param epsilon: regularisation, in units of the cost, > 0.
    :param a: (..., K) row marginal, zeros allowed; uniform 1/K if None.
    :param b: (..., N) column marginal with the same total as ``a``; uniform 1/N if None.
    :param tolerance: marginal violation at which a problem counts as converged.
    :param max_iterations: iterations after which a problem is returned as it is, with ``converged`` False.
    :param differentiable: let gradients flow from the plan to the cost by implicit differentiation. Off, the plan is
        a constant: for sum(plan * cost) at the optimum that loses only the entropy's term (envelope theorem).
    :return: :class:`Transport`, in float32 or the cost's wider type.
    :raises ValueError: on a shape, a marginal or a value that makes no transport problem.

    Source: Cuturi, "Sinkhorn Distances", NeurIPS 2013; SOT-GLP (arXiv 2603.08347).
    """
    return solve(_scale, cost, epsilon, a, b, tolerance, max_iterations, differentiable)


def solve(
    scale: Callable,
    cost: Tensor,
    epsilon: float,
    a: Tensor | None,
    b: Tensor | None,
    tolerance: float,
    max_iterations: int,
    differentiable: bool,
) -> Transport:
    """:func:`sinkhorn` with another first stage.

    :param scale: (C, a, b, tolerance, budget) -> (plan, log p, log q, violation, iterations) for (S, K, N) costs in units of epsilon;
        what it leaves above the tolerance goes to the Newton steps.
    """
    if cost.ndim < 2 or not cost.shape[-1] or not cost.shape[-2]:
        raise ValueError(f"cost has shape {tuple(cost.shape)}; it needs (..., K, N) with K, N >= 1")
    if not epsilon > 0:
        raise ValueError(
            f"epsilon is {epsilon}; it must be positive (for the unregularised limit use ot.emd)"
        )
    if max_iterations < 1:
        raise ValueError(f"max_iterations is {max_iterations}; allow at least 1")
    *batch, K, N = cost.shape
    with torch.no_grad(), torch.autocast(cost.device.type, enabled=False):
        C = cost.detach().to(torch.promote_types(cost.dtype, torch.float32))
        given = a is not None or b is not None
        a, b = _marginal("a", a, C, K), _marginal("b", b, C, N)
        if not bool(C.sum().isfinite()) and not bool(
            C.isfinite().all()
        ):  # the sum is cheap, and rarely infinite alone
            raise ValueError("the cost holds NaN or infinity; check what it was computed from")
        if given and not bool(((a.sum(-1) - b.sum(-1)).abs() <= 1e-5 * a.sum(-1)).all()):
            raise ValueError(
                "a and b differ in their totals; scale them to the same total in every problem"
            )
        C, a, b = (x.reshape(-1, *x.shape[len(batch) :]) for x in (C / epsilon, a, b))
        plan, u, v, violation, iterations = scale(
            C, a, b, tolerance, min(max_iterations, SCALING_ITERATIONS)
        )
        if max_iterations > SCALING_ITERATIONS:
            hard = (~(violation <= tolerance)).nonzero()[:, 0]
            for rest in hard.split(CHUNK) if len(hard) else ():
                solved = _newton(
                    C[rest], a[rest], b[rest], tolerance, max_iterations - SCALING_ITERATIONS
                )
                plan[rest], u[rest], v[rest] = (x.to(plan.dtype) for x in solved[:3])
                iterations[rest] += solved[3]
                violation[rest] = marginal_violation(plan[rest], a[rest], b[rest])
        flat = Transport(
            plan, epsilon * u, epsilon * v, violation, iterations, violation <= tolerance
        )
        result = Transport(*(x.reshape((*batch, *x.shape[1:])) for x in flat))
    if differentiable and cost.requires_grad:
        result = result._replace(plan=_ImplicitPlan.apply(cost, result.plan, epsilon))
    return result


def marginal_violation(plan: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """sum_k |(P 1)_k - a_k| + sum_n |(P^T 1)_n - b_n|.

    :param plan: (..., K, N).
    :param a: (..., K) wanted row sums.
    :param b: (..., N) wanted column sums.
    :return: (...).
    """
    return (plan.sum(-1) - a).abs().sum(-1) + (plan.sum(-2) - b).abs().sum(-1)


def _marginal(name: str, value: Tensor | None, C: Tensor, size: int) -> Tensor:
    shape = (*C.shape[:-2], size)
    if value is None:
        return C.new_full(shape, 1 / size)
    try:
        value = value.detach().to(C).expand(shape)
    except RuntimeError:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}; it needs {shape} or a shape that broadcasts to it"
        ) from None
    if not bool((value >= 0).all() & (value.sum(-1) > 0).all() & value.isfinite().all()):
        raise ValueError(
            f"{name} must be finite and non-negative, with a positive total in every problem"
        )
    return value


def _scale(C: Tensor, a: Tensor, b: Tensor, tolerance: float, budget: int) -> tuple[Tensor, ...]:
    """The first stage in pieces that stay in the processor's cache; on a GPU, in one."""
    size = max(1, CACHED // C[0].numel()) if C.device.type == "cpu" and len(C) else max(1, len(C))
    result = (
        torch.empty_like(C),
        torch.empty_like(a),
        torch.empty_like(b),
        C.new_empty(len(C)),
        C.new_empty(len(C), dtype=torch.int64),
    )
    for part in (slice(at, at + size) for at in range(0, len(C), size)):
        for whole, piece in zip(
            result, _scale_together(C[part], a[part], b[part], tolerance, budget)
        ):
            whole[part] = piece
    return result


def _scale_together(
    C: Tensor, a: Tensor, b: Tensor, tolerance: float, budget: int
) -> tuple[Tensor, ...]:
    """P = diag(p) exp(min_n C - C) diag(q), p and q in turn; problems last, so that every operation is one long vector."""
    C, a, b = (
        C.permute(1, 2, 0).contiguous(),
        a.T.contiguous(),
        b.T.contiguous(),
    )  # (K, N, S), (K, S), (N, S)
    lowest = C.amin(1)  # (K, S)
    kernel = (lowest[:, None] - C).exp_()
    p, q, iterations = a / kernel.sum(1), b, 0
    done = torch.full(a.shape[1:], budget, dtype=torch.int64, device=C.device)
    while iterations < budget:
        for _ in range(min(CHECK_EVERY, budget - iterations)):
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
    return plan.permute(2, 0, 1), (lowest + last.log()).T, q.log().T, violation, done


def _newton(C: Tensor, a: Tensor, b: Tensor, tolerance: float, budget: int) -> tuple[Tensor, ...]:
    """Newton steps on the dual in log domain, the temperature halved from the costs' range to 1 as each is solved.

    Rows are exact after each update of u, so that r = b - P^T 1 is the dual gradient and H its Hessian; of the damped
    Newton steps and Sinkhorn's own step the one that leaves the smallest |r| is taken.
    """
    C, a, b = C.double(), a.double(), b.double()
    log_a, log_b = a.log(), b.log()
    span = (C.amax((-2, -1)) - C.amin((-2, -1))).clamp_min(1)  # (S,)
    v = torch.zeros_like(b)
    dampings = torch.tensor([1, 0.5, 0.25, 0.1, 0.02], dtype=C.dtype, device=C.device)[
        :, None, None
    ]
    used = torch.full(a.shape[:1], budget, device=C.device)
    T = span[:, None]

    def rows_exact(v: Tensor, T: Tensor) -> tuple[Tensor, Tensor]:
        w = (v / T).masked_fill(b == 0, -torch.inf)
        u = log_a - torch.logsumexp(w[..., None, :] - C / T[:, None], -1)
        return u, (u[..., None] + w[..., None, :] - C / T[:, None]).exp()

    for step in range(budget):
        plan = rows_exact(v, T)[1]
        column = plan.sum(-2)
        residual = b - column
        met = residual.abs().sum(-1, keepdim=True) <= tolerance / 4  # (S, 1)
        used = used.where(~(met & (T == 1))[:, 0] | (used < step), step)
        if step % CHECK_EVERY == 0 and bool((used <= step).all()):
            break
        T = T.where(~met, (T / 2).clamp_min(1))
        newton = _schur_solve(plan, a, b, residual).nan_to_num(0, 0, 0)
        scaling = (log_b - column.log()).masked_fill(b == 0, 0).nan_to_num(0, 0, 0)
        tries = v + T * torch.cat([dampings * newton, scaling[None]])  # (6, S, N)
        left = torch.stack([(b - rows_exact(t, T)[1].sum(-2)).abs().sum(-1) for t in tries])
        best = left.nan_to_num(torch.inf).argmin(0)
        v = tries[best, torch.arange(len(best), device=C.device)]
    u, plan = rows_exact(v, torch.ones_like(span)[:, None])
    return plan, u, v.masked_fill(b == 0, -torch.inf), used


def _schur_solve(plan: Tensor, a: Tensor, b: Tensor, right: Tensor) -> Tensor:
    """Solve (diag(P^T 1) - P^T diag(1/a) P) x = right on the complement of the constant vector: (..., N)."""
    scaled = plan / a.clamp_min(torch.finfo(a.dtype).tiny)[..., None]
    hessian = torch.diag_embed(plan.sum(-2) + (b == 0)) - scaled.mT @ plan
    gauge = (b[..., :, None] * b[..., None, :]) / b.sum(-1)[..., None, None]
    ridge = torch.finfo(a.dtype).eps * torch.eye(b.shape[-1], dtype=a.dtype, device=a.device)
    return torch.linalg.solve_ex(hessian + gauge + ridge, right[..., None])[0][..., 0]


class _ImplicitPlan(torch.autograd.Function):
    """dP = P (df + dg - dC) / eps with df, dg fixed by the marginals; the backward pass solves for their adjoints."""

    @staticmethod
    def forward(ctx: Any, cost: Tensor, plan: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(plan)
        ctx.epsilon, ctx.dtype = epsilon, cost.dtype
        return plan.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan = ctx.saved_tensors[0].double()
        weighted = grad.double() * plan
        a, b = plan.sum(-1), plan.sum(-2)
        per_row = weighted.sum(-1) / a.clamp_min(torch.finfo(a.dtype).tiny)
        y = _schur_solve(plan, a, b, weighted.sum(-2) - (plan * per_row[..., None]).sum(-2))
        x = per_row - (plan @ y[..., None])[..., 0] / a.clamp_min(torch.finfo(a.dtype).tiny)
        grad_cost = (plan * (x[..., None] + y[..., None, :]) - weighted) / ctx.epsilon
        return grad_cost.to(ctx.dtype), None, None
