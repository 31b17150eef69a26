"""The solver against POT, closed forms and the laws of transport."""

import os
import subprocess
import sys
import time

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sotglp_core.transport.sinkhorn import marginal_violation, sinkhorn


def costs(*shape, seed=0, dtype=torch.float64):
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def clip_like(*shape, seed=0, dtype=torch.float64):
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return 1 - (0.25 + 0.015 * noise)


def weights(*shape, seed=0, zeros=False):
    w = (
        torch.rand(*shape, generator=torch.Generator().manual_seed(seed + 100), dtype=torch.float64)
        + 0.05
    )
    if zeros:
        w[..., 0] = 0
    return w / w.sum(-1, keepdim=True)


ADVERSARIAL = {
    "clip": lambda d: clip_like(13, 7, 3, dtype=d),
    "uniform": lambda d: costs(13, 7, 3, dtype=d),
    "square": lambda d: costs(13, 5, 5, dtype=d),
    "ties": lambda d: costs(13, 11, 5, dtype=d).round(),
    "permutation": lambda d: (1 - torch.eye(7, dtype=d)).expand(2, 7, 7),
    "constant": lambda d: torch.ones(2, 5, 3, dtype=d),
    "two blocks": lambda d: (
        torch.block_diag(torch.zeros(3, 2), torch.zeros(4, 3))
        .add(1)
        .where(torch.block_diag(torch.ones(3, 2), torch.ones(4, 3)) == 0, torch.zeros(()))
        .to(d)[None]
    ),
    "wide range": lambda d: 100 * costs(3, 7, 5, dtype=d),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("epsilon", [1e-3, 1e-2, 0.1, 1, 10])
@pytest.mark.parametrize(
    "dtype, bound", [(torch.float64, 1e-6), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
def test_converges(name, epsilon, dtype, bound):
    result = sinkhorn(ADVERSARIAL[name](dtype), epsilon=epsilon)
    K, N = result.plan.shape[-2:]
    measured = marginal_violation(
        result.plan.double(), torch.full((K,), 1 / K).double(), torch.full((N,), 1 / N).double()
    )
    assert result.plan.dtype == dtype
    assert result.converged.all() and measured.max() <= bound
    assert (result.plan >= 0).all()


@pytest.mark.parametrize("epsilon", [0.03, 0.1, 1.0])
@pytest.mark.parametrize("zeros", [False, True])
def test_equals_pot(epsilon, zeros):
    cost, a, b = costs(7, 3), weights(7, zeros=zeros), weights(3, seed=1)
    oracle = ot.sinkhorn(
        a.numpy(),
        b.numpy(),
        cost.numpy(),
        epsilon,
        method="sinkhorn_log",
        stopThr=1e-13,
        numItermax=100_000,
        warn=False,
    )
    np.testing.assert_allclose(
        sinkhorn(cost, epsilon=epsilon, a=a, b=b, tolerance=1e-12).plan,
        np.nan_to_num(oracle),
        atol=1e-9,
    )


def test_small_epsilon_reaches_the_linear_programme():
    cost, a, b = costs(7, 5), weights(7), weights(5, seed=1)
    optimum = ot.emd2(a.numpy(), b.numpy(), cost.numpy())
    values = [
        float((sinkhorn(cost, epsilon=e, a=a, b=b).plan * cost).sum()) for e in (0.1, 0.01, 0.001)
    ]
    assert values[0] > values[1] > values[2] > optimum - 1e-6
    assert values[2] - optimum < 1e-3 * np.log(35)  # the entropy's bound


def test_constant_cost_gives_the_product_of_marginals():
    a, b = weights(7), weights(3, seed=1)
    plan = sinkhorn(torch.full((7, 3), 0.7, dtype=torch.float64), epsilon=0.1, a=a, b=b).plan
    torch.testing.assert_close(plan, a[:, None] * b)


def test_two_by_two_closed_form():
    """cost [[0, c], [c, 0]] with uniform marginals: p_11 = 1 / (2 (1 + exp(-c / eps)))."""
    c, epsilon = 0.3, 0.1
    plan = sinkhorn(
        torch.tensor([[0, c], [c, 0]], dtype=torch.float64), epsilon=epsilon, tolerance=1e-12
    ).plan
    diagonal = 0.5 / (1 + np.exp(-c / epsilon))
    torch.testing.assert_close(
        plan,
        torch.tensor([[diagonal, 0.5 - diagonal], [0.5 - diagonal, diagonal]], dtype=torch.float64),
    )


def test_zero_marginals_leave_zero_rows_and_columns():
    for epsilon in (0.1, 1e-3):
        r = sinkhorn(
            costs(5, 7, 3),
            epsilon=epsilon,
            a=weights(7, zeros=True),
            b=weights(3, seed=1, zeros=True),
        )
        assert r.converged.all() and not r.plan.isnan().any()
        assert (r.plan[:, 0] == 0).all() and (r.plan[..., 0] == 0).all()


problem = st.tuples(
    st.integers(1, 11), st.integers(1, 7), st.integers(0, 10_000), st.sampled_from([0.02, 0.1, 1.0])
)


@settings(max_examples=30, deadline=None)
@given(problem)
def test_transpose(p):
    K, N, seed, epsilon = p
    cost, a, b = costs(K, N, seed=seed), weights(K, seed=seed), weights(N, seed=seed + 1)
    forward = sinkhorn(cost, epsilon=epsilon, a=a, b=b, tolerance=1e-10).plan
    torch.testing.assert_close(
        sinkhorn(cost.T, epsilon=epsilon, a=b, b=a, tolerance=1e-10).plan.T,
        forward,
        atol=1e-8,
        rtol=0,
    )


@settings(max_examples=30, deadline=None)
@given(problem)
def test_permutation_and_constant_shift(p):
    K, N, seed, epsilon = p
    cost, a, b = costs(K, N, seed=seed), weights(K, seed=seed), weights(N, seed=seed + 1)
    order = torch.randperm(K, generator=torch.Generator().manual_seed(seed))
    plan = sinkhorn(cost, epsilon=epsilon, a=a, b=b, tolerance=1e-10).plan
    moved = sinkhorn(cost[order] + 0.37, epsilon=epsilon, a=a[order], b=b, tolerance=1e-10).plan
    torch.testing.assert_close(moved, plan[order], atol=1e-8, rtol=0)


@settings(max_examples=30, deadline=None)
@given(problem)
def test_shifts_of_rows_and_columns_do_not_matter(p):
    K, N, seed, epsilon = p
    cost, row, column = (
        costs(K, N, seed=seed),
        costs(K, 1, seed=seed + 1),
        costs(1, N, seed=seed + 2),
    )
    torch.testing.assert_close(
        sinkhorn(cost + row + column, epsilon=epsilon, tolerance=1e-10).plan,
        sinkhorn(cost, epsilon=epsilon, tolerance=1e-10).plan,
        atol=1e-8,
        rtol=0,
    )


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.005, 0.1]))
def test_batch_equals_loop(seed, epsilon):
    cost = costs(2, 3, 7, 5, seed=seed)
    batch = sinkhorn(cost, epsilon=epsilon)
    assert batch.plan.shape == (2, 3, 7, 5)
    assert (
        batch.converged.shape == batch.iterations.shape == batch.marginal_violation.shape == (2, 3)
    )
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(
                batch.plan[i, j], sinkhorn(cost[i, j], epsilon=epsilon).plan, atol=1e-5, rtol=0
            )


