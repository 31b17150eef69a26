"""``sotglp export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from ..data.embedded import species_images
from ..data.images import read_image
from ..judging.threshold import threshold_of
from ..learning.checkpoint import save
from ..method.model import text_free
from ..workbench.onnx import to_onnx
from .common import AsJson, console, loaded
from .predict import listed_photos

SAMPLE = 8  # images that a graph is checked on


def export(
    run: Annotated[
        Path, typer.Argument(help="Folder that `sotglp train` wrote, or a file of prompts.")
    ],
    out: Annotated[Path, typer.Argument(help="The file to write: name.safetensors, or name.onnx.")],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="For ONNX: photos to check the graph on; none: drawn birds."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bake the text features into a file that needs the image tower alone, for `sotglp predict`; or write one ONNX graph of both.

    Examples:

    - `sotglp export runs/photos photos.safetensors`
    - `sotglp export runs/photos photos.onnx some-photos/`
    """
    if out.suffix not in (".safetensors", ".onnx"):
        raise ValueError(
            f"{out} ends in neither .safetensors nor .onnx; give a name that says which of the two to write"
        )
    model = loaded(run, "cpu")
    if out.suffix == ".onnx":
        drawn = species_images("val", 1)
        images = (
            [read_image(path) for path in listed_photos(photos)[:SAMPLE]]
            if photos
            else [drawn[i] for i in range(SAMPLE)]
        )
        found = to_onnx(model, out, images)
        line = (
            f"opset {found.opset}, {found.iterations} iterations of Sinkhorn, marginal violation {found.violation:.1g}; "
            f"{found.difference:.1g} from torch at most, on {len(images)} images"
        )
        facts = found._asdict()
    else:
        save(text_free(model), out, threshold_of(model))
        line, facts = (
            f"{len(model.class_names)} classes, for the image tower of {model.backbone.name}",
            {"bytes": out.stat().st_size},
        )
    if as_json:
        print(json.dumps({"path": str(out), **facts}))
    else:
        console.print(
            f"wrote {out}, {decimal(facts['bytes'])}: {line}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
