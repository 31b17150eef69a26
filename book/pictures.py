"""Draw the book's pictures of the pocket world, of a trained model and of what was measured: ``python book/pictures.py [NAME.png ...]``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sotglp_core import SOTGLP, figures, fit, load_backbone, load_task, recipe
from sotglp_core.data.embedded import OOD_KINDS, ood_images, species_images
from sotglp_core.pocket.traits import PARTS, SPECIES
from sotglp_core.pocket.world import SHIFTS
from sotglp_core.workbench.reproduce.rows import MEASURED, read_rows

STATIC = Path(__file__).parent / "_static"
ROWS, COLUMNS = 2, 6


@torch.no_grad()
def cover() -> Figure:
    """Birds, each beside its patches in the colours of the prompts."""
    backbone, task = load_backbone(), load_task(shots=16)
    model = SOTGLP(backbone, task.class_names, recipe("sotglp", epochs=20))
    with torch.enable_grad():
        fit(model, task.train)
    figure = Figure(
        figsize=(2 * COLUMNS, 2 * ROWS), dpi=110, facecolor="white", layout="constrained"
    )
    axes = figure.subplots(ROWS, COLUMNS).flat
    for i in range(0, len(task.test), len(task.test) // (ROWS * COLUMNS // 2) + 1):
        image = task.test[i]
        seen = model(backbone.preprocess(image)[None])
        plan = seen.plan_on_grid()[0, seen.logits[0].argmax()]
        for overlay in (None, figures.shares(plan.numpy())):
            ax = next(axes)
            ax.imshow(
                np.asarray(model.backbone.to_image(model.backbone.preprocess(image))),
                extent=(0, 1, 1, 0),
            )
            if overlay is not None:
                ax.imshow(overlay, extent=(0, 1, 1, 0), alpha=0.85)
            ax.set_axis_off()
    return figure


def field_guide() -> Figure:
    """A test picture of each species and its part mask."""
    images, shown = species_images("test", 1), []
    for i in range(len(images)):
        picture = images.picture(i)
        shown += [picture.image, figures.part_colours(picture.parts)]
    titles = [title for name in SPECIES for title in (name, "")]
    with rc_context({"legend.fontsize": 9}):
        figure = figures.contact_sheet(shown, titles, columns=8, size=1.25)
        swatches = [Patch(color=figures.PALETTE[k], label=part) for k, part in enumerate(PARTS[1:])]
        figure.legend(
            handles=swatches, loc="outside lower center", ncols=len(swatches), frameon=False
        )
    return figure


def world() -> Figure:
    """What is not of the species (five sets), and the four domain shifts of one bird each."""
    images, titles = [], []
    for name in ("unseen", *OOD_KINDS):
        strangers = ood_images(name, 8)
        images += [np.asarray(strangers[i]) for i in range(8)]
        titles += [f"out: {name}"] + [""] * 7
    plain = {shift: species_images("test", 1, shift=shift) for shift in (None, *SHIFTS)}
    for start in (0, 12):
        for shift in SHIFTS:
            images += [
                np.asarray(plain[kind][start + SHIFTS.index(shift)]) for kind in (None, shift)
            ]
            titles += ["as trained", f"shift: {shift}"]
    return figures.contact_sheet(images, titles, columns=8, size=1.25)


def shots() -> Figure:
    """Accuracy by the number of training pictures."""
    rows, numbers = read_rows(MEASURED, "shots"), (1, 2, 4, 8, 16)
    lines = {
        name: np.array([[run["top-1"] for run in rows[f"{name}, {k}"]] for k in numbers]).T
        for name in ("zeroshot", "coop", "gallop", "sotglp", "sotglp-proj")
    }
    return figures.curves(
        numbers, lines, xlabel="training pictures of each species", ylabel="top-1 accuracy, %"
    )


def tradeoff() -> Figure:
    """Accuracy against detection, with and without the projection, by length of training."""
    rows = read_rows(MEASURED, "tradeoff")
    return figures.tradeoff(
        {
            label: (
                [run["top-1"] for run in rows[label]],
                [run["mean GL-MCM AUROC"] for run in rows[label]],
            )
            for label in sorted(
                rows, key=lambda label: (label.split(",")[0], int(label.split()[1]))
            )
        }
    )


def main() -> None:
    drawn = {
        "cover.png": cover,
        "field-guide.png": field_guide,
        "world.jpg": world,
        "shots.png": shots,
        "tradeoff.png": tradeoff,
    }
    for name in sys.argv[1:] or drawn:
        drawn[name]().savefig(STATIC / name)


if __name__ == "__main__":
    main()
