"""``sotglp predict``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import numpy as np
import typer

from .. import figures
from ..data.folders import list_images
from ..data.images import read_image
from ..judging.threshold import score_of, threshold_of
from ..messages import printable
from ..method.model import SOTGLP
from ..storage import atomic_path
from ..workbench.predict import Batch, batches
from .common import AsJson, Device, Skip, console, loaded, warn
from .writers import WRITERS, Format

Photos = Annotated[
    list[Path],
    typer.Argument(
        help="Image files, folders of them, or - for a list of paths on standard input."
    ),
]


def predict(
    run: Annotated[
        Path, typer.Argument(help="Folder that `sotglp train` wrote, or a file of prompts.")
    ],
    photos: Photos,
    top: Annotated[
        int, typer.Option(min=1, help="How many of the most probable classes to name.")
    ] = 1,
    tpr: Annotated[
        float,
        typer.Option(help="Share of the classes' own held-out images that are to be called known."),
    ] = 0.95,
    form: Annotated[
        Format, typer.Option("--format", help="What to print; jsonl: one JSON object a line.")
    ] = Format.table,
    out: Annotated[
        Path | None, typer.Option(help="Write to this file instead of standard output.")
    ] = None,
    heatmap: Annotated[
        Path | None,
        typer.Option(help="Save the first photo's patch-to-prompt heatmaps as this PNG."),
    ] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(help="Save every photo's heatmaps in this folder.")
    ] = None,
    skip_corrupt: Skip = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Label photos, and say which are of none of the classes.

    Each gets its class, probability and familiarity (GL-MCM, or MCM without local prompts). A photo is known if its familiarity reaches
    the value that 95 % (--tpr) of held-out images of the classes reach.

    Examples:

    - `sotglp predict runs/photos new.jpg --heatmap heatmap.png`
    - `sotglp predict runs/photos holiday/ --top 3 --format csv --out labels.csv`
    - `find . -name '*.jpg' | sotglp predict runs/photos - --json`
    """
    model = loaded(run, device)
    if (heatmap or heatmaps) and not model.config.local_prompts:
        raise ValueError(
            f"the preset {model.config.preset!r} has no local prompts, so there is no heatmap; leave out --heatmap"
        )
    fitted = threshold_of(model)
    threshold = fitted.at(tpr) if fitted else None
    if threshold is None:
        warn(
            f"{printable(run)} has no OOD threshold, so nothing is called known or unknown; train it again to have one"
        )
    files = listed_photos(photos)
    for path in (out, heatmap):
        if path and path.exists() and any(file.exists() and path.samefile(file) for file in files):
            raise ValueError(
                f"{printable(path)} is one of the photos; give another file to write to"
            )
    skipped = (lambda message: warn(f"skipped: {message}")) if skip_corrupt else None
    form, score, counts = Format.jsonl if as_json else form, score_of(model), [0, 0]
    with (
        _stream(out) as stream,
        WRITERS[form](stream, score, min(top, len(model.class_names))) as write,
    ):
        for number, batch in _counted(batches(model, files, skipped=skipped)):
            for i, answer in enumerate(batch.answers(model, top=top)):
                known = None if threshold is None else answer.score >= threshold
                write(answer, known)
                counts = [counts[0] + bool(known), counts[1] + 1]
                if heatmap and number + i == 0:
                    _draw(model, batch, i, heatmap)
                if heatmaps:
                    _draw(
                        model, batch, i, heatmaps / f"{number + i + 1:05}-{answer.photo.stem}.png"
                    )
    if out and not as_json:
        console.print(
            f"wrote {printable(out)}, {counts[1]} photo{'s' * (counts[1] != 1)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if fitted and (out and not as_json or form is Format.table):
        console.print(
            f"{counts[0]} of {counts[1]} known: {score} of at least {threshold:.5g}, which {100 * tpr:.4g} % of the "
            f"{fitted.images} held-out images ({fitted.source}) reach",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def listed_photos(photos: list[Path]) -> list[Path]:
    """The files that the arguments name.

    :raises ValueError: if there are none.
    """
    files: list[Path] = []
    for photo in photos:
        if str(photo) == "-":
            files += [
                Path(line)
                for line in os.fsdecode(sys.stdin.buffer.read()).split("\n")
                if line.strip()
            ]
        else:
            files += list_images(photo) if photo.is_dir() else [photo]
    if not files:
        raise ValueError(
            f"there are no images in {printable(photos[0])}; give files or folders of photos"
        )
    return files


def _counted(stream: Iterator[Batch]) -> Iterator[tuple[int, Batch]]:
    """Each batch with the number of photos before it."""
    number = 0
    for batch in stream:
        yield number, batch
        number += len(batch.photos)


def _draw(model: SOTGLP, batch: Batch, i: int, path: Path) -> None:
    seen, best = batch.prediction, int(batch.prediction.logits[i].argmax())
    plan = seen.plan_on_grid(seen.logits.argmax(-1))[i].cpu().numpy()  # (N, h, w)
    image = np.asarray(
        model.backbone.to_image(model.backbone.preprocess(read_image(batch.photos[i])))
    )
    with atomic_path(path) as temporary:
        title = model.class_names[best].replace("$", r"\$")  # which is no formula
        figures.partition(image, plan, title=title).savefig(temporary, format="png", dpi=140)


@contextmanager
def _stream(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is there when all of it is; file names keep bytes that are not UTF-8."""
    if out is None:
        sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        yield sys.stdout
    else:
        with (
            atomic_path(out) as temporary,
            open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            yield file
