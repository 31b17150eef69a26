"""``sotglp inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from ..messages import printable
from .common import Device, Saved, SavedName, SavedWeights, count, load_saved, say
from .predict import Photos, listed_images


def inspect(
    run: Saved,
    photos: Photos,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("inspector.html"),
    top: Annotated[int, typer.Option(min=1, help="How many of the likeliest classes to show.")] = 5,
    backbone: SavedName = None,
    pretrained: SavedWeights = None,
    device: Device = "auto",
) -> None:
    """Write an HTML page that shows which patch of each image went to which prompt.

    It needs no other file and no network.

    Examples:

    - `sotglp inspect runs/photos new.jpg other.jpg --out inspector.html`
    """
    from ..data.images import FolderImages
    from ..inspector import PatchInspector

    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {printable(out)}: give a name that ends in .html")
    model, files = load_saved(run, device, backbone, pretrained), listed_images(photos)
    images = FolderImages(files, [-1] * len(files))
    inspector = PatchInspector.from_model(model, images, top=top, alt=list(map(printable, files)))
    inspector.save(out, title=f"Who looks where: {printable(run)}")
    size = decimal(out.stat().st_size)
    say(f"wrote {printable(out)}, {count(len(files), 'photo')}, {size}")
