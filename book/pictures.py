"""Draw the front page's picture from a trained model: ``python book/cover.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from sotglp_core import SOTGLP, figures, fit, load_backbone, load_task, preset
from sotglp_core.inspector import shown_pixels
from sotglp_core.pocket import SETTINGS

ROWS, COLUMNS = 2, 6


@torch.no_grad()
def main() -> None:
    backbone, task = load_backbone(), load_task(shots=16)
    model = SOTGLP(backbone, task.class_names, preset("sotglp", **SETTINGS, epochs=20))
    with torch.enable_grad():
        fit(model, task.train)
    figure = Figure(figsize=(2 * COLUMNS, 2 * ROWS), dpi=110, facecolor="white", layout="constrained")
    axes = figure.subplots(ROWS, COLUMNS).flat
    for i in range(0, len(task.test), len(task.test) // (ROWS * COLUMNS // 2) + 1):
        image = task.test[i]
        seen = model(backbone.preprocess(image)[None])
        plan = seen.plan_on_grid()[0, seen.logits[0].argmax()]
        for overlay in (None, figures.shares(plan.numpy())):
            ax = next(axes)
            ax.imshow(np.asarray(shown_pixels(model, image)), extent=(0, 1, 1, 0))
            if overlay is not None:
                ax.imshow(overlay, extent=(0, 1, 1, 0), alpha=0.85)
            ax.set_axis_off()
    figure.savefig(Path(__file__).parent / "_static" / "cover.png")


if __name__ == "__main__":
    main()
