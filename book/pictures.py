"""Draw the book's pictures: ``python book/pictures.py [NAME.png ...]``."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sotglp_core import (
    SOTGLP,
    figures,
    fit,
    load_backbone,
    load_task,
    ood_images,
    recipe,
    species_images,
)
from sotglp_core.data.embedded import OOD_KINDS
from sotglp_core.pocket import PARTS, SPECIES
from sotglp_core.pocket.world import SHIFTS
from sotglp_core.workbench.embedded import MEASURED
from sotglp_core.workbench.experiments import read_rows

STATIC = Path(__file__).parent / "_static"
ROWS, COLUMNS = 2, 4


def cover() -> Figure:
    """Birds, each beside its patches in the colours of the prompts, at a small epsilon."""
    backbone, task = load_backbone(), load_task(shots=16)
    model = SOTGLP(backbone, task.class_names, recipe("sotglp", epochs=20, epsilon=0.003))
    fit(model, task.train)
    step = len(task.test) // (ROWS * COLUMNS // 2) + 1
    images = [task.test[i] for i in range(0, len(task.test), step)]
    pixels = torch.stack([backbone.preprocess(image) for image in images])
    with torch.no_grad():
        seen = model(pixels)
    plans = seen.plan_on_grid(seen.logits.argmax(-1)).numpy()
    shown = [image for one in pixels for image in [backbone.to_image(one)] * 2]
    figure = figures.contact_sheet(shown, columns=COLUMNS, size=2)
    for ax, plan in zip(figure.axes[1::2], plans):
        figures.show(ax, figures.shares(plan), alpha=0.85)
    return figure


def field_guide() -> Figure:
    """A test image of each species and its part mask."""
    images, shown = species_images("test", 1), []
    colours = ListedColormap(["white", *figures.PALETTE])
    for i in range(len(images)):
        picture = images.picture(i)
        shown += [picture.image, colours(picture.parts)]
    titles = [title for name in SPECIES for title in (name, "")]
    figure = figures.contact_sheet(shown, titles, columns=8, size=1.25)
    swatches = [Patch(color=colour, label=part) for colour, part in zip(figures.PALETTE, PARTS[1:])]
    figure.legend(
        handles=swatches,
        loc="outside lower center",
        ncols=len(swatches),
        frameon=False,
        fontsize=9,
    )
    return figure


def world() -> Figure:
    """The five OOD sets, and the four domain shifts of one bird each."""
    images, titles = [], []
    for name in ("unseen", *OOD_KINDS):
        shown = ood_images(name, 8)
        images += [shown[i] for i in range(8)]
        titles += [f"OOD: {name}"] + [""] * 7
    plain = species_images("test", 1)
    for start in (0, 12):
        for i, shift in enumerate(SHIFTS):
            shifted = species_images("test", 1, shift=shift)
            images += [plain[start + i], shifted[start + i]]
            titles += ["as trained", f"shift: {shift}"]
    return figures.contact_sheet(images, titles, columns=8, size=1.25)


def shots() -> Figure:
    """Accuracy by the number of training images."""
    rows, shots = read_rows(MEASURED / "shots.jsonl"), (1, 2, 4, 8, 16)
    lines = {
        name: np.array([[run["top-1"] for run in rows[f"{name}, {k}"]] for k in shots]).T
        for name in ("zeroshot", "coop", "gallop", "sotglp", "sotglp-proj")
    }
    return figures.curves(
        shots, lines, xlabel="training images of each species", ylabel="top-1 accuracy, %"
    )


def tradeoff() -> Figure:
    """Accuracy against OOD detection, with and without the projection, by length of training."""
    rows = read_rows(MEASURED / "tradeoff.jsonl")
    labels = sorted(rows, key=lambda label: (label.split(",")[0], int(label.split()[1])))
    metrics = ("top-1", "mean GL-MCM AUROC")
    return figures.tradeoff(
        {
            label: tuple([run[metric] for run in rows[label]] for metric in metrics)
            for label in labels
        }
    )


DRAWN = {
    "cover.png": cover,
    "field-guide.png": field_guide,
    "world.jpg": world,
    "shots.png": shots,
    "tradeoff.png": tradeoff,
}


def source(name: str) -> str:
    """A digest of what a picture shows, kept in its file; none where only the world is drawn."""
    if name == "cover.png":
        return load_backbone().fingerprint
    measured = MEASURED / Path(name).with_suffix(".jsonl")
    return hashlib.sha256(measured.read_bytes()).hexdigest()[:16] if measured.exists() else ""


def main() -> None:
    for name in sys.argv[1:] or DRAWN:
        known = {"metadata": {"Comment": source(name)}} if source(name) else {}
        DRAWN[name]().savefig(STATIC / name, **known)


if __name__ == "__main__":
    main()
