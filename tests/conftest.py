"""Fixtures shared by the tests: a tiny backbone, and features with distinct prime axes."""

import gc
import os
import shutil
import signal

gc.set_threshold(10_000)  # as in the command
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if shutil.which("nvidia-smi") is None:
    os.environ.setdefault(
        "TRITON_INTERPRET", "1"
    )  # before anything imports Triton: its kernels then run on the CPU

import numpy as np
import pytest
import torch
from PIL import Image

from sotglp_core.clip.backbone import load_backbone
from sotglp_core.data import FolderImages
from sotglp_core.data.features import Features

B, C, P, N, V = 3, 5, 196, 2, 192


def pytest_configure():
    """Signals act, though a shell's background job or nohup lets tests inherit them as ignored."""
    for number, handler in {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGHUP: signal.SIG_DFL,
    }.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory):
    """One feature cache for all tests, which is not the user's."""
    os.environ["SOTGLP_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A feature cache that is this test's alone."""
    monkeypatch.setenv("SOTGLP_CACHE", str(tmp_path / "feature cache"))


@pytest.fixture(scope="session")
def tiny():
    """An untrained backbone of the embedded architecture."""
    return load_backbone("pocket", "random")


@pytest.fixture(scope="session")
def pocket():
    """The shipped backbone."""
    return load_backbone()


@pytest.fixture
def names():
    return (
        "red finch",
        "blue wader",
        "green parrot",
        "grey duck",
        "black-crowned white-winged bird",
    )


@pytest.fixture
def features(tiny):
    """Random features of 11 images with labels of 5 classes."""
    generator = torch.Generator().manual_seed(0)
    return Features(
        torch.randn(11, 128, generator=generator),
        torch.randn(11, P, V, generator=generator).half(),
        torch.arange(11) % C,
        tiny.grid,
    )


@pytest.fixture
def photos(tmp_path):
    """A folder of 12 photos of noise."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (60 + i, 80, 3), dtype=np.uint8)).save(
            tmp_path / "photos" / f"{i:02}.png"
        )
    return tmp_path / "photos"


@pytest.fixture
def images(photos):
    """Those photos, labelled with 5 classes."""
    return FolderImages(sorted(photos.iterdir()), np.arange(12) % C)
