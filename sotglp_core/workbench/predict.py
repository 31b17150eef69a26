"""Label photos, a batch at a time: what a model says of any number of files, in the memory of one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..data import FolderImages
from ..data.features import pixel_batches
from ..judging.ood import scores as ood_scores
from ..judging.threshold import score_of
from ..messages import progress_bar
from ..method.model import SOTGLP, Prediction


class Answer(NamedTuple):
    """What a model says of one photo."""

    photo: Path
    labels: tuple[str, ...]  # the most probable classes, the best one first
    probabilities: tuple[float, ...]  # of these
    score: float  # familiarity: GL-MCM, or MCM where there are no local prompts


class Batch(NamedTuple):
    """Photos as the backbone sees them, and all that the model knows of them."""

    photos: list[Path]
    pixels: Tensor  # (B, 3, H, W), normalised
    prediction: Prediction

    def answers(self, model: SOTGLP, *, top: int = 1) -> list[Answer]:
        seen = self.prediction
        best = seen.logits.double().softmax(-1).topk(min(top, len(model.class_names)))
        scores = ood_scores(seen)[score_of(model)]
        rows = zip(self.photos, best.indices.tolist(), best.values.tolist(), scores.tolist())
        return [
            Answer(photo, tuple(model.class_names[i] for i in labels), tuple(probabilities), score)
            for photo, labels, probabilities, score in rows
        ]


def predict(
    model: SOTGLP,
    photos: Sequence[Path],
    *,
    top: int = 1,
    batch_size: int = 32,
    skipped: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Iterator[Answer]:
    """The ``top`` most probable classes of each photo and its familiarity; a stream, in the photos' order.

    :param skipped: called with a message for every photo that can't be read; None: the first one ends the stream.
    :raises ValueError: naming the photo that can't be read.
    """
    for batch in batches(model, photos, batch_size=batch_size, skipped=skipped, progress=progress):
        yield from batch.answers(model, top=top)


def batches(
    model: SOTGLP,
    photos: Sequence[Path],
    *,
    batch_size: int = 32,
    skipped: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Iterator[Batch]:
    """As :func:`predict`, before anything is read off the model's predictions.

    Photos are decoded as for training, and patches rounded to float16 as the feature cache keeps them, so that a photo gets the
    scores that it has in evaluation.
    """
    model.eval()
    with torch.no_grad():
        text = model.text_features()
    images = FolderImages(photos, [-1] * len(photos))
    stream = pixel_batches(model.backbone, images, batch_size=batch_size, on_unreadable=skipped)
    with progress_bar(
        total=len(photos), desc="predict", unit="photo", show=progress, delay=2
    ) as bar:
        for indices, pixels in stream:
            with torch.no_grad():
                seen = model.backbone.encode_image(
                    pixels, shared_first_block=model.config.shared_first_block
                )
                prediction = model(seen._replace(patches=seen.patches.half()), text)
            yield Batch([photos[i] for i in indices], pixels, prediction)
            bar.update(len(indices))
