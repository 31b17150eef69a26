"""``sotglp predict``."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..messages import note
from .common import count, listed_images, load_saved, save_figure, say, say_skipped
from .writers import Format, score_key, write


def predict(
    run: Path,
    photos: list[Path],
    top: int = 1,
    tpr: float = 0.95,
    form: Format = "table",
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
            raise ValueError(f"{path} is one of the images; give another file to write")
    verdicts: list = []
    plans, skip = bool(heatmap or heatmaps), say_skipped if skip_corrupt else None

    def rows() -> Iterator[dict]:
        answers = predict(model, files, top=top, plans=plans, on_unreadable=skip)
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

    if as_json:
        form = "jsonl"
    write(form, rows(), out, score, min(top, len(model.class_names)))
    if out:
        say(f"wrote {out}, {count(len(verdicts), 'photo')}")
    if fitted and (out or form == "table"):
        say(
            f"{sum(verdicts)} of {len(verdicts)} known: {score} of at least {least:.5g}, which "
            f"{100 * tpr:.4g} % of the {fitted.images} held-out images ({fitted.source}) reach"
        )


def _draw(answer: Any, path: Path) -> None:
    """The heatmaps of an image."""
    from .. import figures

    save_figure(figures.partition(answer.image, answer.plan, title=answer.labels[0]), path)
