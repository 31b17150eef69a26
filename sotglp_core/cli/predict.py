"""``sotglp predict``."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..messages import note, printable
from .common import OptionalText, count, load_saved, save_figure, say, skipped
from .writers import Format, score_key, write


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
    backbone: OptionalText = None,
    pretrained: OptionalText = None,
    device: str = "auto",
    precision: OptionalText = None,
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
    from ..judging.threshold import score_of
    from ..workbench.predict import predict

    model, files = load_saved(run, device, precision, backbone, pretrained), listed_images(photos)
    fitted, score, least = model.threshold, score_of(model), None
    if fitted:
        least = fitted.at(tpr)
    else:
        note(f"{run} has no OOD threshold, so nothing is called known; train it again to have one")
    for path in filter(None, (out, heatmap)):
        if os.path.realpath(path) in map(os.path.realpath, files):
            raise ValueError(f"{printable(path)} is one of the images; give another file to write")
    form, verdicts = Format.jsonl if as_json else form, list[Any]()
    drawn, unreadable = bool(heatmap or heatmaps), skipped(skip_corrupt)

    def rows() -> Iterator[dict]:
        answers = predict(model, files, top=top, plans=drawn, on_unreadable=unreadable)
        for number, answer in enumerate(answers, 1):
            if heatmap and number == 1:
                _draw(answer, heatmap)
            if heatmaps:
                _draw(answer, heatmaps / f"{number:05}-{answer.path.stem}.png")
            verdicts.append(None if least is None else answer.score >= least)
            yield {
                "photo": str(answer.path),
                "label": answer.labels[0],
                "probability": answer.probabilities[0],
                score_key(score): answer.score,
                "known": verdicts[-1],
                "probabilities": dict(zip(answer.labels, answer.probabilities)),
            }

    with _stream(out, form) as stream:
        write(form, rows(), stream, score, min(top, len(model.class_names)))
    if out and not as_json:
        say(f"wrote {out}, {count(len(verdicts), 'photo')}")
    if fitted and (form is Format.table or (out and not as_json)):
        say(
            f"{sum(verdicts)} of {len(verdicts)} known: {score} of at least {least:.5g}, which "
            f"{100 * tpr:.4g} % of the {fitted.images} held-out images ({fitted.source}) reach"
        )


def _draw(answer: Any, path: Path) -> None:
    """The heatmaps of an image."""
    from .. import figures

    save_figure(figures.partition(answer.image, answer.plan, title=answer.labels[0]), path)


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

    text: Any = {"encoding": "utf-8", "errors": "surrogateescape"}
    if out:
        with atomic_path(out) as temporary, open(temporary, "w", newline="", **text) as file:
            yield file
    else:
        if form is not Format.table:
            sys.stdout.reconfigure(**text)  # type: ignore
        yield sys.stdout
