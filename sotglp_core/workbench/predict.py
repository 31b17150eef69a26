"""What a model says of any number of image files, in the memory of one batch."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import figures
from ..clip.backbone import Backbone
from ..data import FolderImages
from ..data.features import pixel_batches
from ..judging.ood import scores
from ..judging.threshold import score_of
from ..messages import progress_bar
from ..method.model import SOTGLP, Prediction
from ..transport.sinkhorn import widened


class Answer(NamedTuple):
    """What a model says of one image."""

    path: Path
    labels: tuple[str, ...]  # the most probable classes, the best one first
    probabilities: tuple[float, ...]  # of these
    score: float  # GL-MCM, or MCM without local prompts; higher: more in-distribution


class Batch(NamedTuple):
    """Images as the backbone sees them, and all that the model says of them."""

    paths: list[Path]
    pixels: Tensor  # (B, 3, H, W), normalised
    prediction: Prediction

    def answers(self, model: SOTGLP, *, top: int = 1) -> list[Answer]:
        """The ``top`` most probable classes of each image, and its score."""
        seen, names = self.prediction, model.class_names
        best = widened(seen.logits).softmax(-1).topk(min(top, len(names)))
        values = scores(seen)[score_of(model)]
        rows = zip(self.paths, best.indices.tolist(), best.values.tolist(), values.tolist())
        return [
            Answer(path, tuple(names[c] for c in classes), tuple(probabilities), score)
            for path, classes, probabilities, score in rows
        ]

    def partition(self, model: SOTGLP, i: int) -> Any:
        """A figure of image i and its patches' mass for each local prompt of the best class."""
        best = self.prediction.logits.argmax(-1)
        plan = self.prediction.plan_on_grid(best)[i].cpu().numpy()
        image = np.asarray(model.backbone.to_image(self.pixels[i]))
        title = model.class_names[int(best[i])].replace("$", r"\$")  # not a formula
        return figures.partition(image, plan, title=title)


def predict(
    model: SOTGLP, paths: Sequence[Path], *, top: int = 1, **options: Any
) -> Iterator[Answer]:
    """The ``top`` most probable classes of each image and its score; a stream, in their order.

    :param options: of :func:`batches`.
    :raises ValueError: naming the image that can't be read.
    """
    for batch in batches(model, paths, **options):
        yield from batch.answers(model, top=top)


@torch.no_grad()
def embed(
    backbone: Backbone,
    paths: Sequence[Path],
    *,
    batch_size: int = 32,
    on_unreadable: Callable[[str], None] | None = None,
) -> tuple[list[Path], Tensor]:
    """CLIP's image features of n files: those that could be read, and (n, D) float32 on the CPU.

    The features are not normalised; divide by their norm for cosines.

    :param on_unreadable: as in :func:`batches`.
    :raises ValueError: naming the image that can't be read; if none can.
    """
    read, features = [], []
    for files, pixels in _pixels(backbone, paths, batch_size, on_unreadable, "embed"):
        read += files
        features.append(backbone.encode_image(pixels, dense="plain").image.float().cpu())
    if not read:
        raise ValueError("none of the images can be read")
    return read, torch.cat(features)


@torch.no_grad()
def batches(
    model: SOTGLP,
    paths: Sequence[Path],
    *,
    batch_size: int = 32,
    on_unreadable: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Iterator[Batch]:
    """Images and predictions, a batch at a time.

    Images are decoded as for training, and patches rounded to float16 as the feature cache keeps
    them, so that an image gets the score that it has in evaluation.

    :param on_unreadable: called with a message for every image that can't be read; None: the first
        one ends the stream.
    :raises ValueError: naming the image that can't be read.
    """
    model.eval()
    text, backbone = model.text_features(), model.backbone
    what = "predict" if progress else ""
    for files, pixels in _pixels(backbone, paths, batch_size, on_unreadable, what):
        seen = backbone.encode_image(pixels, dense=model.config.dense)
        prediction = model(seen._replace(patches=seen.patches.half()), text)
        yield Batch(files, pixels, prediction)


def _pixels(
    backbone: Backbone,
    paths: Sequence[Path],
    batch_size: int,
    on_unreadable: Callable[[str], None] | None,
    what: str,
) -> Iterator[tuple[list[Path], Tensor]]:
    """The files that can be read and their pixels, with a bar that says what is done; "": none."""
    images = FolderImages(paths, [-1] * len(paths))
    chunks = torch.arange(len(paths)).split(batch_size)
    stream = pixel_batches(backbone, images, chunks, on_unreadable=on_unreadable)
    bar = progress_bar(total=len(paths), desc=what, unit="image", show=bool(what), delay=2)
    with bar:
        for indices, pixels in stream:
            yield [paths[i] for i in indices], pixels
            bar.update(len(indices))
