"""``sotglp predict``."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..messages import printable
from .common import count, load_saved, save_figure, say, warn
from .writers import Format, writer


def predict(
    run: Path,
    photos: list[Path],
    top: int = 1,
    tpr: float = 0.95,
    form: Format = Format.table,
    out: Path | None = None,
    heatmap: Path | None = None,
    heatmaps: Path | None = None,
    skip_corrupt: bool = False,
    backbone: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    precision: str | None = None,
    as_json: bool = False,
) -> None:
    """Label images, and say which are of none of the classes.

    Each gets its class, probability and in-distribution score (GL-MCM, or MCM without local
    prompts). An image is known if its score reaches the value that 95 % (--tpr) of held-out images
    of the classes reach.

    Examples:

    - `sotglp predict runs/photos new.jpg --heatmap heatmap.png`
    - `sotglp predict runs/photos holiday/ --top 3 --format csv --out labels.csv`
    - `find . -name '*.jpg' | sotglp predict runs/photos - --json`
    """
    from .. import figures
    from ..judging.threshold import score_of
    from ..workbench.predict import predict

    model = load_saved(run, device, precision, backbone, pretrained)
    if (heatmap or heatmaps) and not model.config.local_prompts:
        preset = model.config.preset
        raise ValueError(f"{preset!r} has no local prompts and no heatmap; leave out --heatmap")
    fitted, score = model.threshold, score_of(model)
    threshold = fitted.at(tpr) if fitted else None
    if not fitted:
        warn(
            f"{run} has no OOD threshold, so nothing is called known or unknown; train "
            "it again to have one"
        )
    files = listed_images(photos)
    for path in (out, heatmap):
        if path and path.exists() and any(file.exists() and path.samefile(file) for file in files):
            raise ValueError(f"{printable(path)} is one of the images; give another file to write")
    skip = (lambda message: warn(f"skipped: {message}")) if skip_corrupt else None
    form, known, number = Format.jsonl if as_json else form, 0, 0
    named = min(top, len(model.class_names))
    with _stream(out, form) as stream, writer(form, stream, score, named) as write:
        drawn = bool(heatmap or heatmaps)
        answers = predict(model, files, top=top, plans=drawn, on_unreadable=skip)
        for number, answer in enumerate(answers, 1):
            verdict = None if threshold is None else answer.score >= threshold
            known += bool(verdict)
            write(answer, verdict)
            if heatmaps or (heatmap and number == 1):
                figure = figures.partition(answer.image, answer.plan, title=answer.labels[0])
                if heatmap and number == 1:
                    save_figure(figure, heatmap)
                if heatmaps:
                    save_figure(figure, heatmaps / f"{number:05}-{answer.path.stem}.png")
    if out and not as_json:
        say(f"wrote {out}, {count(number, 'photo')}")
    if fitted and (form is Format.table or (out and not as_json)):
        say(
            f"{known} of {number} known: {score} of at least {threshold:.5g}, which {100 * tpr:.4g}"
            f" % of the {fitted.images} held-out images ({fitted.source}) reach"
        )


def listed_images(arguments: list[Path]) -> list[Path]:
    """The files that the arguments name.

    :raises ValueError: if there are none.
    """
    from ..data.folders import list_images

    files: list[Path] = []
    for argument in arguments:
        if str(argument) == "-":
            lines = os.fsdecode(sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")).splitlines()
            files += [Path(line) for line in lines if line.strip()]
        else:
            files += list_images(argument) if argument.is_dir() else [argument]
    if not files:
        raise ValueError(
            f"there are no images in {printable(arguments[0])}; give files or folders of images"
        )
    return files


@contextmanager
def _stream(out: Path | None, form: Format) -> Iterator[TextIO]:
    """Standard output, or a file that is there when all of it is; names keep all their bytes."""
    from ..storage import atomic_path

    if out is None:
        if form is not Format.table:
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore
        yield sys.stdout
        return
    with (
        atomic_path(out) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        yield file
