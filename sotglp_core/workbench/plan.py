"""What runs cost before they are made: images, steps, time and disk, from numbers alone.

Times are those of a few images, steps and transport problems on noise.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import torch

from ..clip.backbone import Backbone
from ..config import PRESETS, Config, preset
from ..data.features import Features
from ..learning.training import fit
from ..messages import progress_bar
from ..method.model import SOTGLP
from ..transport.sinkhorn import sinkhorn
from .experiments import Bench, Experiment

TIMED = 8  # classes that a step is timed with; its time grows with the classes
ENCODED = 16  # images that encoding is timed with
PROBLEMS = 10_000  # that transport is timed with


class Cost(NamedTuple):
    """Of some runs of one row."""

    images: int  # to encode, a crop counted as an image
    steps: int
    seconds: float  # on this machine; reading and decoding files is not in it
    bytes: int  # of features, kept in the cache


def plan(
    work: Sequence[tuple[Bench, Experiment]], seeds: Sequence[int]
) -> list[tuple[str, int, Cost]]:
    """Label, missing runs and their cost of every row; test images are encoded once for each dense
    feature.
    """
    rows, encoded = [], set()
    for bench, experiment in work:
        of_row, missing = total([]), bench.missing(experiment, seeds)
        if missing:
            stream, (classes, tested) = (bench, experiment.config.dense), bench.size
            of_row = cost(
                bench.backbone,
                experiment.config,
                classes=classes,
                images=experiment.shots * classes,
                tested=tested,
                runs=missing,
                new=0 if stream in encoded else tested,
            )
            encoded.add(stream)
        rows.append((experiment.label, missing, of_row))
    return rows


def total(costs: Sequence[Cost]) -> Cost:
    return Cost(*map(sum, zip(Cost(0, 0, 0.0, 0), *costs)))


def cost(
    backbone: Backbone,
    config: Config,
    *,
    classes: int,
    images: int,
    tested: int,
    runs: int = 1,
    new: int = 0,
) -> Cost:
    """images = new + runs * images * views, steps = runs * epochs * floor(images / batch size).

    The views of an image are one in every epoch where crops are fresh, else the plain one and the
    crops.

    :param images: training images of a run; none are needed where nothing is learned.
    :param tested: images that a run is tested on, of which ``new`` are to be encoded.
    """
    fresh, learned = config.crops == "fresh", runs * images if config.epochs else 0
    encoded = new + learned * (config.epochs if fresh else 1 + int(config.crops))
    steps = runs * config.epochs * max(1, images // config.batch_size)
    timed = min(TIMED, classes)
    once = config.replace(epochs=min(config.epochs, 1), lr=1e-9, crops=0)
    step, test = seconds_per_step(backbone, timed, once)
    seconds = (steps * step + runs * tested * test) * classes / timed
    seconds += encoded * seconds_per_image(backbone)
    each = 4 * backbone.joint_width + 2 * math.prod(backbone.grid) * backbone.patch_width
    return Cost(encoded, steps, seconds, each * (new if fresh else encoded))


@cache
def seconds_per_image(backbone: Backbone) -> float:
    """Of the image tower."""
    height, width = backbone.model.visual.image_size
    pixels = torch.randn(ENCODED, 3, height, width, device=backbone.device)
    return seconds_of(partial(backbone.encode_image, pixels)) / ENCODED


@cache
def seconds_per_step(backbone: Backbone, classes: int, config: Config) -> tuple[float, float]:
    """Of an epoch of one batch, and of testing an encoded image; both grow with the classes."""
    number = config.batch_size
    features = Features(
        torch.randn(number, backbone.joint_width),
        torch.randn(number, math.prod(backbone.grid), backbone.patch_width).half(),
        torch.arange(number) % classes,
        backbone.grid,
    )
    model = SOTGLP(backbone, [f"class {i}" for i in range(classes)], config)
    step = seconds_of(partial(fit, model, features, progress=False))
    with torch.no_grad():
        text, batch = model.text_features(), features.batch(slice(None), backbone.device)
        test = seconds_of(lambda: model(batch, text).patch_similarity) / number
    return step, test


def seconds_of(work: Callable[[], object]) -> float:
    """Of a call, with all that it asks of a GPU, after one to warm up."""
    for _ in range(2):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return time.perf_counter() - start


def speeds(
    backbone: Backbone, classes: int, shots: int, *, progress: bool
) -> dict[str, tuple[float, str]]:
    """A figure and its unit: of encoding, of every preset's training with its images, and of
    transport.
    """
    rows = {"encode, image and patches": (1 / seconds_per_image(backbone), "images/s")}
    for name in progress_bar(PRESETS, desc="bench", unit="preset", show=progress):
        config = preset(name)
        found = cost(backbone, config, classes=classes, images=classes * shots, tested=0)
        unit = f"s for {config.epochs} epochs, {found.steps:,} steps"
        rows[f"train {name}"] = found.seconds, unit if config.epochs else "nothing is learned"
    costs = 0.75 - 0.015 * torch.randn(PROBLEMS, 10, 4, device=backbone.device)
    for epsilon in (0.1, 0.01):
        seconds = seconds_of(partial(sinkhorn, costs, epsilon=epsilon))
        rows[f"Sinkhorn, 10 x 4, epsilon {epsilon}, to 1e-6"] = PROBLEMS / seconds, "problems/s"
    return rows
