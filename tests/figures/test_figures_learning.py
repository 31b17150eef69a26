"""Figures of learning and of methods compared: what is drawn is what was given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from sotglp_core import figures

RNG = np.random.default_rng(0)


def offsets(ax):
    return [(float(x), float(y)) for line in ax.lines for x, y in zip(*line.get_data())]


def test_measures_puts_chance_hollow_and_the_measured_filled():
    found = {
        "ot": {"purity": 0.8, "effective prompts": 3.0},
        "max": {"purity": 0.7, "effective prompts": 1.5},
    }
    figure = figures.measures(found, {"ot": {"purity": 0.6}})
    purity, effective = figure.axes
    assert sorted(offsets(purity)) == [(0.6, 0), (0.7, 1), (0.8, 0)] and sorted(
        offsets(effective)
    ) == [(1.5, 1), (3.0, 0)]
    hollow = [line for line in purity.lines if to_hex(line.get_markerfacecolor()) == "#ffffff"]
    assert [float(line.get_xdata()[0]) for line in hollow] == [0.6]
    assert purity.get_xlim() == (0, 1) and effective.get_xlim() == (0, 3)
    assert [label.get_text() for label in purity.get_yticklabels()] == ["ot", "max"]


def test_partitions_is_pictures_by_methods_with_even_shares_in_grey():
    images, parts = RNG.integers(0, 256, (2, 28, 28, 3), dtype=np.uint8), np.zeros((2, 28, 28), int)
    parts[:, 7:21, 7:21] = 3
    even, split = np.zeros((2, 2, 5, 7)), np.zeros((2, 2, 5, 7))
    even[:, :, 2, 3], split[:, 1, 2, 3] = 0.5, 1
    figure = figures.partitions(images, {"even": even, "split": split}, parts)
    assert len(figure.axes) == 6
    grey, second = (figure.axes[column].images[-1].get_array()[2, 3] for column in (1, 2))
    assert to_hex(grey[:3]) == "#737373" and to_hex(second[:3]) == figures.PALETTE[1].lower()
    assert figure.axes[1].images[-1].get_array()[0, 0, 3] == 0, "clear where nobody looks"


@pytest.mark.parametrize("parts", [None, np.ones((1, 28, 28), int), np.zeros((1, 28, 28), int)])
def test_partitions_without_outline_and_with_outlines_of_nothing_or_all(parts, tmp_path):
    figures.partitions(RNG.random((1, 28, 28, 3)), {"a": RNG.random((1, 3, 5, 7))}, parts).savefig(
        tmp_path / "f.png"
    )


def test_by_epoch_starts_before_training():
    (ax,) = figures.by_epoch({"a": [0.1, 0.2, 0.4], "b": [0.5]}, ylabel="accuracy, %").axes
    np.testing.assert_allclose(ax.lines[0].get_data(), ([0, 1, 2], [10, 20, 40]))
    np.testing.assert_allclose(ax.lines[1].get_data(), ([0], [50]))


def test_moves_joins_before_and_after_by_group():
    before, after = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2))
    (ax,) = figures.moves(before, after, ["x", "y", "x", "y", "x"]).axes
    paths = [
        line.get_xydata()
        for line in ax.lines
        if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"
    ]
    np.testing.assert_allclose(paths, np.stack([before, after], 1)[[0, 2, 4, 1, 3]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["x", "y"]


def test_panels_shows_every_seed_and_the_baseline():
    lines = {"names": np.full((2, 3), 0.5), "a": RNG.random((2, 3)), "b": RNG.random((2, 3))}
    figure = figures.panels(
        (1, 4, 16), lines, baseline="names", xlabel="shots", ylabel="accuracy", columns=3
    )
    a, b, empty = figure.axes
    assert (a.get_title(), b.get_title()) == ("a", "b") and not empty.axison
    drawn = [line.get_ydata() for line in a.lines]
    np.testing.assert_allclose(drawn[0], 50)
    np.testing.assert_allclose(drawn[1:3], 100 * lines["a"])
    np.testing.assert_allclose(drawn[3], 100 * lines["a"].mean(0))