def unrolled(cost, epsilon, iterations=300):
    """The textbook iteration in log domain, differentiated through every step."""
    K, N = cost.shape
    f, g = cost.new_zeros(K), cost.new_zeros(N)
    for _ in range(iterations):
        f = -epsilon * (torch.logsumexp((g - cost) / epsilon, 1) + np.log(K))
        g = -epsilon * (torch.logsumexp((f[:, None] - cost) / epsilon, 0) + np.log(N))
    return ((f[:, None] + g - cost) / epsilon).exp()


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_gradient_equals_unrolled_iterations(epsilon):
    weight = costs(7, 3, seed=5)
    gradients = []
    for solve in (
        lambda c: sinkhorn(c, epsilon=epsilon, tolerance=1e-13, differentiable=True).plan,
        lambda c: unrolled(c, epsilon),
    ):
        cost = costs(7, 3, seed=4).requires_grad_()
        (solve(cost) * weight).sum().backward()
        gradients.append(cost.grad)
    torch.testing.assert_close(*gradients, atol=1e-8, rtol=1e-6)


def test_gradcheck():
    cost = costs(2, 5, 3, seed=3).requires_grad_()
    torch.autograd.gradcheck(
        lambda c: sinkhorn(c, epsilon=0.3, tolerance=1e-13, differentiable=True).plan,
        cost,
        atol=1e-6,
    )


def test_plan_is_a_constant_by_default():
    assert not sinkhorn(costs(7, 3).requires_grad_(), epsilon=0.1).plan.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_at_least_float32_even_under_autocast(dtype):
    cost = clip_like(5, 7, 3, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        result = sinkhorn(cost.to(dtype), epsilon=0.1)
        same = sinkhorn(cost.to(dtype).float(), epsilon=0.1)
    assert result.plan.dtype == torch.float32 and result.marginal_violation.max() < 1e-6
    torch.testing.assert_close(result.plan, same.plan)


def test_stops_at_the_iterations_allowed_and_says_so():
    result = sinkhorn(costs(7, 3), epsilon=0.01, max_iterations=2)
    assert result.iterations == 2 and not result.converged and result.marginal_violation > 1e-6


def test_a_total_of_almost_one_is_a_total():
    """b is scaled to the total of a, so that there is a plan with these marginals."""
    cost = torch.rand(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = torch.full((3,), 0.333333, dtype=torch.float64)
    oracle = ot.sinkhorn(
        (a / a.sum()).numpy(), [0.5, 0.5], cost.numpy(), 0.01, method="sinkhorn_log", stopThr=1e-12
    )
    result = sinkhorn(cost, epsilon=0.01, a=a)
    assert result.converged
    np.testing.assert_allclose(result.plan, oracle * float(a.sum()), atol=1e-6)
    np.testing.assert_allclose(result.plan.sum(0), float(a.sum()) / 2, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-8, 1e-12]), st.sampled_from([0.01, 0.1]))
