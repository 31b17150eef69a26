"""Figures of scores and of quoted numbers show the shares, points and names that they are given."""

import numpy as np
import pytest
from PIL import Image

from sotglp_core import figures, ood
from sotglp_core.figures.scores import roc_points

rng = np.random.default_rng(0)
INSIDE, NEAR, FAR = rng.normal(1, 1, 211), rng.normal(0.5, 1, 83).round(1), rng.normal(-2, 1, 97)
SHARES = {"MCM": {"birds": 0.95, "cups": 0.2}, "GL-MCM": {"birds": 0.94, "cups": 0.1}}
TURNED = {
    "accuracy": {"": rng.random((3, 5))},
    "AUROC": {"a": rng.random((3, 5)), "b": rng.random((3, 5))},
}
WITHOUT = {"accuracy": {"": rng.random(3)}, "AUROC": {"a": rng.random(3), "b": rng.random(3)}}
AT = (0, 0.5, 0.75, 1, 1.25)
POINTS = [("CLIP", 66.7, 90.8), ("CoOp", 71.7, 91.8), ("PLOT", 72.6, 92.7), ("ours", None, 94.2)]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.score_histograms(INSIDE, {"near": NEAR, "far": FAR}, threshold=0.1),
        lambda: figures.roc(INSIDE, {"near": NEAR, "far": FAR}),
        lambda: figures.dots(SHARES, xlabel="accepted, %", line=0.95),
        lambda: figures.strengths(AT, TURNED, WITHOUT),
        lambda: figures.quoted(
            {"top-1, %": POINTS, "average, %": [*POINTS, ("ours", 73.0, None)]},
            ["theirs", "theirs"],
            ylabel="AUROC, %",
        ),
    ],
    ids=["score_histograms", "roc", "dots", "strengths", "quoted"],
)
def test_draws(draw, tmp_path):
    draw().savefig(tmp_path / "f.png")
    assert np.asarray(Image.open(tmp_path / "f.png").convert("L")).std() > 5, (
        "the figure is not empty"
    )


@pytest.mark.parametrize(
    "outside",
    [NEAR, FAR, INSIDE[:5], np.full(7, 9.0), np.full(7, -9.0)],
    ids=["near", "far", "ties", "above", "below"],
)
def test_the_curve_is_that_of_the_metrics(outside):
    false, true = roc_points(INSIDE, outside)
    assert (
        (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
        and (np.diff(false) >= 0).all()
        and (np.diff(true) >= 0).all()
    )
    assert np.trapezoid(true, false) == pytest.approx(ood.auroc(INSIDE, outside))
    marks = [
        line
        for line in figures.roc(INSIDE, {"": outside}).axes[0].lines
        if line.get_marker() in "os" and len(line.get_xdata())
    ]
    circle, square = (
        line.get_xydata()[0] for line in sorted(marks, key=lambda line: line.get_marker())
    )
    assert circle[0] == pytest.approx(100 * ood.fpr_at_recall(INSIDE, outside))
    assert 100 - square[1] == pytest.approx(100 * ood.fpr_at_recall_ood_positive(INSIDE, outside))


def test_a_threshold_is_drawn_where_it_is():
    (line,) = figures.score_histograms(INSIDE, {"near": NEAR}, threshold=0.125).axes[0].lines
    assert list(line.get_xdata()) == [0.125, 0.125]
    assert not figures.score_histograms(INSIDE, {"near": NEAR}).axes[0].lines


def test_dots_stand_at_their_shares():
    line, mcm, gl_mcm = figures.dots(SHARES, xlabel="", line=0.95).axes[0].lines
    assert (
        list(line.get_xdata()) == [95, 95]
        and list(mcm.get_xdata()) == [95, 20]
        and list(gl_mcm.get_xdata()) == [94, 10]
    )
    assert mcm.get_marker() != gl_mcm.get_marker() and (np.round(mcm.get_ydata()) == [0, 1]).all()


def test_strengths_shows_means_deviations_and_the_model_without():
    accuracy, auroc = figures.strengths(AT, TURNED, WITHOUT).axes
    turned, without = (container[0] for container in accuracy.containers)
    np.testing.assert_allclose(turned.get_ydata(), 100 * TURNED["accuracy"][""].mean(0))
    np.testing.assert_allclose(without.get_ydata(), [100 * WITHOUT["accuracy"][""].mean()])
    assert without.get_xdata()[0] < min(AT) and without.get_markerfacecolor() == "white"
    (bars,) = auroc.containers[2][2]
    spread = [(top - bottom) / 2 for (_, bottom), (_, top) in bars.get_segments()]
    np.testing.assert_allclose(spread, 100 * TURNED["AUROC"]["b"].std(0, ddof=1))
    assert [text.get_text() for text in auroc.get_legend().get_texts()] == ["a", "b"]


def test_quoted_says_so_and_gives_its_sources_once():
    figure = figures.quoted(
        {"top-1, %": [*POINTS, ("theirs", 73.0, None)]},
        ["a README", "a paper", "a README"],
        ylabel="AUROC, %",
    )
    assert (
        "not measured here" in figure.get_suptitle()
        and figure.get_supxlabel() == "Sources: a README; a paper."
    )
    points, across, up = figure.axes[0].lines
    assert points.get_xydata().tolist() == [[66.7, 90.8], [71.7, 91.8], [72.6, 92.7]]
    assert set(across.get_ydata()) == {94.2} and set(up.get_xdata()) == {73.0}
    assert {text.get_text() for text in figure.axes[0].texts} == {
        "CLIP",
        "CoOp",
        "PLOT",
        "ours",
        "theirs",
    }
