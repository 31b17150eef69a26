"""What a GPU does in a second: transport, the image tower, and whole training steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from benchmarks import naive
from gpu_checks import Card, noise
from torch.utils.flop_counter import FlopCounterMode

from sotglp_core import SOTGLP, fit, load_backbone, recipe, sinkhorn
from sotglp_core.clip.backbone import Backbone
from sotglp_core.data.features import Features

Row = dict[str, Any]  # a column's name -> its text or number; None: not measured
PROBLEMS = ((256, 1000), (64, 100), (4096, 10))  # images, classes
SHAPES = ((10, 4), (196, 4))  # patches, prompts
NOUNS = (
    "bark brick cloth coral fern fur glass gravel hide husk ice leaf moss paper pelt rope sand "
    "shell silk skin stone wood"
)


def transport(card: Card) -> list[Row]:
    """Microseconds of one call for the problems of all images and classes."""
    copied, rows = copy_bandwidth(card), []
    for K, N in SHAPES:
        for images, classes in PROBLEMS:
            number = card.size(images * classes, 5)
            cost = 1 - (0.25 + 0.015 * noise(number, K, N).to(card.device))
            a, b = (torch.full_like(cost.sum(axis), 1 / n) for axis, n in ((-1, K), (-2, N)))
            launch = seconds(card, kernel_launch, cost, a, b)
            moved = 4 * number * (2 * K * N + K + N + 3)  # bytes, in and out
            rate = None if launch is None else moved / launch
            rows.append(
                {
                    "problems": f"{images} x {classes} of {K} x {N}",
                    "torch loop, µs": micro(seconds(card, ours, cost, "torch")),
                    "probability loop, µs": micro(seconds(card, naive.transport, 1 - cost)),
                    "POT, µs": micro(seconds(card, pot, cost, a, b) if find_spec("ot") else None),
                    "kernel, µs": micro(seconds(card, ours, cost, "triton")),
                    "its launch, µs": micro(launch),
                    "GB/s of it": None if rate is None else rate / 1e9,
                    "% of a copy": None if rate is None else 100 * rate / copied,
                }
            )
    return rows


def image_tower(card: Card) -> list[Row]:
    """Images a second, from pixels on the device."""
    rows = []
    for precision in ("auto", "fp32"):
        backbone = clip(card, precision)
        side = backbone.model.visual.image_size
        pixels = noise(card.size(256, 2), 3, *side).to(card.device, backbone.dtype)
        with torch.no_grad():
            plain = seconds(card, backbone.model.encode_image, pixels)
            dense = seconds(card, backbone.encode_image, pixels)
            flops = counted(backbone.encode_image, pixels)
        rows.append(
            {
                "tower": f"{backbone.name}, {backbone.precision}, {len(pixels)} images at once",
                "open_clip, images/s": plain and len(pixels) / plain,
                "with the dense stream, images/s": dense and len(pixels) / dense,
                "% of open_clip": plain and dense and 100 * plain / dense,
                **utilisation(card, flops, dense, backbone.dtype),
            }
        )
    return rows


def training(card: Card) -> list[Row]:
    """Steps a second and peak memory, from cached image features."""
    many = [f"{texture} {noun}" for noun in NOUNS.split() for texture in naive.CLASSES]
    rows = []
    for what, names, batch in (
        ("DTD-sized", naive.CLASSES, 32),
        ("ImageNet-sized", many[:1000], 256),
    ):
        names, batch = names[: card.size(1000, 5)], card.size(batch, 4)
        backbone = clip(card, "auto")
        steps = card.size(4, 2)
        step, peak = one_step(card, backbone, names, batch, steps)
        config = recipe("sotglp", batch_size=batch, epochs=1)
        model = SOTGLP(backbone, names, config)
        features = random_features(backbone, batch, len(names))
        flops = counted(lambda m=model, f=features: fit(m, f, progress=False))
        rows.append(
            {
                "task": f"{what}, {len(names)} classes, batch {batch}, {backbone.precision}",
                "steps/s": 1 / step,
                "peak memory, GiB": peak,
                **utilisation(card, flops, step, backbone.dtype),
            }
        )
    return rows


TABLES = {"Transport": transport, "Image tower": image_tower, "Training": training}


def ours(cost: torch.Tensor, backend: str) -> None:
    sinkhorn(cost, epsilon=0.1, backend=backend)


def kernel_launch(cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """What the kernel does, without the checks around it."""
    from sotglp_core.transport import kernel

    kernel.scale(cost, a, b, 0.1, 1e-6, 60)


def pot(cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    import ot.batch

    ot.batch.solve_batch(cost, 0.1, a, b, grad="detach", tol=1e-6)


def one_step(
    card: Card, backbone: Backbone, names: list[str], batch: int, steps: int
) -> tuple[float, float | None]:
    """Seconds of a training step, and GiB at the peak."""
    features = random_features(backbone, batch * steps, len(names))
    model = SOTGLP(backbone, names, recipe("sotglp", batch_size=batch, epochs=3))
    ends: list[float] = []
    if not card.dry:
        torch.cuda.reset_peak_memory_stats()
    fit(model, features, progress=False, on_epoch=lambda _: ends.append(now(card)))
    peak = None if card.dry else torch.cuda.max_memory_allocated() / 2**30
    return (ends[-1] - ends[0]) / (2 * steps), peak  # the first epoch warms up


def clip(card: Card, precision: str) -> Backbone:
    name = "pocket" if card.dry else "ViT-B-16"
    return load_backbone(name, "random", device=card.device, precision=precision)


def random_features(backbone: Backbone, number: int, classes: int) -> Features:
    places = backbone.grid[0] * backbone.grid[1]
    image = noise(number, backbone.joint_width)
    patches = noise(number, places, backbone.patch_width).half()
    return Features(image, patches, torch.arange(number) % classes, backbone.grid)


def now(card: Card) -> float:
    """Seconds, after all that the device was asked for."""
    if not card.dry:
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(card: Card, call: Callable, *arguments: Any, repeats: int = 7) -> float | None:
    """The median of a few calls, None if there is too little memory for one."""
    times = []
    try:
        for _ in range(card.size(repeats + 2, 1)):
            start = now(card)
            call(*arguments)
            times.append(now(card) - start)
    except torch.cuda.OutOfMemoryError:
        return None
    return statistics.median(times[-repeats:])  # the first two warm up


def micro(value: float | None) -> float | None:
    return None if value is None else 1e6 * value


def copy_bandwidth(card: Card) -> float:
    """Bytes a second, read and written, of a copy on the device."""
    source = noise(card.size(1 << 28, 1 << 10)).to(card.device)
    target = torch.empty_like(source)
    return 2 * 4 * len(source) / (seconds(card, target.copy_, source) or 1)


def counted(call: Callable, *arguments: Any) -> int:
    """Floating-point operations of the matrix products in a call."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # fused attention is not counted
    try:
        with FlopCounterMode(display=False) as counter:
            call(*arguments)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops()


def utilisation(card: Card, flops: int, duration: float | None, dtype: torch.dtype) -> Row:
    """Of a call, beside a square matrix product in the same numbers."""
    size = card.size(8192, 64)
    a, b = (noise(size, size, seed=seed).to(card.device, dtype) for seed in (0, 1))
    product = 2 * size**3 / (seconds(card, torch.mm, a, b) or 1)
    rate = None if duration is None else flops / duration
    return {
        "TFLOP": flops / 1e12,
        "TFLOP/s": None if rate is None else rate / 1e12,
        "% of a matrix product": None if rate is None else 100 * rate / product,
    }
