"""How long a row will take here: a few steps and images timed, times their number."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch

from ...clip.backbone import Backbone
from ...config import Config
from ...data.features import Features
from ...learning.training import fit
from ...method.model import SOTGLP


def seconds_an_image(backbone: Backbone, number: int = 16) -> float:
    """Of the image tower, timed on noise."""
    height, width = backbone.model.visual.image_size
    pixels = torch.randn(number, 3, height, width, device=backbone.device)
    return _timed(lambda: backbone.encode_image(pixels)) / number


@cache
def seconds_a_step(
    backbone: Backbone, class_names: tuple[str, ...], config: Config
) -> tuple[float, float]:
    """Of a training step, and of judging one encoded image; both grow in proportion to the number of classes."""
    generator, number = torch.Generator().manual_seed(0), config.batch_size
    patches = backbone.grid[0] * backbone.grid[1]
    features = Features(
        torch.randn(number, backbone.joint_width, generator=generator),
        torch.randn(number, patches, backbone.patch_width, generator=generator).half(),
        torch.arange(number) % len(class_names),
        backbone.grid,
    )
    model = SOTGLP(backbone, class_names, config.replace(epochs=1, lr=1e-9))
    step = _timed(lambda: fit(model, features, progress=False)) if config.epochs else 0.0
    with torch.no_grad():
        text, batch = model.text_features(), features.batch(slice(None), backbone.device)
        judge = _timed(lambda: model(batch, text).patch_similarity) / number
    return step, judge


def _timed(work: Callable[[], object]) -> float:
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
