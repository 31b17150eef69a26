"""How fast this machine is: a few images, steps and transport problems timed on noise."""

import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
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


@cache
def seconds_per_step(
    backbone: Backbone, class_names: Sequence[str], config: Config
) -> tuple[float, float]:
    """Of a training step, and of testing an encoded image; both grow with the classes."""
    number, patches = config.batch_size, backbone.grid[0] * backbone.grid[1]
    features = Features(
        torch.randn(number, backbone.joint_width),
        torch.randn(number, patches, backbone.patch_width).half(),
        torch.arange(number) % len(class_names),
        backbone.grid,
    )
    model = SOTGLP(backbone, class_names, config.replace(epochs=1, lr=1e-9, crops=0))
    step = timed(lambda: fit(model, features, progress=False)) if config.epochs else 0.0
    with torch.no_grad():
        text, batch = model.text_features(), features.batch(slice(None), backbone.device)
        test = timed(lambda: model(batch, text).patch_similarity) / number
    return step, test


def timed(work: Callable[[], object], repeats: int = 1) -> float:
    """Median seconds of a few calls, after one to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = _now()
        work()
        seconds.append(_now() - start)
    return statistics.median(seconds)


def _now() -> float:
    """Seconds, after all that a GPU was asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def machine(backbone: Backbone) -> dict:
    """What the figures of :func:`speeds` depend on."""
    return {
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": str(backbone.device),
        "precision": backbone.precision,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "backbone": f"{backbone.name} {backbone.pretrained}",
    }


def speeds(backbone: Backbone, classes: int, shots: int, *, progress: bool) -> dict[str, Speed]:
    """Encoding, a training from cached features for each preset, transport, and memory."""
    work: dict[str, Callable[[], Speed]] = {
        "encode, image and patches": lambda: (1 / seconds_per_image(backbone), "images/s"),
        **{f"train {name}": partial(_training, backbone, name, classes, shots) for name in PRESETS},
        **{
            f"Sinkhorn, 10 x 4, epsilon {epsilon}, to 1e-6": partial(_transport, backbone, epsilon)
            for epsilon in (0.1, 0.01)
        },
    }
    bar = progress_bar(work.items(), desc="bench", unit="row", show=progress)
    rows = {what: measure() for what, measure in bar}
    with suppress(ImportError):  # Windows
        import resource

        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = kilobytes / 2 ** (30 if sys.platform == "darwin" else 20)
        rows["peak memory of this process"] = size, "GiB"
    return rows


def _training(backbone: Backbone, name: str, classes: int, shots: int) -> Speed:
    config, names = preset(name), tuple(f"class {i}" for i in range(classes))
    step, _ = seconds_per_step(backbone, names, config)
    steps = config.epochs * -(-classes * shots // config.batch_size)
    what = f"s for {config.epochs} epochs, {steps:,} steps" if steps else "nothing is learned"
    return step * steps, what


def _transport(backbone: Backbone, epsilon: float, number: int = 10_000) -> Speed:
    cost = 0.75 - 0.015 * torch.randn(number, 10, 4, device=backbone.device)
    return number / timed(lambda: sinkhorn(cost, epsilon=epsilon), REPEATS), "problems/s"
