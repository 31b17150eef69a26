"""Speed and memory on this machine: ``make bench``. Medians of repeated runs; compare only what one run prints."""

from __future__ import annotations

import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

IMPORT = "import time; t = time.perf_counter(); import {0}; print(time.perf_counter() - t)"


def median_seconds(call: Callable[[], object], repeats: int = 5) -> float:
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def import_seconds(module: str, first: str) -> float:
    """Median time to import a module after another one is loaded, each in a fresh process."""
    code = f"import {first}\n" + IMPORT.format(module)
    return statistics.median(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5))


def main() -> None:
    warnings.simplefilter("ignore")
    from sotglp_core import SOTGLP, fit, load_backbone, load_task, preset, sinkhorn
    from sotglp_core.features import encode
    from sotglp_core.pocket import SETTINGS
    from sotglp_core.pocket.tasks import species_images
    from sotglp_core.pocket.traits import SPECIES

    table = Table("what", "measured", "unit", title=f"{platform.machine()}, {torch.get_num_threads()} threads, Python "
                  f"{platform.python_version()}, torch {torch.__version__}")
    table.add_row("import sotglp_core, beyond torch's own import", f"{import_seconds('sotglp_core', 'torch'):.2f}", "s")
    images = species_images("bench", 8)
    table.add_row("draw birds", f"{len(images) / median_seconds(lambda: [images[i] for i in range(len(images))], 3):.0f}", "images/s")
    backbone = load_backbone()
    pixels = torch.stack([backbone.preprocess(images[i]) for i in range(64)])
    with torch.no_grad():
        seconds = median_seconds(lambda: backbone.encode_image(pixels), 3)
    table.add_row("encode, image and patches, batch 64", f"{64 / seconds:.0f}", "images/s")
    task = load_task(shots=16, classes=list(SPECIES)[:10])
    features = encode(backbone, task.train, progress=False)
    for name in ("sotglp", "sotglp-proj", "coop"):
        start = time.perf_counter()
        fit(SOTGLP(backbone, task.class_names, preset(name, **SETTINGS)), features, progress=False)
        what = f"train {name}, 16 shots x 10 classes, {preset(name).epochs} epochs, cached features"
        table.add_row(what, f"{time.perf_counter() - start:.1f}", "s")
    cost = 1 - (0.25 + 0.015 * torch.randn(47_000, 10, 4))
    for epsilon in (0.1, 0.01, 0.001):
        seconds = median_seconds(partial(sinkhorn, cost, epsilon=epsilon), 3)
        table.add_row(f"Sinkhorn, 47,000 problems of 10 x 4, epsilon {epsilon}, to 1e-6", f"{1000 * seconds:.0f}", "ms")
    table.add_row("peak memory of this process", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2:.2f}", "GiB")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
