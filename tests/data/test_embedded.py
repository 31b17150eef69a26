"""The embedded task and the features of its images."""

import numpy as np
import pytest
import torch

from sotglp_core import load_task
from sotglp_core.data import FolderImages
from sotglp_core.data.embedded import ood_images, species_images
from sotglp_core.data.features import cache_folder, encode, pixel_batches
from sotglp_core.pocket.traits import PARTS, SPECIES

pytestmark = pytest.mark.usefixtures("empty_cache")


def test_task():
    task = load_task(shots=2)
    assert task.class_names == tuple(SPECIES) and len(task.test) >= 50 * len(SPECIES)
    assert set(task.ood) == {"unseen", "creatures", "scenes", "objects", "textures"} and all(
        len(s) >= 500 for s in task.ood.values()
    )
    seeds = [
        {s.seed for s in images.specs}
        for images in (task.train, task.val, task.test, *task.ood.values())
    ]
    assert sum(map(len, seeds)) == len(set().union(*seeds)), "two splits share a picture"


def test_draws_differ_by_seed_and_never_leave_the_pool():
    first, second = ({s.seed for s in load_task(shots=5, seed=seed).train.specs} for seed in (1, 2))
    pool = {s.seed for s in species_images("pool", 64).specs}
    assert first != second and first <= pool and second <= pool


def test_a_few_species():
    names = list(SPECIES)[3:6]
    task = load_task(shots=2, classes=names)
    assert task.class_names == tuple(names)
    assert (np.asarray(task.test[0]) == np.asarray(load_task(shots=2).test[150])).all(), (
        "a species looks the same in any choice of classes"
    )
    with pytest.raises(ValueError, match="pocket has no class 'dodo'"):
        load_task(classes=["dodo", *names])


def test_part_grids():
    images = species_images("test", 1).subset([0, 7])
    grids = images.part_grids()
    assert grids.shape == (2, 14, 14) and 0 < (grids > 0).mean() < 1 and grids.max() < len(PARTS)


def test_shifts_keep_the_pose():
    plain, night = (species_images("test", 1, shift=s).subset([0]) for s in (None, "night"))
    assert (plain.part_grids() == night.part_grids()).all()
    assert (np.asarray(plain[0]) != np.asarray(night[0])).any()


def test_features_are_cached_by_content(tiny, monkeypatch):
    images = ood_images("textures", 3)
    first = encode(tiny, images)
    assert (
        first.image.shape == (3, 128)
        and first.patches.shape == (3, 196, 192)
        and first.labels.tolist() == [-1] * 3
    )
    assert len(list(cache_folder().iterdir())) == 1
    monkeypatch.setattr(type(tiny), "encode_image", lambda *a, **k: pytest.fail("encoded again"))
    again = encode(tiny, images)
    assert all(
        (getattr(again, f) == getattr(first, f)).all() for f in ("image", "patches", "labels")
    )
    with pytest.raises(pytest.fail.Exception):
        encode(tiny, images.subset([0, 1]))
    with pytest.raises(pytest.fail.Exception):
        encode(tiny, images, dense="value")


def test_a_damaged_cache_is_made_again(tiny):
    images = ood_images("textures", 2)
    first = encode(tiny, images)
    (file,) = cache_folder().iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert (encode(tiny, images).image == first.image).all()


def test_no_cache_on_request(tiny):
    encode(tiny, ood_images("textures", 2), cache=False)
    assert not cache_folder().exists() or not list(cache_folder().iterdir())


VIEWS = (None, (1, 1), (1, 2))


def test_the_number_of_threads_changes_nothing(tiny, monkeypatch):
    images, found = ood_images("textures", 7), []
    for threads in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda threads=threads: threads)
        found.append(list(pixel_batches(tiny, images, torch.arange(7).split(3), views=VIEWS)))
    one, three = found
    assert [rows for rows, _ in one] == [rows for rows, _ in three] == [[0, 1, 2], [3, 4, 5], [6]]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(one, three))


def test_images_that_can_not_be_read_are_left_out_of_the_stream(tiny, photos):
    (photos / "03.png").write_bytes(b"junk")
    images, said = FolderImages(sorted(photos.iterdir()), [0] * 12), []
    batches = torch.arange(12).split(5)
    stream = pixel_batches(tiny, images, batches, on_unreadable=said.append)
    seen = [(rows, pixels.shape) for rows, pixels in stream]
    assert [rows for rows, _ in seen] == [[0, 1, 2, 4], [5, 6, 7, 8, 9], [10, 11]]
    assert seen[0][1] == (4, 3, 112, 112) and len(said) == 1 and "03.png" in said[0]
    with pytest.raises(ValueError, match="can't read the image .*03.png"):
        list(pixel_batches(tiny, images, batches))
    assert not list(pixel_batches(tiny, images, [torch.tensor([3])], on_unreadable=said.append))


def test_nothing_to_encode(tiny):
    assert len(encode(tiny, ood_images("textures", 3).subset([]))) == 0
