"""Support, allocations and score against formulas written as loops."""

from typing import get_args

import pytest
import torch
from torch.nn.functional import normalize

from sotglp_core.config import Allocation
from sotglp_core.method.alignment import ALLOCATIONS, align
from sotglp_core.transport.sinkhorn import marginal_violation, sinkhorn

B, C, P, K, N, D = 2, 3, 11, 5, 7, 13


@pytest.fixture
def unit():
    g = torch.Generator().manual_seed(0)
    return (
        normalize(torch.randn(B, P, D, generator=g, dtype=torch.float64), dim=-1),
        normalize(torch.randn(C, N, D, generator=g, dtype=torch.float64), dim=-1),
    )


def loops(patches, prompts, k):
    """(similarity, ranking) of every image and class, and the k best patches, by definition."""
    for b in range(B):
        for c in range(C):
            s = torch.tensor(
                [[float(patches[b, p] @ prompts[c, n]) for n in range(N)] for p in range(P)],
                dtype=torch.float64,
            )
            best = sorted(range(P), key=lambda p: -float(s[p].mean()))[:k]
            yield b, c, s, best


def test_support_is_the_largest_mean_cosine_and_shared_by_the_prompts(unit):
    result = align(*unit, support=K)
    assert result.plan.shape == result.similarity.shape == (
        B,
        C,
        K,
        N,
    ) and result.support.shape == (B, C, K)
    for b, c, s, best in loops(*unit, K):
        assert result.support[b, c].tolist() == best
        torch.testing.assert_close(result.similarity[b, c], s[best])


def test_balanced_ot_on_the_support(unit):
    result = align(*unit, support=K, epsilon=0.05)
    a, b = torch.full((K,), 1 / K).double(), torch.full((N,), 1 / N).double()
    assert marginal_violation(result.plan, a, b).max() < 1e-6
    for i, c, s, best in loops(*unit, K):
        plan = sinkhorn(1 - s[best], epsilon=0.05).plan
        torch.testing.assert_close(result.plan[i, c], plan, atol=1e-7, rtol=0)
        torch.testing.assert_close(result.score[i, c], (plan * s[best]).sum(), atol=1e-6, rtol=0)


def test_ot_over_all_patches(unit):
    result = align(*unit, support=None)
    assert result.plan.shape == (B, C, P, N)
    assert (
        marginal_violation(
            result.plan, torch.full((P,), 1 / P).double(), torch.full((N,), 1 / N).double()
        ).max()
        < 1e-6
    )


def test_uniform_plan_scores_the_mean(unit):
    result = align(*unit, support=K, allocation="uniform")
    torch.testing.assert_close(result.score, result.similarity.mean((-1, -2)))


def test_max_gives_each_patch_to_its_best_prompt(unit):
    result = align(*unit, support=K, allocation="max")
    torch.testing.assert_close(result.score, result.similarity.amax(-1).mean(-1))
    torch.testing.assert_close(result.plan.sum(-1), torch.full((B, C, K), 1 / K).double())


def test_topk_gives_each_prompt_its_own_patches(unit):
    result = align(*unit, allocation="topk", top_k=(2, 3), support=None)
    for b, c, s, _ in loops(*unit, K):
        wanted = (
            sum(s[:, n].sort(descending=True).values[: (2, 3)[n % 2]].mean() for n in range(N)) / N
        )
        torch.testing.assert_close(result.score[b, c], wanted)
    torch.testing.assert_close(result.plan.sum(-2), torch.full((B, C, N), 1 / N).double())


@pytest.mark.parametrize("allocation", ["ot", "uniform", "topk", "max"])
def test_the_score_is_the_mean_of_the_prompts_scores(unit, allocation):
    result = align(*unit, support=K, allocation=allocation, top_k=(3,))
    mass = result.plan.sum(-2)
    torch.testing.assert_close((result.prompt_scores * mass).sum(-1), result.score)
    assert (result.prompt_scores <= result.similarity.amax(2) + 1e-6).all()


def test_divided_by_prompts(unit):
    torch.testing.assert_close(
        align(*unit, support=K, divide_by_prompts=True).score, align(*unit, support=K).score / N
    )


