"""What an epoch learns from: features that were encoded once, or a stream of fresh crops."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..clip.backbone import ImageFeatures
from ..data import Images
from ..data.features import Features, encode, pixel_batches
from ..distributed import Processes
from ..judging.evaluation import labels_of
from ..method.model import SOTGLP

Batches = Iterator[tuple[Tensor, ImageFeatures]]


def training_batches(
    model: SOTGLP, train: Images | Features, processes: Processes, progress: bool
) -> Callable[[int], Batches]:
    """The batches of an epoch by its number: (b,) labels and features of each.

    With ``crops = k`` all views of all images are encoded beforehand, and a batch draws one of
    each; with "fresh" the images of a batch are cropped, mirrored and encoded for it alone. Images
    come in an order that torch's generator draws. An incomplete last batch is left out, unless it
    is the only one.

    :raises ValueError: if a label is outside the classes, a feature is not finite, or fresh crops
        are to be made of features.
    """
    backbone, config = model.backbone, model.config
    labels, n, size = labels_of(model, train).to(backbone.device), len(train), config.batch_size
    if config.crops != "fresh":  # each process encodes its shard
        shard = encode(
            backbone,
            processes.subset(train),
            dense=config.dense,
            crops=int(config.crops),
            seed=config.seed,
            progress=progress,
        ).to(backbone.device)
        image, patches = (processes.gather(x, n).flatten(0, 1) for x in shard.by_image())
        if not image.isfinite().all():
            raise ValueError(
                "some image features are not finite; "
                "try the backbone in fp32, and clear the feature cache"
            )
        train = Features(image, patches, labels, shard.grid, shard.dense)
    elif isinstance(train, Features):
        raise ValueError("crops is 'fresh', which needs images, not features; give the images")

    def fresh(images: Images, order: Sequence[Tensor], epoch: int) -> Iterator[ImageFeatures]:
        """Each process crops and encodes its shard of a batch."""
        shards = [index[processes.shard(len(index))] for index in order]
        stream = pixel_batches(backbone, images, shards, views=[(config.seed, epoch)])
        for index, (_, pixels) in zip(order, stream):
            with torch.no_grad():
                seen = backbone.encode_image(pixels, dense=config.dense)
            image, patches = (processes.gather(x, len(index)) for x in seen[:2])
            yield ImageFeatures(image, patches, seen.grid)

    def batches(epoch: int) -> Batches:
        order = torch.randperm(n)[: n - n % size or n].split(size)
        if isinstance(train, Features):
            seen: Iterator[ImageFeatures] = map(train.draw, order)
        else:
            seen = fresh(train, order, epoch)
        for index, batch in zip(order, seen):
            yield labels[index], batch

    return batches
