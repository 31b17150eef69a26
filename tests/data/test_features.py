"""Features: several views of an image, patches that stay on disk, and loading that keeps up."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sotglp_core import SOTGLP, fit, preset
from sotglp_core.clip.backbone import ImageFeatures
from sotglp_core.data import FolderImages, Images
from sotglp_core.data.features import cache_entries, cache_folder, encode, pixel_batches
from sotglp_core.data.images import random_view

pytestmark = pytest.mark.usefixtures("empty_cache")

CALTECH = Path(__file__).parents[3] / "shared" / "data" / "caltech-101" / "101_ObjectCategories"


class Blank(Images):
    """Many small grey pictures."""

    def __init__(self, number):
        super().__init__(range(number), [0] * number)

    def __getitem__(self, i):
        return Image.new("RGB", (112, 112), (i % 256,) * 3)

    def fingerprint(self):
        return "blank"


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(),
    reason="there is no /proc here to read a process's memory from",
)
def test_patches_stay_on_disk(tiny, monkeypatch):
    def anonymous():
        return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024

    def cheap(self, pixels, **_):
        taken.append(anonymous())
        row = pixels[:, 0, 0, :]
        return ImageFeatures(
            row.repeat(1, 2)[:, :128], row[:, :1, None].expand(-1, 196, 192), self.grid
        )

    monkeypatch.setattr(type(tiny), "encode_image", cheap)
    taken = []
    features = encode(tiny, Blank(2500), progress=False)  # 188 MB of patches
    half = len(taken) // 2  # before, threads take the memory that they will use again
    assert max(taken[half:]) - taken[half] < 46 and anonymous() - taken[-1] < 46, (
        "MB: the rows gather in memory while they are written"
    )
    (path,) = cache_folder().iterdir()
    assert re.search(
        rf"r--s .*{path}", Path("/proc/self/maps").read_text()
    ) and features.patches.shape == (2500, 196, 192)
    batch = features.batch(torch.tensor([3, 1400]))
    assert (batch.patches[:, 0, 0] == features.patches[[3, 1400], 5, 7]).all() and batch.patches[
        0, 0, 0
    ] != batch.patches[1, 0, 0]


@pytest.mark.slow
def test_views(tiny, images):
    plain, features = (
        encode(tiny, images, cache=False),
        encode(tiny, images, crops=2, seed=1, cache=False),
    )
    assert (
        features.views == 3
        and plain.views == 1
        and len(features) == 12
        and features.image.shape == (36, 128)
    )
    torch.testing.assert_close(
        features.batch(slice(2, 5)).image, plain.image[2:5], atol=1e-4, rtol=1e-3
    )
    torch.testing.assert_close(
        features.batch(torch.tensor([7, 2])).patches, plain.patches[[7, 2]], atol=0.02, rtol=0.02
    )
    by_image = features.image.unflatten(0, (12, 3))
    assert (by_image.diff(dim=1).abs().amax(-1) > 1e-3).all()


def test_a_subset_keeps_all_views(tiny, images):
    features = encode(tiny, images, crops=2, seed=1, cache=False)
    some = features.subset([7, 2])
    assert (
        len(some) == 2
        and some.views == 3
        and some.labels.tolist() == [features.labels[7], features.labels[2]]
    )
    for view in range(3):
        whole, part = (
            features.batch(torch.tensor([7, 2]), view=view),
            some.batch(torch.tensor([0, 1]), view=view),
        )
        assert torch.equal(whole.image, part.image) and torch.equal(whole.patches, part.patches)


@pytest.mark.slow
def test_views_depend_on_seed_and_content_alone(tiny, images, monkeypatch):
    first = encode(tiny, images, crops=1, seed=1, cache=False).image.unflatten(0, (12, 2))
    turned = encode(tiny, images.subset([11, 4]), crops=1, seed=1, cache=False).image.unflatten(
        0, (2, 2)
    )
    torch.testing.assert_close(turned, first[[11, 4]], atol=1e-4, rtol=1e-3)
    other = encode(tiny, images, crops=1, seed=2, cache=False).image.unflatten(0, (12, 2))
    assert (other[:, 1] != first[:, 1]).any()
    encode(tiny, images, crops=1, seed=1)
    encode(tiny, images, crops=1, seed=2)
    encode(tiny, images)
    assert len(cache_entries()) == 3
    monkeypatch.setattr(type(tiny), "encode_image", lambda *a, **k: pytest.fail("encoded again"))
    assert encode(tiny, images, crops=1, seed=2).views == 2


@pytest.mark.slow
def test_a_step_draws_one_view_of_each_image(tiny, images):
    features, index = encode(tiny, images, crops=2, cache=False), torch.tensor([5, 0, 5, 9] * 8)
    torch.manual_seed(0)
    batch = features.draw(index)
    chosen = (batch.image[:, None] == features.image.unflatten(0, (12, 3))[index]).all(-1)
    assert (chosen.sum(1) == 1).all() and chosen.any(0).all(), (
        "each row is one of its image's views, and all views come up"
    )
    assert (batch.patches == features.patches.unflatten(0, (12, 3))[index][chosen]).all()
    torch.manual_seed(0)
    assert (features.draw(index).image == batch.image).all()
    state = torch.random.get_rng_state()
    plain = encode(tiny, images, cache=False)
    assert (plain.draw(index).image == plain.image[index]).all()
    assert (torch.random.get_rng_state() == state).all(), "one view leaves the generator alone"


def test_training_on_views(tiny, images, names):
    model = SOTGLP(tiny, names, preset("sotglp", epochs=2))
    assert len(fit(model, encode(tiny, images, crops=1), progress=False)) == 2


def test_random_views_are_crops_and_mirror_images():
    x, y = np.meshgrid(np.arange(90), np.arange(60))
    image = Image.fromarray(np.stack([x * 2, y * 4, 0 * x], -1).astype(np.uint8))
    views = [np.asarray(random_view(image, 32, (0, i)), np.float32) for i in range(200)]
    mirrored = np.mean([view[16, 0, 0] > view[16, -1, 0] for view in views])
    shares = [
        abs(v[16, 0, 0] - v[16, -1, 0]) * abs(v[0, 16, 1] - v[-1, 16, 1]) / (178 * 236)
        for v in views
    ]
    assert all(v.shape == (32, 32, 3) for v in views) and 0.35 < mirrored < 0.65
    assert 0.05 < min(shares) < 0.15 and max(shares) > 0.8
    state = torch.random.get_rng_state()
    assert (
        random_view(image, 32, (0, 5)).tobytes()
        == random_view(image, 32, (0, 5)).tobytes()
        != random_view(image, 32, (1, 5)).tobytes()
    )
    assert (torch.random.get_rng_state() == state).all()


@pytest.mark.slow
def test_large_jpegs_are_decoded_smaller(tiny, tmp_path):
    x, y = np.meshgrid(np.linspace(0, 1, 3000), np.linspace(0, 1, 2000))
    picture = np.stack([np.sin(9 * x) + 1, np.cos(7 * y * x) + 1, x + y], -1) * 127
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "x.jpg", quality=95)
    Image.fromarray(picture.astype(np.uint8)[:300, :300]).save(tmp_path / "y.jpg")
    images = FolderImages([tmp_path / "x.jpg", tmp_path / "y.jpg"], [0, 0])
    assert (
        images.draft(0, 112).size == (375, 250)
        and images.draft(0, 400).size == (1500, 1000)
        and images[0].size == (3000, 2000)
    )
    assert (
        images.draft(1, 112).size == (300, 300)
        and images.draft(1, 112).tobytes() == images[1].tobytes()
    )
    pixels = [tiny.preprocess(image) for image in (images[0], images.draft(0, 112))]
    assert (pixels[0] - pixels[1]).abs().mean() < 0.02


@pytest.mark.slow
@pytest.mark.skipif(not CALTECH.is_dir(), reason="the Caltech-101 photos are not on this machine")
def test_the_stream_of_fresh_crops_keeps_the_encoder_busy(tiny):
    """At 85 % of its own rate or more: of the processor's time, the stream takes the rest."""
    images = FolderImages(sorted(CALTECH.glob("*/image_0001.jpg"))[:64], [0] * 64)
    start = time.process_time()
    ((_, pixels),) = pixel_batches(tiny, images, [torch.arange(64)], views=[(1, 1)])
    loaded = time.process_time()
    with torch.no_grad():
        tiny.encode_image(pixels)
    encoded = time.process_time()
    assert encoded - loaded > 0.85 * (encoded - start)
