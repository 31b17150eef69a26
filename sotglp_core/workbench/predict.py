"""What a model says of any number of image files, in the memory of one batch."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..clip.backbone import Backbone
from ..data import FolderImages
from ..data.features import pixel_batches
from ..judging.ood import scores
from ..judging.threshold import score_of
from ..messages import progress_bar
from ..method.model import SOTGLP
from ..transport.sinkhorn import widened

Skipped = Callable[[str], None] | None  # what is told of an image that can't be read


class Answer(NamedTuple):
    """What a model says of one image."""

    path: Path
    labels: tuple[str, ...]  # the most probable classes, the best one first
    probabilities: tuple[float, ...]  # of these
    score: float  # GL-MCM, or MCM without local prompts; higher: more in-distribution
    image: Any  # of Pillow, as the model sees it; None unless plans were asked for
    plan: Any  # (N, h, w) array, mass of every local prompt for the best class; or None


@torch.no_grad()
def predict(
    model: SOTGLP,
    paths: Sequence[Path],
    *,
    top: int = 1,
    plans: bool = False,
    batch_size: int = 32,
    on_unreadable: Skipped = None,
    progress: bool = True,
) -> Iterator[Answer]:
    """The ``top`` most probable classes of each image and its score; a stream, in their order.

    Images are decoded as for training, and patches rounded to float16 as the feature cache keeps
    them, so that an image gets the score that it has in evaluation.

    :param plans: give image and plan, too; they take memory as long as the answer is held.
    :param on_unreadable: called with a message for every image that can't be read; None: the first
        one ends the stream.
    :raises ValueError: naming the image that can't be read; on ``plans`` without local prompts.
    """
    text, backbone, names = model.eval().text_features(), model.backbone, model.class_names
    for files, pixels in _pixels(backbone, paths, batch_size, on_unreadable, progress):
        features = backbone.encode_image(pixels, dense=model.config.dense)
        seen = model(features._replace(patches=features.patches.half()), text)
        best = widened(seen.logits).softmax(-1).topk(min(top, len(names)))
        drawn: Any = seen.plan_on_grid(seen.logits.argmax(-1)).cpu().numpy() if plans else None
        score = scores(seen)[score_of(model)].tolist()
        for i, path in enumerate(files):
            labels = tuple(names[c] for c in best.indices[i].tolist())
            probabilities = tuple(best.values[i].tolist())
            image, plan = (backbone.to_image(pixels[i]), drawn[i]) if plans else (None, None)
            yield Answer(path, labels, probabilities, score[i], image, plan)


@torch.no_grad()
def embed(
    backbone: Backbone,
    paths: Sequence[Path],
    *,
    on_unreadable: Skipped = None,
) -> tuple[list[Path], Tensor]:
    """CLIP's image features of n files: those that could be read, and (n, D) float32 on the CPU.

    The features are not normalised; divide by their norm for cosines.

    :param on_unreadable: as in :func:`predict`.
    :raises ValueError: naming the image that can't be read; if none can.
    """
    read, features = [], []
    for files, pixels in _pixels(backbone, paths, 32, on_unreadable):
        read += files
        features.append(backbone.encode_image(pixels, dense="plain").image.float().cpu())
    if not read:
        raise ValueError("none of the images can be read")
    return read, torch.cat(features)


def _pixels(
    backbone: Backbone,
    paths: Sequence[Path],
    batch_size: int,
    on_unreadable: Skipped,
    progress: bool = True,
) -> Iterator[tuple[list[Path], Tensor]]:
    """The files that can be read and their pixels, with a bar that says what is done."""
    images = FolderImages(paths, [-1] * len(paths))
    chunks = torch.arange(len(paths)).split(batch_size)
    stream = pixel_batches(backbone, images, chunks, on_unreadable=on_unreadable)
    with progress_bar(total=len(paths), desc="encode", unit="image", show=progress, delay=2) as bar:
        for indices, pixels in stream:
            yield [paths[i] for i in indices], pixels
            bar.update(len(indices))