def test_the_second_stage_makes_no_plan_worse(seed, tolerance, epsilon):
    """Float32 can't reach such tolerances; what it can reach must not be lost in trying."""
    cost = torch.rand(3, 10, 4, generator=torch.Generator().manual_seed(seed))
    first = sinkhorn(cost, epsilon=epsilon, tolerance=tolerance, max_iterations=60)
    both = sinkhorn(cost, epsilon=epsilon, tolerance=tolerance)
    assert (both.marginal_violation <= first.marginal_violation).all()
    assert both.marginal_violation.max() < 1e-6
    exact = sinkhorn(cost.double(), epsilon=epsilon, tolerance=1e-12).plan
    torch.testing.assert_close(both.plan.double(), exact, atol=1e-6, rtol=0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([1e-3, 1e-10, 1e-16, 1e-30, 1e-300, 5e-324]),
    st.sampled_from([1, 50, 61, 200]),
    st.sampled_from([1.0, 1e30]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_every_epsilon_and_budget_gives_a_plan(seed, epsilon, max_iterations, size, dtype):
    """Finite, of mass 1, with exact rows or a violation that is told; converged only if it is."""
    cost = size * costs(3, 7, 5, seed=seed, dtype=dtype)
    result = sinkhorn(cost, epsilon=epsilon, max_iterations=max_iterations)
    assert all(x.isfinite().all() for x in result)
    mass = result.plan.sum((-1, -2))
    torch.testing.assert_close(mass, torch.ones(3, dtype=dtype), atol=1e-5, rtol=0)
    a, b = torch.full((7,), 1 / 7, dtype=dtype), torch.full((5,), 1 / 5, dtype=dtype)
    measured = marginal_violation(result.plan, a, b)
    torch.testing.assert_close(result.marginal_violation, measured, atol=1e-6, rtol=0)
    assert (result.converged == (result.marginal_violation <= 1e-6)).all()


def test_pieces_make_no_difference(monkeypatch):
    cost, whole = costs(53, 7, 3), sinkhorn(costs(53, 7, 3), epsilon=0.1)
    monkeypatch.setattr("sotglp_core.transport.sinkhorn.SERIAL", 100)
    torch.testing.assert_close(sinkhorn(cost, epsilon=0.1).plan, whole.plan, atol=1e-6, rtol=0)
    assert sinkhorn(cost[:0], epsilon=0.1).plan.shape == (0, 7, 3)


@pytest.mark.slow
def test_busy_cores_do_not_stop_it():
    """With all cores taken by others, at most three times slower than a plain loop."""

    def plain():
        kernel, q = (-cost / 0.1).exp(), torch.ones(len(cost), 4, 1)
        for _ in range(4):
            p = 0.1 / (kernel @ q)
            q = 0.25 / (kernel.mT @ p)
        return p * kernel * q.mT

    def seconds(call):
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    cost, threads = clip_like(47_000, 10, 4, dtype=torch.float32), torch.get_num_threads()
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())
    ]
    torch.set_num_threads(os.cpu_count())
    try:
        pairs = [(seconds(lambda: sinkhorn(cost, epsilon=0.1)), seconds(plain)) for _ in range(7)]
    finally:
        torch.set_num_threads(threads)
        for process in busy:
            process.kill()
    assert np.median([ours / plain for ours, plain in pairs]) < 3, pairs


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(cost=torch.rand(3), epsilon=0.1), "needs"),
        (dict(cost=torch.rand(0, 3), epsilon=0.1), "needs"),
        (dict(cost=torch.rand(2, 3), epsilon=0.0), "positive"),
        (dict(cost=torch.rand(2, 3), epsilon=float("nan")), "positive"),
        (dict(cost=torch.rand(2, 3), epsilon=float("inf")), "positive"),
        (dict(cost=torch.rand(2, 3), epsilon=0.1, backend="cuda"), "one of auto, torch, triton"),
        (dict(cost=torch.full((2, 3), float("nan")), epsilon=0.1), "NaN or infinity"),
        (dict(cost=torch.rand(2, 3), epsilon=0.1, max_iterations=0), "at least 1"),
        (dict(cost=torch.rand(2, 3), epsilon=0.1, a=torch.ones(3)), "a marginal has shape"),
        (dict(cost=torch.rand(2, 3), epsilon=0.1, b=torch.tensor([1.0, -1, 1])), "non-negative"),
        (dict(cost=torch.rand(2, 3), epsilon=0.1, b=torch.zeros(3)), "positive total"),
        (dict(cost=torch.rand(2, 3), epsilon=0.1, b=torch.ones(3)), "same total"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(**arguments)
