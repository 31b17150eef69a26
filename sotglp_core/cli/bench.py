"""``sotglp bench``: how fast this machine is, and how long a task would take on it."""

from __future__ import annotations

import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated

import torch
import typer
from rich.table import Column, Table

from ..clip.backbone import Backbone, load_backbone
from ..config import PRESETS, preset
from ..data.embedded import species_images
from ..messages import progress_bar
from ..transport.sinkhorn import sinkhorn
from ..workbench.reproduce.estimate import seconds_a_step, seconds_an_image
from .common import AsJson, Device, Name, Weights, console
from .common import device as chosen_device

REPEATS = 3


def bench(
    backbone: Name = "pocket",
    pretrained: Weights = None,
    classes: Annotated[int, typer.Option(min=2, help="Classes of the task that is imagined.")] = 24,
    shots: Annotated[int, typer.Option(min=1, help="Training images of each class.")] = 16,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure encoding, training steps and transport here: medians of a few runs.

    Examples:

    - `sotglp bench`
    - `sotglp bench --backbone ViT-B-16 --pretrained random --classes 100`
    """
    frozen = load_backbone(backbone, pretrained, device=chosen_device(device))
    names = tuple(f"class {i}" for i in range(classes))
    images, rows = species_images("bench", 1), {}
    drawn = [images[i] for i in range(len(images))]
    work: dict[str, Callable[[], tuple[float, str]]] = {
        "resize": lambda: (
            len(drawn) / _median(lambda: [frozen.preprocess(image) for image in drawn]),
            "images/s",
        ),
        "encode, image and patches": lambda: (
            1 / statistics.median(seconds_an_image(frozen) for _ in range(REPEATS)),
            "images/s",
        ),
    }
    for name in PRESETS:
        work[f"train {name}"] = partial(_training, frozen, names, name, shots)
    for epsilon in (0.1, 0.01):
        work[f"Sinkhorn, 10 x 4, epsilon {epsilon}, to 1e-6"] = partial(_transport, frozen, epsilon)
    for what, measure in progress_bar(work.items(), desc="bench", unit="row", show=not as_json):
        rows[what] = measure()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    rows["peak memory of this process"] = peak / 2**30, "GiB"
    where = {
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": str(frozen.device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "backbone": f"{backbone} {frozen.pretrained}",
        "classes": classes,
        "shots": shots,
    }
    if as_json:
        print(
            json.dumps(
                {
                    **where,
                    "rows": {
                        what: {"value": value, "unit": unit} for what, (value, unit) in rows.items()
                    },
                }
            )
        )
        return
    table = Table(
        "what",
        Column("measured", justify="right"),
        "unit",
        title=", ".join(f"{k} {v}" for k, v in where.items()),
    )
    for what, (value, unit) in rows.items():
        table.add_row(what, f"{value:,.0f}" if value >= 100 else f"{value:.3g}", unit)
    console.print(table)


def _training(frozen: Backbone, names: tuple[str, ...], name: str, shots: int) -> tuple[float, str]:
    """Seconds of a whole training from cached features, by the time of a step."""
    config = preset(name)
    step, _ = seconds_a_step(frozen, names, config)
    steps = config.epochs * -(-len(names) * shots // config.batch_size)
    return (
        step * steps,
        f"s for {config.epochs} epochs, {steps:,} steps" if steps else "nothing is learned",
    )


def _transport(frozen: Backbone, epsilon: float, number: int = 10_000) -> tuple[float, str]:
    cost = 1 - (0.25 + 0.015 * torch.randn(number, 10, 4, device=frozen.device))
    return number / _median(lambda: sinkhorn(cost, epsilon=epsilon)), "problems/s"


def _median(call: Callable[[], object]) -> float:
    call()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
