"""``sotglp predict``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape
from rich.table import Column, Table

from .. import figures
from ..datasets.folders import list_images
from ..datasets.images import read_image, shown
from ..inspector import shown_pixels
from ..ood import SCORES
from ..storage import atomic_path
from .common import AsJson, Device, Skip, console, errors, loaded


def predict(
    run: Annotated[Path, typer.Argument(help="Folder that `sotglp train` wrote.")],
    photos: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    heatmap: Annotated[Path | None, typer.Option(help="Save the first photo's patch-to-prompt heatmaps as this PNG.")] = None,
    skip_corrupt: Skip = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Label photos: class, probability, and an out-of-distribution score (GL-MCM; higher is more familiar).

    Example: `sotglp predict runs/photos new.jpg --heatmap heatmap.png`
    """
    model = loaded(run, device)
    files = [file for photo in photos for file in (list_images(photo) if photo.is_dir() else [photo])]
    if not files:
        raise ValueError(f"there are no images in {photos[0]}; give files or folders of photos")
    text, table = None, Table(Column("photo", overflow="fold"), "label", "probability", "GL-MCM")
    for file in files:
        try:
            image = read_image(file)
        except ValueError as error:
            if not skip_corrupt:
                raise
            errors.print(f"skipped: {error}", style="yellow", markup=False, highlight=False)
            continue
        with torch.no_grad():
            text = text or model.text_features()
            seen = model(model.backbone.preprocess(image)[None], text)
        best = int(seen.logits[0].argmax())
        row = {"photo": str(file), "label": model.class_names[best], "probability": float(seen.logits[0].softmax(-1)[best]),
               "gl_mcm": float(SCORES["GL-MCM"](seen.similarity, seen.patch_similarity, seen.logits)[0])}
        if as_json:
            print(json.dumps(row))
        table.add_row(escape(shown(file)), escape(row["label"]), f"{row['probability']:.1%}", f"{row['gl_mcm']:.4f}")
        if heatmap is not None:
            if seen.alignment is None:
                raise ValueError(f"the preset {model.config.preset!r} has no local prompts, so there is no heatmap; leave out --heatmap")
            figure = figures.partition(shown_pixels(model, image), seen.plan_on_grid()[0, best].cpu().numpy(), title=row["label"])
            with atomic_path(heatmap) as temporary:
                figure.savefig(temporary, format="png", dpi=140)
            heatmap = None
    if not as_json:
        console.print(table)
