"""Figures over pictures show the patches, maps and matrices that they are given, where they are."""

import numpy as np
import pytest
from PIL import Image

from sotglp_core import figures

rng = np.random.default_rng(0)
IMAGE = rng.integers(0, 256, (55, 77, 3), dtype=np.uint8)
MAPS = rng.random((3, 5, 7))
PARTS = np.zeros((2, 55, 77), np.uint8)
PARTS[:, 11:22, 22:55] = 3
KEPT = {"K = 1": MAPS[:2] > 0.9, "K = 9": MAPS[:2] > 0.5}
COSINES = {"a": np.eye(6), "b": rng.random((6, 6))}


def similarity_maps():
    return figures.similarity_maps(
        IMAGE,
        {"plain": MAPS, "V-V": 2 * MAPS},
        ["a red crown", "a beak", "legs"],
        PARTS[[0, 1, 0]] > 0,
    )


def spotlights():
    return figures.spotlights(
        [IMAGE, IMAGE], KEPT, PARTS, ["red-crowned yellow-bellied finch", "duck"]
    )


def matrices():
    return figures.matrices(COSINES, ["finch", "wader", "duck"], label="cosine")


@pytest.mark.parametrize("draw", [similarity_maps, spotlights, matrices])
def test_draws(draw, tmp_path):
    draw().savefig(tmp_path / "f.png")
    assert np.asarray(Image.open(tmp_path / "f.png").convert("L")).std() > 5, (
        "the figure is not empty"
    )


def test_maps_keep_their_values_and_mark_the_largest():
    axes = np.array(similarity_maps().axes).reshape(2, 4)
    assert axes[0, 0].get_visible() and not axes[1, 0].get_visible(), "the picture is drawn once"
    for row, factor in zip(axes, (1, 2)):
        for ax, values in zip(row[1:], MAPS):
            np.testing.assert_allclose(ax.images[0].get_array(), factor * values)
            h, w = np.unravel_index(values.argmax(), values.shape)
            assert ax.lines[0].get_xydata()[0] == pytest.approx(((w + 0.5) / 7, (h + 0.5) / 5))


@pytest.mark.parametrize("draw, at", [(similarity_maps, 1), (spotlights, 1)])
def test_outline_surrounds_the_mask(draw, at):
    edge = np.concatenate([path.vertices for path in draw().axes[at].collections[0].get_paths()])
    np.testing.assert_allclose(
        [*edge.min(0), *edge.max(0)], [22 / 77, 11 / 55, 55 / 77, 22 / 55], atol=0.01
    )


def test_kept_patches_are_bright_and_all_others_dark():
    axes = np.array(spotlights().axes).reshape(2, 3)
    for row, line in enumerate(axes):
        assert len(line[0].images) == 1, "the picture itself is not darkened"
        for ax, kept in zip(line[1:], KEPT.values()):
            dark = ax.images[1].get_array()[..., 3]
            assert (dark[kept[row]] == 0).all() and (dark[~kept[row]] > 0.5).all()


def test_matrices_share_a_scale_that_the_diagonal_does_not_set():
    first, second = (ax.images[0] for ax in matrices().axes[:2])
    others = COSINES["b"][~np.eye(6, dtype=bool)]
    assert first.get_clim() == second.get_clim() == (0, others.max())
    assert np.isnan(np.diagonal(second.get_array().filled(np.nan))).all()


def test_every_part_has_its_colour_and_the_background_none():
    shown = figures.part_colours(np.array([[0, 1, 2], [2, 0, 1]]))
    assert shown.shape == (2, 3, 4) and (shown[..., 3] == [[0, 1, 1], [1, 0, 1]]).all()
    np.testing.assert_array_equal(shown[0, 1], shown[1, 2])
    assert not np.array_equal(shown[0, 1], shown[0, 2])
