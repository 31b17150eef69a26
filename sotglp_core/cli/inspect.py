"""``sotglp inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from ..data.images import FolderImages
from ..inspector import PatchInspector
from ..messages import printable
from .common import Device, console, loaded
from .predict import Photos, listed_photos


def inspect(
    run: Annotated[
        Path, typer.Argument(help="Folder that `sotglp train` wrote, or a file of prompts.")
    ],
    photos: Photos,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("inspector.html"),
    top: Annotated[
        int, typer.Option(min=1, help="How many of the most probable classes to show.")
    ] = 5,
    device: Device = "auto",
) -> None:
    """Write one HTML page that shows which patch of each photo went to which prompt; it needs no other file and no network.

    Examples:

    - `sotglp inspect runs/photos new.jpg other.jpg --out inspector.html`
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {printable(out)}: give a name that ends in .html")
    model, files = loaded(run, device), listed_photos(photos)
    inspector = PatchInspector.from_model(
        model,
        FolderImages(files, [-1] * len(files)),
        top=top,
        alt=[printable(file) for file in files],
    )
    inspector.save(out, title=f"Who looks where: {printable(run)}")
    console.print(
        f"wrote {out}, {len(files)} photo{'s' * (len(files) != 1)}, {decimal(out.stat().st_size)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
