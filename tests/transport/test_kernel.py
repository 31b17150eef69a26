"""The fused kernel against the torch solver in float64 and against POT: on a GPU, or through Triton's interpreter on the CPU."""

import os
import warnings

import numpy as np
import ot
import pytest
import torch

from sotglp_core.transport import kernel as module
from sotglp_core.transport.kernel import sinkhorn_triton, unfit
from sotglp_core.transport.sinkhorn import sinkhorn

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
if module.triton is None:
    pytest.skip("triton is not installed", allow_module_level=True)
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("there is neither a CUDA device nor TRITON_INTERPRET=1", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*encountered in:RuntimeWarning"
)  # NumPy's, inside the interpreter


def problem(S, K, N, *, spread=0.015, seed=0, uniform=False, zeros=False):
    g = torch.Generator().manual_seed(seed)
    cost = 1 - (0.25 + spread * torch.randn(S, K, N, generator=g))
    a, b = (torch.rand(S, size, generator=g) + 0.1 for size in (K, N))
    if zeros:
        a[:, 0] = 0
    settings = (
        {}
        if uniform
        else {
            "a": (a / a.sum(-1, keepdim=True)).to(DEVICE),
            "b": (b / b.sum(-1, keepdim=True)).to(DEVICE),
        }
    )
    return cost.to(DEVICE), settings


@pytest.mark.parametrize(
    "S, K, N",
    [
        (1, 10, 4),
        (13, 10, 4),
        (7, 7, 3),
        (5, 1, 1),
        (3, 11, 1),
        (2, 1, 5),
        (3, 196, 4),
        (8, 16, 16),
    ],
)
@pytest.mark.parametrize("kind", ["uniform", "given", "zeros"])
def test_equals_the_torch_solver_in_float64(S, K, N, kind):
    if kind == "zeros" and K == 1:
        pytest.skip("a single row has all the mass")
    cost, marginals = problem(S, K, N, uniform=kind == "uniform", zeros=kind == "zeros")
    ours = sinkhorn_triton(cost, epsilon=0.1, **marginals)
    exact = {name: v.double() / v.double().sum(-1, keepdim=True) for name, v in marginals.items()}
    wanted = sinkhorn(cost.double(), epsilon=0.1, tolerance=1e-10, **exact)
    assert ours.plan.shape == (S, K, N) and ours.plan.dtype == torch.float32
    assert ours.converged.all() and ours.iterations.max() < 60, (
        "the kernel itself must settle these"
    )
    for name, tolerance in (("plan", 1e-6), ("marginal_violation", 2e-6)):
        torch.testing.assert_close(
            getattr(ours, name).double(), getattr(wanted, name), atol=tolerance, rtol=0
        )
    again = ((ours.f[..., None] + ours.g[..., None, :] - cost) / 0.1).exp()
    torch.testing.assert_close(again, ours.plan, atol=1e-6, rtol=1e-4)


def test_equals_pot():
    cost, marginals = problem(3, 7, 5, spread=0.2)
    ours = sinkhorn_triton(cost, epsilon=0.1, **marginals)
    for i in range(3):
        a, b, c = (x[i].double().cpu().numpy() for x in (*marginals.values(), cost))
        oracle = ot.sinkhorn(
            a / a.sum(),
            b / b.sum(),
            c,
            0.1,
            method="sinkhorn_log",
            stopThr=1e-12,
            numItermax=10_000,
        )
        np.testing.assert_allclose(ours.plan[i].cpu(), oracle, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.01, 1e-3])
def test_hands_over_what_it_leaves(epsilon):
    """Costs that Sinkhorn's iteration can't settle in its budget are settled by the Newton steps."""
    cost = problem(5, 7, 3, spread=1.0, uniform=True)[0]
    ours, wanted = sinkhorn_triton(cost, epsilon=epsilon), sinkhorn(cost, epsilon=epsilon)
    assert ours.converged.all() and ours.iterations.max() > 60
    torch.testing.assert_close(ours.plan, wanted.plan, atol=1e-5, rtol=0)


def test_leading_axes_gradient_and_low_precision():
    cost = problem(6, 7, 3, uniform=True)[0].view(2, 3, 7, 3).requires_grad_()
    gradients = [
        torch.autograd.grad(
            solver(cost, epsilon=0.1, differentiable=True).plan.square().sum(), cost
        )[0]
        for solver in (sinkhorn_triton, sinkhorn)
    ]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-3)
    low = sinkhorn_triton(cost.detach().bfloat16(), epsilon=0.1)
    torch.testing.assert_close(
        low.plan, sinkhorn(cost.detach().bfloat16(), epsilon=0.1).plan, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("allowed", [1, 2, 6])
def test_stops_at_the_iterations_allowed(allowed):
    result = sinkhorn_triton(
        problem(3, 7, 3, spread=1.0, uniform=True)[0], epsilon=0.01, max_iterations=allowed
    )
    assert (result.iterations == allowed).all() and not result.converged.any()


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"triton": None}, "not installed"),
        ({"INTERPRETED": False}, "needs a CUDA device"),
        ({"LARGEST": 32}, "do not fit"),
        ({}, "float64"),
    ],
)
def test_falls_back_with_a_reason(monkeypatch, change, reason):
    cost = problem(3, 7, 5, uniform=True)[0].cpu()
    cost = cost if change else cost.double()
    for name, value in ({"INTERPRETED": True} | change).items():
        monkeypatch.setattr(module, name, value)
    assert reason in unfit(cost)
    with pytest.warns(UserWarning, match=reason):
        result = sinkhorn_triton(cost, epsilon=0.1)
    torch.testing.assert_close(result.plan, sinkhorn(cost, epsilon=0.1).plan)


def test_the_same_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape, epsilon, message in (((3,), 0.1, "needs"), ((2, 3), 0.0, "positive")):
            with pytest.raises(ValueError, match=message):
                sinkhorn_triton(torch.rand(shape, device=DEVICE), epsilon=epsilon)


@pytest.mark.gpu
@pytest.mark.skipif(INTERPRETED, reason="there is no CUDA device")
def test_many_problems_on_a_gpu():
    cost = problem(256_000, 10, 4, uniform=True)[0]
    torch.testing.assert_close(
        sinkhorn_triton(cost, epsilon=0.1).plan, sinkhorn(cost, epsilon=0.1).plan, atol=1e-6, rtol=0
    )
