"""Figures draw what they are given."""

import numpy as np
import pytest
from PIL import Image

from sotglp_core import figures
from sotglp_core.learning.training import Epoch

IMAGE = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)


def plan(N=3, h=5, w=7):
    p = np.random.default_rng(1).random((N, h, w))
    p[:, 0] = 0
    return p / p.sum()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.contact_sheet(
            [IMAGE] * 7, [f"a long species name {i}" for i in range(7)], columns=3
        ),
        lambda: figures.partition(IMAGE, plan(), title="red-crowned finch"),
        lambda: figures.tradeoff({"a": ([0.5, 0.6], [0.7, 0.8]), "b": ([0.5], [0.9])}),
        lambda: figures.history({"a": [Epoch(1, 2.0, 0.1, 0.1), Epoch(2, 1.0, 0.5, 0.0)]}),
        lambda: figures.score_histograms(
            np.random.rand(50), {"x": np.random.rand(30), "y": np.random.rand(20)}
        ),
    ],
    ids=["contact_sheet", "partition", "tradeoff", "history", "score_histograms"],
)
def test_draws(draw, tmp_path):
    figure = draw()
    figure.savefig(tmp_path / "f.png")
    assert np.asarray(Image.open(tmp_path / "f.png").convert("L")).std() > 5, (
        "the figure is not empty"
    )


def test_shares():
    p = np.zeros((2, 1, 3))
    p[:, 0, 0], p[:, 0, 1] = (0.3, 0.1), (0.1, 0.1)
    colours = figures.shares(p)
    assert colours.shape == (1, 3, 4) and colours[0, 2, 3] == 0
    assert colours[0, 0, 3] == pytest.approx(0.25 + 0.75 * 0.75) and colours[
        0, 1, 3
    ] == pytest.approx(0.25 + 0.75 * 0.5)


def test_tradeoff_shows_mean_and_deviation():
    ax = figures.tradeoff({"a": ([0.5, 0.7], [0.8, 0.8])}).axes[0]
    line, _, _ = ax.containers[0]
    assert line.get_xdata()[0] == pytest.approx(60) and line.get_ydata()[0] == pytest.approx(80)
