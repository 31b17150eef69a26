"""What lies over an image: the colours say who leads and by how much, where the mass is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from sotglp_core import figures

rng = np.random.default_rng(0)
IMAGE = rng.integers(0, 256, (55, 77, 3), dtype=np.uint8)
PLAN = rng.random((3, 5, 7))
PLAN[:, 0] = 0
PARTS = np.zeros((2, 55, 77), int)
PARTS[:, 11:22, 22:55] = 3
GREY = "#737373"


def sheet():
    titles = [f"a long species name {i}" for i in range(7)]
    return figures.contact_sheet([IMAGE, Image.fromarray(IMAGE)] * 3, titles[:6], columns=4)


@pytest.mark.parametrize(
    "draw",
    [
        sheet,
        lambda: figures.contact_sheet([IMAGE]),
        lambda: figures.partition(IMAGE, PLAN, title="red-crowned finch"),
        lambda: figures.partition(IMAGE, np.ones((1, 5, 7))),
        lambda: figures.partitions([IMAGE] * 2, {"a": np.stack([PLAN] * 2)}, PARTS),
        lambda: figures.partitions([IMAGE], {"a": PLAN[None]}, 0 * PARTS[:1]),
        lambda: figures.partitions([IMAGE], {"a": PLAN[None]}, 0 * PARTS[:1] + 1),
        lambda: figures.partitions([IMAGE], {"a": PLAN[None]}),
    ],
    ids=[
        "contact_sheet",
        "no titles",
        "partition",
        "one prompt",
        "partitions",
        "no part",
        "parts everywhere",
        "no masks",
    ],
)
def test_draws(draw, tmp_path):
    draw().savefig(tmp_path / "f.png")
    assert np.asarray(Image.open(tmp_path / "f.png").convert("L")).std() > 5, "an empty figure"


@given(st.integers(2, 11), st.floats(1e-6, 1e6), st.floats(0, 1))
def test_saturation_is_the_lead_over_an_even_share(prompts, mass, saturation):
    share = saturation + (1 - saturation) / prompts
    plan = np.full((prompts, 1, 1), (1 - share) / (prompts - 1))
    plan[prompts - 1] = share
    colour = figures.shares(mass * plan)[0, 0]
    leader = np.array(to_rgb(figures.PALETTE[(prompts - 1) % len(figures.PALETTE)]))
    grey = np.array(to_rgb(GREY))
    if saturation > 1e-9:
        np.testing.assert_allclose(colour[:3], grey + saturation * (leader - grey), atol=1e-6)
    assert colour[3] == 1


def test_shares_are_grey_where_even_pure_where_one_holds_all_and_clear_where_nobody_does():
    plan = np.zeros((2, 1, 4))
    plan[:, 0, 0], plan[:, 0, 1], plan[:, 0, 2] = (0.1, 0.1), (0.100001, 0.1), (0, 0.3)
    even, hair, sole, empty = figures.shares(plan)[0]
    assert to_hex(even) == to_hex(hair) == GREY
    assert to_hex(sole) == figures.PALETTE[1].lower() and empty[3] == 0
    assert to_hex(figures.shares(plan[:1])[0, 0]) == figures.PALETTE[0].lower()


def test_overlay_is_the_image_in_the_colours_of_the_plan():
    plan = np.zeros((2, 2, 2))
    plan[0, 0, 0], plan[:, 0, 1], plan[1, 1, 0] = 0.75, (0.1, 0.4), 0.2
    image = Image.new("RGB", (40, 40), "white")
    heat = np.asarray(figures.overlay(image, plan, 1, 1))
    for y, x, difference in ((5, 5, -0.5), (5, 25, 0.3), (25, 5, 0.5)):  # all, 1 to 4, nothing
        expected = 255 * np.array(colormaps[figures.DIVERGING](0.5 + difference)[:3])
        np.testing.assert_allclose(heat[y, x], expected, atol=1)
    led = np.asarray(figures.overlay(image, plan, strength=1))
    for y, colour in ((1, figures.PALETTE[0]), (21, figures.PALETTE[1])):
        np.testing.assert_allclose(led[y, 1], 255 * np.array(to_rgb(colour)), atol=1)
    assert (heat[30, 30] == 255).all() and (led[30, 30] == 255).all()
    assert (np.asarray(figures.overlay(image, plan, strength=0))[1] == 255).all()


def test_partition_shows_what_a_prompt_holds_beyond_an_even_share():
    figure = figures.partition(IMAGE, PLAN)
    share = PLAN[:, 1:] / PLAN[:, 1:].sum(0) - 1 / 3
    for n in range(3):
        shown = figure.axes[n + 2].images[-1].get_array()
        np.testing.assert_allclose(shown[1:], share[n])
        assert np.ma.getmaskarray(shown)[0].all(), "no colour where there is no mass"
    far = abs(share).max()
    assert figure.axes[2].images[-1].get_clim() == pytest.approx((-far, far))


def test_panels_of_a_partition_are_at_least_200_pixels_wide():
    figure = figures.partition(IMAGE, np.concatenate([PLAN, PLAN[:1]]))
    figure.draw_without_rendering()
    shown = [ax.get_window_extent().width for ax in figure.axes if ax.images]
    assert len(shown) >= 6 and min(shown) >= 200


def test_partitions_are_images_by_methods():
    split = np.zeros((2, 2, 5, 7))
    split[:, 1, 2, 3] = 1
    figure = figures.partitions([IMAGE] * 2, {"even": np.ones((2, 2, 5, 7)), "split": split}, PARTS)
    assert len(figure.axes) == 6
    even, second = (figure.axes[column].images[-1].get_array() for column in (1, 2))
    assert to_hex(even[2, 3]) == GREY and to_hex(second[2, 3]) == figures.PALETTE[1].lower()
    assert second[0, 0, 3] == 0
    edge = np.concatenate([p.vertices for p in figure.axes[1].collections[0].get_paths()])
    around = [22 / 77, 11 / 55, 55 / 77, 22 / 55]
    np.testing.assert_allclose([*edge.min(0), *edge.max(0)], around, atol=0.01)


def test_contact_sheet_titles_what_it_shows():
    axes = sheet().axes
    assert [bool(ax.images) for ax in axes] == [True] * 6 + [False] * 2
    assert axes[5].get_title() == "a long species name 5"


def test_methods_of_one_image_are_three_in_a_row():
    figure = figures.partitions([IMAGE], {str(i): PLAN[None] for i in range(7)}, PARTS[:1])
    assert len(figure.axes) == 9
    assert [ax.get_title() for ax in figure.axes] == [*"0123456", "", ""]
    assert [len(ax.images) for ax in figure.axes] == [2] * 7 + [0, 0]
