"""Figures of transport problems draw the masses, costs and curves that they are given."""

import numpy as np
import pytest
from PIL import Image

from sotglp_core import figures

rng = np.random.default_rng(0)
SOURCES, TARGETS = rng.random((5, 2)), rng.random((3, 2))
PLAN = rng.random((5, 3)) / 15
PLAN[1, 2] = 0


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.links(SOURCES, TARGETS, {"a": PLAN, "b": PLAN / 2}),
        lambda: figures.plans({"ε = 1": PLAN, "ε = 0.1": PLAN, "linear programme": PLAN}),
        lambda: figures.regularisation(
            [1, 0.1], [0.4, 0.3], [3.0, 2.0], exact=0.29, bound=[1.4, 0.4]
        ),
        lambda: figures.loglog(
            {"a": ([1, 10], [2, 20]), "b": (range(1, 99), range(1, 99))}, xlabel="x", ylabel="y"
        ),
    ],
    ids=["links", "plans", "regularisation", "loglog"],
)
def test_draws(draw, tmp_path):
    draw().savefig(tmp_path / "f.png")
    assert np.asarray(Image.open(tmp_path / "f.png").convert("L")).std() > 5, (
        "the figure is not empty"
    )


def test_a_link_is_as_wide_as_its_mass():
    ax = figures.links(SOURCES, TARGETS, {"": PLAN}).axes[0]
    width = {tuple(map(tuple, line.get_xydata())): line.get_linewidth() for line in ax.lines}
    assert len(width) == 14, "no line where there is no mass"
    assert width[tuple(SOURCES[4]), tuple(TARGETS[1])] == pytest.approx(5 * PLAN[4, 1] / PLAN.max())
    discs, squares = ax.collections
    np.testing.assert_allclose(
        discs.get_sizes() / squares.get_sizes().sum(), PLAN.sum(1) / PLAN.sum()
    )


def test_plans_share_one_colour_scale():
    figure = figures.plans({"a": PLAN, "b": 3 * PLAN})
    first, second = (ax.images[0] for ax in figure.axes[:2])
    assert first.get_clim() == second.get_clim() == (0, pytest.approx(3 * PLAN.max()))
    np.testing.assert_array_equal(first.get_array(), PLAN)


def test_regularisation_shows_cost_limit_and_entropy():
    left, right = figures.regularisation(
        [1, 0.1], [0.4, 0.3], [3.0, 2.0], exact=0.29, bound=[1.4, 0.4]
    ).axes
    by_name = {line.get_label(): line.get_ydata() for line in left.lines}
    assert list(by_name["entropic plan"]) == [0.4, 0.3] and set(by_name["linear programme"]) == {
        0.29
    }
    assert list(right.lines[0].get_ydata()) == [3.0, 2.0]


def test_few_points_are_marked_and_many_are_not():
    few, many = ({str(i): (range(1, n), range(1, n)) for i in range(6)} for n in (20, 50))
    marks = [
        [line.get_marker() for line in figures.loglog(lines, xlabel="x", ylabel="y").axes[0].lines]
        for lines in (few, many)
    ]
    assert len(set(marks[0])) == 6 and set(marks[1]) == {""}
