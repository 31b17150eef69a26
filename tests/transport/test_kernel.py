"""The fused kernel against torch in float64 and POT: on a GPU, or by Triton's interpreter."""

import importlib
import os
import re
import subprocess
import sys
from functools import partial

import numpy as np
import ot
import pytest
import torch

from sotglp_core.transport.sinkhorn import sinkhorn

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("there is neither a CUDA device nor TRITON_INTERPRET=1", allow_module_level=True)
pytest.importorskip("triton", reason="triton is not installed")
kernel = importlib.import_module("sotglp_core.transport.kernel")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*encountered in:RuntimeWarning"
)  # NumPy's, inside the interpreter
fused, in_torch = partial(sinkhorn, backend="triton"), partial(sinkhorn, backend="torch")


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
    ours = fused(cost, epsilon=0.1, **marginals)
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


def test_equals_pot():
    cost, marginals = problem(3, 7, 5, spread=0.2)
    ours = fused(cost, epsilon=0.1, **marginals)
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
    """Costs that the iterations can't settle in their budget are settled by the Newton steps."""
    cost = problem(5, 7, 3, spread=1.0, uniform=True)[0]
    ours, wanted = fused(cost, epsilon=epsilon), in_torch(cost, epsilon=epsilon)
    assert ours.converged.all() and ours.iterations.max() > 60
    torch.testing.assert_close(ours.plan, wanted.plan, atol=1e-5, rtol=0)


def test_leading_axes_gradient_and_low_precision():
    cost = problem(6, 7, 3, uniform=True)[0].view(2, 3, 7, 3).requires_grad_()
    gradients = [
        torch.autograd.grad(
            solver(cost, epsilon=0.1, differentiable=True).plan.square().sum(), cost
        )[0]
        for solver in (fused, in_torch)
    ]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-3)
    low = fused(cost.detach().bfloat16(), epsilon=0.1)
    torch.testing.assert_close(
        low.plan, in_torch(cost.detach().bfloat16(), epsilon=0.1).plan, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("allowed", [1, 2, 6])
def test_stops_at_the_iterations_allowed(allowed):
    result = fused(
        problem(3, 7, 3, spread=1.0, uniform=True)[0], epsilon=0.01, max_iterations=allowed
    )
    assert (result.iterations == allowed).all() and not result.converged.any()


def test_says_why_it_can_not_run(monkeypatch):
    cost = problem(3, 7, 5, uniform=True)[0].cpu()
    for change, value, reason in (
        ("LARGEST", 32, "7 x 5 do not fit into the registers"),
        ("INTERPRETED", False, "the cost is on cpu, and the kernel needs a CUDA device"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(kernel, change, value)
            with pytest.raises(ValueError, match=f"'triton' is impossible here: .*{reason}"):
                fused(cost, epsilon=0.1)
    with pytest.raises(ValueError, match="the cost is float64; choose 'auto' or 'torch'"):
        fused(cost.double(), epsilon=0.1)


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'triton'"), RuntimeError("0 active drivers ([])")]
)
def test_a_triton_that_does_not_load_is_no_triton(monkeypatch, error):
    """Some versions raise other errors than ImportError where there is no GPU."""

    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "sotglp_core.transport.kernel":
                raise error

    cost = problem(3, 7, 5, uniform=True)[0]
    monkeypatch.delitem(sys.modules, "sotglp_core.transport.kernel")
    monkeypatch.delattr("sotglp_core.transport.kernel")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert sinkhorn(cost, epsilon=0.1).converged.all()
    with pytest.raises(ValueError, match=re.escape(str(error))):
        fused(cost, epsilon=0.1)


def test_auto_never_takes_the_interpreter(monkeypatch):
    monkeypatch.setattr(kernel, "scale", None)
    assert sinkhorn(problem(3, 7, 5, uniform=True)[0].cpu(), epsilon=0.1).converged.all()


COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from sotglp_core.transport.kernel import _iterate

types = {name: "*fp32" for name in ("cost", "a", "b", "plan", "violation")}
types |= {"iterations": "*i64", "K": "i32", "N": "i32", "budget": "i32"}
types |= {"epsilon": "fp32", "tolerance": "fp32", "KP": "constexpr", "NP": "constexpr"}
for sizes in ({"KP": 1, "NP": 1}, {"KP": 16, "NP": 4}, {"KP": 64, "NP": 64}):
    source = ASTSource(_iterate, types, constexprs=sizes)
    compiled = compile(source, GPUTarget("cuda", 80, 32), {"enable_fp_fusion": False})
    assert "cubin" in compiled.asm and "fma.rn.f32" not in compiled.asm["ptx"]
"""


@pytest.mark.slow
def test_compiles_for_a_gpu():
    """The interpreter takes code that the compiler does not; compiling needs no GPU."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_same_errors():
    for shape, epsilon, message in (((3,), 0.1, "needs"), ((2, 3), 0.0, "positive")):
        with pytest.raises(ValueError, match=message):
            fused(torch.rand(shape, device=DEVICE), epsilon=epsilon)


@pytest.mark.gpu
@pytest.mark.skipif(INTERPRETED, reason="there is no CUDA device")
def test_many_problems_on_a_gpu():
    cost = problem(256_000, 10, 4, uniform=True)[0]
    torch.testing.assert_close(
        fused(cost, epsilon=0.1).plan, in_torch(cost, epsilon=0.1).plan, atol=1e-6, rtol=0
    )
