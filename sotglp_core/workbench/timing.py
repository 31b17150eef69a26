"""How fast this machine is: a few images, steps and transport problems timed on noise."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial

import torch

from ..clip.backbone import Backbone
from ..config import PRESETS, Config, preset
from ..data.features import Features
from ..learning.training import fit
from ..messages import progress_bar
from ..method.model import SOTGLP
from ..transport.sinkhorn import sinkhorn

REPEATS = 3
Speed = tuple[float, str]  # a figure and its unit


@cache
def seconds_per_image(backbone: Backbone, number: int = 16) -> float:
    """Of the image tower."""
    height, width = backbone.model.visual.image_size
    pixels = torch.randn(number, 3, height, width, device=backbone.device)
    return timed(lambda: backbone.encode_image(pixels)) / number


def seconds_per_step(backbone: Backbone, classes: int, config: Config) -> tuple[float, float]:
    """Of a training step, and of testing an encoded image; both grow with the classes."""
    names = tuple(f"class {i}" for i in range(classes))
    once = {"epochs": min(config.epochs, 1), "lr": 1e-9, "warmup": 0, "crops": 0, "seed": 1}
    return _seconds_per_step(backbone, names, config.replace(**once))


@cache
def _seconds_per_step(
    backbone: Backbone, names: tuple[str, ...], config: Config
) -> tuple[float, float]:
    number, patches = config.batch_size, backbone.grid[0] * backbone.grid[1]
    features = Features(
        torch.randn(number, backbone.joint_width),
        torch.randn(number, patches, backbone.patch_width).half(),
        torch.arange(number) % len(names),
        backbone.grid,
    )
    model = SOTGLP(backbone, names, config)
    step = timed(lambda: fit(model, features, progress=False)) if config.epochs else 0.0
    with torch.no_grad():
        text, batch = model.text_features(), features.batch(slice(None), backbone.device)
        test = timed(lambda: model(batch, text).patch_similarity) / number
    return step, test


def timed(work: Callable[[], object], repeats: int = 1) -> float:
    """Seconds of a call: the mean of a few, after one to warm up."""
    work()
    start = _now()
    for _ in range(repeats):
        work()
    return (_now() - start) / repeats


def _now() -> float:
    """Seconds, after all that a GPU was asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def speeds(backbone: Backbone, classes: int, shots: int, *, progress: bool) -> dict[str, Speed]:
    """Encoding, a training from cached features for each preset, transport, and memory."""
    work: dict[str, Callable[[], Speed]] = {
        "encode, image and patches": lambda: (1 / seconds_per_image(backbone), "images/s")
    }
    for name in PRESETS:
        work[f"train {name}"] = partial(_training, backbone, name, classes, shots)
    for epsilon in (0.1, 0.01):
        what = f"Sinkhorn, 10 x 4, epsilon {epsilon}, to 1e-6"
        work[what] = partial(_transport, backbone, epsilon)
    bar = progress_bar(work.items(), desc="bench", unit="row", show=progress)
    rows = {what: measure() for what, measure in bar}
    with suppress(ImportError):  # Windows
        import resource

        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = kilobytes / 2 ** (30 if sys.platform == "darwin" else 20)
        rows["peak memory of this process"] = size, "GiB"
    return rows


def _training(backbone: Backbone, name: str, classes: int, shots: int) -> Speed:
    config = preset(name)
    step, _ = seconds_per_step(backbone, classes, config)
    steps = config.epochs * max(1, classes * shots // config.batch_size)
    what = f"s for {config.epochs} epochs, {steps:,} steps" if steps else "nothing is learned"
    return step * steps, what


def _transport(backbone: Backbone, epsilon: float, number: int = 10_000) -> Speed:
    cost = 0.75 - 0.015 * torch.randn(number, 10, 4, device=backbone.device)
    return number / timed(lambda: sinkhorn(cost, epsilon=epsilon), REPEATS), "problems/s"
