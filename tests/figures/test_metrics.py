"""Figures of a model's answers show the counts, gaps, thresholds and points of the metrics."""

import numpy as np
import pytest
import torch
from PIL import Image

from sotglp_core import figures, ood
from sotglp_core.judging.evaluation import calibration_error

rng = np.random.default_rng(0)
INSIDE, NEAR, FAR = rng.normal(1, 1, 211), rng.normal(0.5, 1, 83).round(1), rng.normal(-2, 1, 97)
COUNTS = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 5]])
NAMES = ["a $x", "b", "c" * 50]
CONFIDENCE, CORRECT = rng.random(211) * 0.5 + 0.5, rng.random(211) < 0.6


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.roc(INSIDE, {"near": NEAR, "far": FAR}),
        lambda: figures.confusion(COUNTS, NAMES),
        lambda: figures.confusion(np.eye(31, dtype=int), ["a long name of a class"] * 31),
        lambda: figures.reliability(CONFIDENCE, CORRECT),
    ],
    ids=["roc", "confusion", "many classes", "reliability"],
)
def test_draws(draw, tmp_path):
    draw().savefig(tmp_path / "f.png")
    assert np.asarray(Image.open(tmp_path / "f.png").convert("L")).std() > 5, "an empty figure"


@pytest.mark.parametrize(
    "outside",
    [NEAR, FAR, INSIDE[:5], np.full(7, 9.0), np.full(7, -9.0)],
    ids=["near", "far", "ties", "above", "below"],
)
def test_the_curve_is_that_of_the_metrics(outside):
    (ax,) = figures.roc(INSIDE, {"set": outside}).axes
    (curve,) = (line for line in ax.lines if line.get_label() == "set")
    accepted, recalled = np.array(curve.get_data()) / 100
    assert (accepted[0], recalled[0], accepted[-1], recalled[-1]) == (0, 0, 1, 1)
    assert (np.diff(accepted) >= 0).all() and (np.diff(recalled) >= 0).all()
    area = (np.diff(accepted) * (recalled[1:] + recalled[:-1]) / 2).sum()
    assert area == pytest.approx(ood.auroc(INSIDE, outside))
    circle, square = (
        next(line.get_xydata()[0] for line in ax.lines if line.get_marker() == mark)
        for mark in "os"
    )
    assert circle[0] == pytest.approx(100 * ood.fpr_at_recall(INSIDE, outside))
    assert 100 - square[1] == pytest.approx(
        100 * ood.fpr_at_recall(INSIDE, outside, ood_positive=True)
    )


def test_the_curve_of_infinite_scores():
    (ax,) = figures.roc(np.array([np.inf, 1.0]), {"set": np.array([0.0, -np.inf])}).axes
    (curve,) = (line for line in ax.lines if line.get_label() == "set")
    assert [0, 100] in curve.get_xydata().tolist()


def test_reliability_draws_the_calibration_error():
    top, bottom = figures.reliability(CONFIDENCE, CORRECT).axes
    gaps = [abs(b - a) / 100 for (_, a), (_, b) in top.collections[0].get_segments()]
    number = bottom.patches[0].get_data().values
    logits = torch.tensor(np.stack([CONFIDENCE, 1 - CONFIDENCE], 1)).log()
    expected = calibration_error(logits, torch.tensor(~CORRECT).long())
    assert np.dot(gaps, number[number > 0]) / len(CORRECT) == pytest.approx(expected)


def test_confusion_is_in_per_cent_of_the_true_class():
    ax = figures.confusion(COUNTS, NAMES).axes[0]
    percent = ax.images[0].get_array()
    np.testing.assert_allclose(percent, [[75, 25, 0], [0, 0, 0], [200 / 7, 0, 500 / 7]])
    assert {text.get_text() for text in ax.texts} == {"75", "25", "0", "29", "71"}
    assert ax.get_yticklabels()[2].get_text() == "c" * 35 + "…"
