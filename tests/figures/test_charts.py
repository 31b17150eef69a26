"""Charts show the means, spreads and fractions that they are given."""

import numpy as np
import pytest
from PIL import Image

from sotglp_core import figures
from sotglp_core.learning.training import Epoch

rng = np.random.default_rng(0)
EPOCHS = {
    name: [Epoch(1, 2.0, 0.1 + i, 0.1), Epoch(2, 1.0, 0.5, 0.0)] for i, name in enumerate("ab")
}
LINES = {"sotglp": rng.random((3, 5)), "coop": rng.random((1, 5))}
X = (1, 2, 4, 8, 16)
FRACTIONS = {"MCM": {"birds": 0.95, "cups": 0.2}, "GL-MCM": {"birds": 0.94, "cups": 0.1}}


def curves():
    return figures.curves(X, LINES, xlabel="shots", ylabel="top-1 accuracy, %")


@pytest.mark.parametrize(
    "draw",
    [
        curves,
        lambda: figures.history(EPOCHS),
        lambda: figures.dots(FRACTIONS, xlabel="accepted, %", line=0.95),
        lambda: figures.dots({"only": {"a": 0.5}}, xlabel="accepted, %"),
        lambda: figures.tradeoff({"a $x": ([0.5, 0.6], [0.7, 0.8]), "b$\\no": ([0.5], [0.9])}),
        lambda: figures.history({f"run {i}": EPOCHS["a"] for i in range(11)}),
    ],
    ids=["curves", "history", "dots", "one row of dots", "names with dollars", "many runs"],
)
def test_draws(draw, tmp_path):
    draw().savefig(tmp_path / "f.png")
    assert np.asarray(Image.open(tmp_path / "f.png").convert("L")).std() > 5, "an empty figure"


def test_tradeoff_shows_mean_and_standard_deviation():
    ax = figures.tradeoff({"a": ([0.5, 0.7], [0.8, 0.8]), "b": ([0.5], [0.9])}).axes[0]
    (mean, _, (across, _)), (single, _, none) = ax.containers
    assert (mean.get_xdata()[0], mean.get_ydata()[0]) == pytest.approx((60, 80))
    (left, _), (right, _) = across.get_segments()[0]
    assert (right - left) / 2 == pytest.approx(100 * np.std([0.5, 0.7], ddof=1))
    assert single.get_xdata()[0] == 50 and not none, "one seed has no spread"


def test_curves_show_mean_and_standard_deviation_over_seeds():
    (ax,) = curves().axes
    drawn = [line for line in ax.lines if line.get_linestyle() == "-"]
    sotglp, coop = (line for line in drawn if len(line.get_xdata()))
    np.testing.assert_allclose(sotglp.get_data(), (X, 100 * LINES["sotglp"].mean(0)))
    np.testing.assert_allclose(coop.get_ydata(), 100 * LINES["coop"][0])
    bars = [np.array(c.get_segments()) for c in ax.collections if len(c.get_segments())]
    spread = np.ptp(bars[0][..., 1], axis=1) / 2
    np.testing.assert_allclose(spread, 100 * LINES["sotglp"].std(0, ddof=1))
    assert [label.get_text() for label in ax.get_xticklabels()] == list(map(str, X))
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(LINES)


def test_history_is_loss_beside_accuracy():
    loss, accuracy = figures.history(EPOCHS).axes
    np.testing.assert_allclose(loss.lines[0].get_data(), ([1, 2], [2, 1]))
    np.testing.assert_allclose(accuracy.lines[0].get_data(), ([1, 2], [10, 50]))
    assert loss.get_legend() is None and accuracy.get_legend()


def test_dots_stand_at_their_fractions():
    (ax,) = figures.dots(FRACTIONS, xlabel="", line=0.95).axes
    line, mcm, gl_mcm = (drawn for drawn in ax.lines if len(drawn.get_xdata()))
    assert list(line.get_xdata()) == [95, 95]
    np.testing.assert_allclose(mcm.get_xdata(), [95, 20])
    np.testing.assert_allclose(gl_mcm.get_xdata(), [94, 10])
    assert mcm.get_marker() != gl_mcm.get_marker()
    np.testing.assert_array_equal(np.round(mcm.get_ydata()), [0, 1])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["birds", "cups"]