def test_gradient_is_the_plan(unit):
    """The plan is a constant: d score / d similarity is the plan, also where OT would move."""
    patches, prompts = unit
    prompts = prompts.clone().requires_grad_()
    result = align(patches, prompts, support=K, epsilon=0.05)
    assert not result.plan.requires_grad
    result.score[1, 2].backward()
    wanted = torch.einsum("kn,kd->nd", result.plan[1, 2], patches[1, result.support[1, 2]])
    torch.testing.assert_close(prompts.grad[2], wanted)
    assert (prompts.grad[:2] == 0).all()


def test_gradient_through_the_plan_on_request(unit):
    """Then the score's gradient is that of the whole function, checked by finite differences."""
    patches, prompts = unit
    prompts = prompts.clone().requires_grad_()
    torch.autograd.gradcheck(
        lambda t: (
            align(
                patches,
                t,
                support=None,
                epsilon=0.5,
                differentiable=True,
                solver=lambda c, **k: sinkhorn(c, tolerance=1e-13, **k),
            ).score
        ),
        prompts,
        atol=1e-5,
    )


def test_plan_on_the_grid(unit):
    result = align(*unit, support=K)
    grid = result.on_grid(P)
    assert grid.shape == (B, C, P, N)
    torch.testing.assert_close(
        grid.gather(2, result.support[..., None].expand(-1, -1, -1, N)), result.plan
    )
    torch.testing.assert_close(grid.sum((-1, -2)), torch.ones(B, C).double(), atol=1e-6, rtol=0)


def dense(patches, prompts, k, epsilon=0.1):
    """The naive formula: the similarity of every patch with every prompt, ranked and gathered."""
    similarity = torch.einsum("bpd,cnd->bcpn", patches, prompts)
    index = similarity.mean(-1).topk(k, -1).indices
    similarity = similarity.gather(2, index[..., None].expand(-1, -1, -1, prompts.shape[1]))
    plan = sinkhorn(1 - similarity.detach(), epsilon=epsilon).plan
    return index, similarity, plan, (plan * similarity).sum((-1, -2))


@pytest.mark.parametrize("exact", [False, True])
def test_equals_the_dense_formula(exact):
    """Support, plan, score and both gradients; with few exact values, the order of ties, too."""
    g = torch.Generator().manual_seed(1)
    patches, prompts = torch.randn(2, 97, 13, generator=g), torch.randn(11, 4, 13, generator=g)
    if exact:  # dyadic numbers, without rounding in either formula
        patches, prompts = (x.round().clamp(-1, 1) / 8 for x in (patches, prompts))
    else:
        patches, prompts = (normalize(x.double(), dim=-1) for x in (patches, prompts))
    weight, leaves = (
        torch.randn(2, 11, generator=g).to(patches),
        [x.requires_grad_() for x in (patches, prompts)],
    )
    ours, (index, similarity, plan, score) = (
        align(patches, prompts, support=K),
        dense(patches, prompts, K),
    )
    if exact:
        ranked = (
            torch.einsum("bpd,cd->bcp", patches, prompts.mean(1)).sort(-1, descending=True).values
        )
        assert (ranked[..., K - 1] == ranked[..., K]).any(), (
            "there must be ties at the edge of the support"
        )
    assert (ours.support == index).all()
    tolerance = {"atol": 1e-6, "rtol": 0}
    for a, b in ((ours.similarity, similarity), (ours.plan, plan), (ours.score, score)):
        torch.testing.assert_close(a, b, **tolerance)
    for a, b in zip(
        *(torch.autograd.grad((s * weight).sum(), leaves) for s in (ours.score, score))
    ):
        torch.testing.assert_close(a, b, **tolerance)


def test_takes_the_solver_as_an_argument(unit):
    calls = []

    def solver(cost, *, epsilon, differentiable):
        calls.append((cost, epsilon))
        return sinkhorn(cost, epsilon=epsilon)

    result = align(*unit, support=K, epsilon=0.3, solver=solver)
    assert len(calls) == 1 and calls[0][1] == 0.3
    torch.testing.assert_close(calls[0][0], 1 - result.similarity)


def test_the_settings_know_the_allocations():
    assert set(ALLOCATIONS) == set(get_args(Allocation))


def test_errors(unit):
    with pytest.raises(ValueError, match="at most 11"):
        align(*unit, support=12)
