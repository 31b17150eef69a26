"""What an epoch learns from: features that were encoded once, or a stream of fresh crops."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..clip.backbone import ImageFeatures
from ..data import Images
from ..data.features import Features, encode, pixel_batches
from ..distributed import Processes
from ..judging.evaluation import labels_of
from ..method.model import SOTGLP


class Source:
    """The training images of a model, batch by batch.

    With ``crops = k`` all views of all images are encoded beforehand, and a batch draws one of
    each; with "fresh" the images of a batch are cropped, mirrored and encoded for it alone.

    :raises ValueError: if a label is outside the classes, a feature is not finite, or fresh crops
        are to be made of features.
    """

    def __init__(
        self, model: SOTGLP, train: Images | Features, processes: Processes, progress: bool
    ):
        self.backbone, self.config, self.processes = model.backbone, model.config, processes
        self.labels = labels_of(model, train).to(self.backbone.device)
        crops = self.config.crops
        if crops == "fresh" and isinstance(train, Features):
            raise ValueError("crops is 'fresh', which needs images, not features; give the images")
        self.train = train if crops == "fresh" else self._encode(train, crops, progress)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, ImageFeatures]]:
        """(b,) labels and features of each batch, in an order that torch's generator draws.

        An incomplete last batch is left out, unless it is the only one.
        """
        n, size, train = len(self.labels), self.config.batch_size, self.train
        order = torch.randperm(n)[: n - n % size or n].split(size)
        if isinstance(train, Features):
            seen: Iterator[ImageFeatures] = map(train.draw, order)
        else:
            seen = self._fresh(train, order, number)
        for index, batch in zip(order, seen):
            yield self.labels[index], batch

    def _fresh(
        self, images: Images, order: Sequence[Tensor], epoch: int
    ) -> Iterator[ImageFeatures]:
        """Each process crops and encodes its shard of a batch."""
        shards = [index[self.processes.shard(len(index))] for index in order]
        views = [(self.config.seed, epoch)]
        stream = pixel_batches(self.backbone, images, shards, views=views)
        for index, (_, pixels) in zip(order, stream):
            with torch.no_grad():
                seen = self.backbone.encode_image(pixels, dense=self.config.dense)
            image, patches = (self.processes.gather(x, len(index)) for x in seen[:2])
            yield ImageFeatures(image, patches, seen.grid)

    def _encode(self, train: Images | Features, crops: int, progress: bool) -> Features:
        """The features of all images, each encoded by one process, on the model's device."""
        shard = encode(
            self.backbone,
            self.processes.subset(train),
            dense=self.config.dense,
            crops=crops,
            seed=self.config.seed,
            progress=progress,
        ).to(self.backbone.device)
        image, patches = (
            self.processes.gather(x, len(train)).flatten(0, 1) for x in shard.by_image()
        )
        if not image.isfinite().all():
            raise ValueError(
                "some image features are not finite; "
                "try the backbone in fp32, and clear the feature cache"
            )
        return Features(image, patches, self.labels, shard.grid, shard.dense)
