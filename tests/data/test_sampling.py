"""Few-shot draws: exactly k, CoOp's own images, and scikit-learn's stratified draw."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import StratifiedShuffleSplit

from sotglp_core import load_task
from sotglp_core.data.sampling import few_shot

DATA = Path(__file__).parents[3] / "shared" / "data"


def test_exactly_k_of_each_class():
    labels = np.repeat([0, 1, 2], [5, 7, 11])
    chosen = few_shot(labels, "abc", 5, seed=3)
    assert np.bincount(labels[chosen]).tolist() == [5, 5, 5] and len(set(chosen)) == 15
    assert (chosen == few_shot(labels, "abc", 5, seed=3)).all()
    assert (chosen != few_shot(labels, "abc", 5, seed=4)).any()


@pytest.mark.parametrize("draw", ["exact", "coop", "stratified"])
def test_all_shots_are_all_images(draw):
    assert few_shot(np.array([1, 0, 1]), "ab", None, 1, draw=draw).tolist() == [0, 1, 2]


@pytest.mark.parametrize("draw", ["exact", "coop"])
def test_too_few_images(draw):
    labels = np.repeat([0, 1], [5, 7])
    with pytest.raises(ValueError, match="class 'a' has 5 images to train on .*fewer than 6 shots"):
        few_shot(labels, "ab", 6, seed=1, draw=draw)
    fewer = few_shot(labels, "ab", 6, seed=1, allow_fewer=True, draw=draw)
    assert np.bincount(labels[fewer]).tolist() == [5, 6]
    with pytest.raises(ValueError, match="class 'c' has 0 images"):
        few_shot(labels, "abc", 1, seed=1, allow_fewer=True, draw=draw)
    with pytest.raises(ValueError, match="at least 1"):
        few_shot(labels, "ab", 0, seed=1, draw=draw)


def coops(labels, shots, seed):
    """CoOp's protocol: Python's generator, class by class in order of first appearance."""
    by_class = {}
    for index, label in enumerate(labels):
        by_class.setdefault(label, []).append(index)
    random.seed(seed)
    few = (random.sample(own, shots) if len(own) >= shots else own for own in by_class.values())
    return [index for own in few for index in own]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_coops_own_images(seed):
    labels = np.array([2, 0, 1, 1, 0, 2, 2, 0, 0, 1, 0, 2] * 3)
    assert few_shot(labels, "abc", 5, seed, draw="coop").tolist() == coops(labels, 5, seed)
    fewer = few_shot(labels, "abc", 10, seed, draw="coop", allow_fewer=True)
    assert fewer.tolist() == coops(labels, 10, seed)


@pytest.mark.skipif(not DATA.is_dir(), reason="the Caltech-101 photos are not on this machine")
@pytest.mark.parametrize(
    "seed, first, last",
    [
        (1, "Faces/image_0201.jpg", "yin_yang/image_0027.jpg"),
        (2, "Faces/image_0102.jpg", "yin_yang/image_0002.jpg"),
        (3, "Faces/image_0382.jpg", "yin_yang/image_0055.jpg"),
    ],
)
def test_coops_sixteen_photos_of_caltech(seed, first, last):
    train = json.loads((DATA / "caltech-101/split_zhou_Caltech101.json").read_text())["train"]
    expected = [train[i][0] for i in coops([label for _, label, _ in train], 16, seed)]
    task = load_task("caltech101", root=DATA, shots=16, seed=seed, draw="coop")
    assert ["/".join(path.parts[-2:]) for path in task.train.paths] == expected
    assert (expected[0], expected[-1]) == (first, last)  # known of these seeds


@pytest.mark.parametrize(
    "sizes, shots", [((60, 30, 11), 7), ((500, 7, 5, 3), 11), ((13, 13, 13), 5), ((97, 2, 2), 1)]
)
def test_the_stratified_draw_is_scikit_learns(sizes, shots):
    labels = np.repeat(range(len(sizes)), sizes)
    split = StratifiedShuffleSplit(1, train_size=shots * len(sizes), random_state=3)
    expected, _ = next(split.split(labels, labels))
    chosen = few_shot(labels, "abcd"[: len(sizes)], shots, 3, draw="stratified")
    assert chosen.tolist() == expected.tolist()


def test_stratified_draws_that_do_not_work(tmp_path, capsys):
    labels = np.repeat([0, 1], [5, 7])
    with pytest.raises(
        ValueError, match="train_size=14 should be .* smaller than the number of samples 12"
    ):
        few_shot(labels, "ab", 7, 1, draw="stratified")
    assert len(few_shot(labels, "ab", 7, 1, draw="stratified", allow_fewer=True)) == 12
    with pytest.raises(ValueError, match="draw 'fair'.*exact, coop, stratified"):
        few_shot(labels, "ab", 1, 1, draw="fair")
    for name, number in (("many", 40), ("few", 4)):
        (tmp_path / name).mkdir()
        for i in range(number):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{i}.png")
    load_task(tmp_path, shots=1, draw="stratified")
    assert "there are no training images of 1 classes, such as few" in capsys.readouterr().err
