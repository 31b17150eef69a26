"""Many predictions in one process: does its memory grow?

python tests/benchmarks/predictions.py [--number 10000]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from sotglp_core import SOTGLP, load_backbone, preset
from sotglp_core.pocket.traits import SPECIES
from sotglp_core.workbench.predict import predict

DIFFERENT = 100  # photos on disk; the list names each of them many times


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--number", type=int, default=10_000, help="photos")
    number = parser.parse_args(arguments).number
    rng, process = np.random.default_rng(0), psutil.Process()
    model = SOTGLP(load_backbone(), tuple(SPECIES), preset("sotglp-proj"))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{i}.jpg") for i in range(DIFFERENT)]
        for i, file in enumerate(files):
            Image.fromarray(rng.integers(0, 255, (120 + i % 7, 160 + i % 11, 3), np.uint8)).save(
                file
            )
        start, answers = (
            time.monotonic(),
            predict(model, [files[i % DIFFERENT] for i in range(number)], top=3, progress=False),
        )
        print(f"{'photos':>7} {'MB':>7} {'MB of readers':>14} {'seconds':>8}")
        for done, _ in enumerate(answers, 1):
            if done == 100 or done % 1000 == 0:
                readers = sum(child.memory_info().rss for child in process.children(recursive=True))
                print(
                    f"{done:7,} {process.memory_info().rss / 1e6:7.1f} {readers / 1e6:14.1f} "
                    f"{time.monotonic() - start:8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
