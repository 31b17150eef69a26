"""Scores by their formulas; metrics against scikit-learn and brute force."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from sotglp_core import ood

finite_or_not = st.sampled_from([-np.inf, -1.0, 0.0, 2.0, np.inf])
few_values = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=30)


def brute_force_fpr(inside, outside, recall=0.95):
    """Highest threshold among the scores that accepts enough of inside."""
    for threshold in sorted({*inside, *outside}, reverse=True):
        if np.mean([s >= threshold for s in inside]) >= recall - 1e-12:
            return np.mean([s >= threshold for s in outside])


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(few_values, few_values)
def test_metrics_with_ties(inside, outside):
    truth, values = [1] * len(inside) + [0] * len(outside), inside + outside
    assert ood.auroc(inside, outside) == pytest.approx(roc_auc_score(truth, values))
    assert ood.auroc(inside, outside) == pytest.approx(
        np.mean([(a > b) + (a == b) / 2 for a in inside for b in outside])
    )
    assert ood.aupr(inside, outside) == pytest.approx(average_precision_score(truth, values))
    assert ood.fpr_at_recall(inside, outside) == pytest.approx(brute_force_fpr(inside, outside))
    flipped = brute_force_fpr([-s for s in outside], [-s for s in inside])
    assert ood.fpr_at_recall(inside, outside, ood_positive=True) == pytest.approx(flipped)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 300), st.integers(1, 300))
def test_metrics_on_continuous_scores(seed, n, m):
    rng = np.random.default_rng(seed)
    inside, outside = rng.normal(0.5, 1, n), rng.normal(0, 1, m)
    truth, values = np.r_[np.ones(n), np.zeros(m)], np.r_[inside, outside]
    assert ood.auroc(inside, outside) == pytest.approx(roc_auc_score(truth, values))
    assert ood.aupr(inside, outside) == pytest.approx(average_precision_score(truth, values))
    assert ood.fpr_at_recall(inside, outside) == pytest.approx(brute_force_fpr(inside, outside))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(finite_or_not, min_size=1, max_size=20),
    st.lists(finite_or_not, min_size=1, max_size=20),
)
def test_infinite_scores_are_the_largest_and_the_smallest(inside, outside):
    finite = [np.clip(values, -9, 9) for values in (inside, outside)]
    assert ood.metrics(inside, outside) == ood.metrics(*finite)


def test_tied_infinite_scores():
    tied = ood.metrics([np.inf] * 3, [np.inf] * 3)
    assert tied == {"auroc": 0.5, "aupr": 0.5, "fpr95": 1.0, "fpr95_ood_positive": 1.0}


@pytest.mark.parametrize("recall", [0, -0.1, 1.5, float("nan")])
def test_a_recall_outside_0_to_1_is_refused(recall):
    for ood_positive in (False, True):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            ood.fpr_at_recall([1.0], [0.0], recall, ood_positive=ood_positive)
    assert ood.fpr_at_recall([1.0, 0.0], [0.5, -1.0], 1) == 0.5


def test_constant_scores_and_single_images():
    assert ood.metrics([1.0] * 5, [1.0] * 7) == {
        "auroc": 0.5,
        "aupr": 5 / 12,
        "fpr95": 1.0,
        "fpr95_ood_positive": 1.0,
    }
    assert ood.metrics([2.0], [1.0]) == {
        "auroc": 1.0,
        "aupr": 1.0,
        "fpr95": 0.0,
        "fpr95_ood_positive": 0.0,
    }
    assert ood.metrics([1.0], [2.0]) == {
        "auroc": 0.0,
        "aupr": 0.5,
        "fpr95": 1.0,
        "fpr95_ood_positive": 1.0,
    }


def test_the_two_conventions_differ():
    inside, outside = [0.0] + [1.0] * 19, [0.5] * 19 + [2.0]
    assert ood.fpr_at_recall(inside, outside) == 0.05
    assert ood.fpr_at_recall(inside, outside, ood_positive=True) == 0.05
    assert ood.fpr_at_recall([0.0, 0.0] + [1.0] * 18, outside) == 1.0
    assert ood.fpr_at_recall([0.0, 0.0] + [1.0] * 18, outside, ood_positive=True) == 0.1


@pytest.mark.parametrize("metric", [ood.auroc, ood.aupr, ood.fpr_at_recall, ood.metrics])
@pytest.mark.parametrize("inside, outside", [([], [1.0]), ([1.0], []), ([float("nan")], [1.0])])
def test_empty_and_nan_are_errors(metric, inside, outside):
    with pytest.raises(ValueError, match="empty or hold a NaN"):
        metric(inside, outside)


def test_scores_by_their_formulas():
    B, C, P = 2, 3, 5
    g, s, logits = torch.randn(B, C), torch.randn(B, C, P), 100 * torch.randn(B, C)
    for b in range(B):
        e = np.exp(g[b].double().numpy() / 0.5)
        assert ood.mcm(g, tau=0.5)[b] == pytest.approx((e / e.sum()).max())
        patches = np.exp(s[b].double().numpy())
        local = (patches / patches.sum(0)).max()
        assert ood.l_mcm(s)[b] == pytest.approx(local)
        assert ood.gl_mcm(g, s)[b] == pytest.approx(local + float(ood.mcm(g)[b]))
        l = logits[b].double().numpy()
        assert ood.max_logit(logits)[b] == pytest.approx(l.max())
        assert ood.energy(logits)[b] == pytest.approx(np.logaddexp.reduce(l))
        p = np.exp(l - np.logaddexp.reduce(l))
        assert ood.negative_entropy(logits)[b] == pytest.approx(
            np.sum(p * (l - np.logaddexp.reduce(l)))
        )
    seen = SimpleNamespace(similarity=g.half(), patch_similarity=s.half(), logits=logits.half())
    found = ood.scores(seen)
    assert tuple(found) == ood.SCORES
    assert all(score.dtype == torch.float64 and score.shape == (B,) for score in found.values())
    expected = ood.gl_mcm(seen.similarity, seen.patch_similarity)
    torch.testing.assert_close(found["GL-MCM"], expected)


@pytest.mark.parametrize("tau", [1.0, 0.01])
def test_float32_changes_no_metric_of_l_mcm(tau):
    """Against the softmax in float64, on cosines as CLIP has them: 14 classes, 300 images a set."""
    g = torch.Generator().manual_seed(0)
    cosines = [0.2 + 0.03 * torch.randn(300, 14, 49, generator=g) for _ in range(2)]
    cosines[0][:, 3] += 0.01
    exact = [(c.double() / tau).softmax(-2).amax((-1, -2)) for c in cosines]
    ours = [ood.l_mcm(c / tau) for c in cosines]
    for one, other in zip(exact, ours, strict=True):
        torch.testing.assert_close(other, one, atol=0, rtol=1e-6)
    assert ood.metrics(*ours) == pytest.approx(ood.metrics(*exact), abs=1e-6)
