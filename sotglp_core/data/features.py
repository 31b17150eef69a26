"""Encode images once: a stream of pixels, features in memory, and a cache of them on disk."""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..clip.backbone import Backbone, ImageFeatures
from ..messages import progress_bar
from ..storage import WriteError, map_rows, save_rows
from .images import Images, held_images, random_view

ENTRY = re.compile(r"\.?(?P<backbone>[\w.-]+)-[0-9a-f]{32}\.npy(?P<unfinished>\..+\.tmp)?")
AHEAD = 2  # batches that are being made while the caller uses one
HOUR = 3600  # seconds; an unfinished file that is older waits for no next batch
View = tuple[int, int] | None  # the plain image, or the seed of a random view of it


@dataclass(frozen=True)
class Features:
    """What the frozen backbone says of n images; the views of an image lie side by side.

    :param image: (n * views, D) float32 global features, of each image the plain view first.
    :param patches: (n * views, P, V) float16 dense tokens; from the cache they are a read-only map
        of the file.
    :param labels: (n,) int64 class indices, -1 outside the classes.
    :param grid: rows and columns of the patches.
    :param dense: what the patches are, as in :meth:`Backbone.encode_image`; None: not known.
    """

    image: Tensor
    patches: Tensor
    labels: Tensor
    grid: tuple[int, int]
    dense: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def views(self) -> int:
        return len(self.image) // len(self) if len(self) else 1

    def draw(self, index: Tensor) -> ImageFeatures:
        """A random view of each of some images; a single view takes nothing from the generator."""
        view = torch.randint(self.views, index.shape) if self.views > 1 else 0
        return self.batch(index, view=view)

    def by_image(self) -> tuple[Tensor, Tensor]:
        """The image features as (n, views, D) and the patches as (n, views, P, V)."""
        shape = (len(self), self.views)
        return self.image.unflatten(0, shape), self.patches.unflatten(0, shape)

    def batch(
        self, index: Tensor | slice, device: torch.device | None = None, *, view: Tensor | int = 0
    ) -> ImageFeatures:
        """The features of some images.

        :param view: which view of each image; a tensor goes with an ``index`` that is one, too.
        """
        image, patches = (rows[index, view] for rows in self.by_image())
        return ImageFeatures(image.to(device), patches.to(device), self.grid)

    def subset(self, indices: Sequence[int]) -> Features:
        """The images of these indices, in their order, with all their views."""
        rows = list(indices)
        image, patches = (x[rows].flatten(0, 1) for x in self.by_image())
        return replace(self, image=image, patches=patches, labels=self.labels[rows])

    def to(self, device: torch.device) -> Features:
        return replace(
            self,
            image=self.image.to(device),
            patches=self.patches.to(device),
            labels=self.labels.to(device),
        )


def pixel_batches(
    backbone: Backbone,
    images: Images,
    batches: Iterable[Tensor],
    *,
    views: Sequence[View] = (None,),
    on_unreadable: Callable[[str], None] | None = None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Decode, crop and preprocess; threads make the next batches while the caller uses this one.

    :param batches: (b,) indices of the images of each batch.
    :param views: of each image: None for the plain one, or the seed of a
        :func:`~sotglp_core.data.images.random_view`.
    :param on_unreadable: called with a message for each image that can't be read; those are left
        out. None: the first one ends the stream.
    :return: the indices of b images that could be read, and their (b * views, 3, H, W) pixels on
        the backbone's device, those of an image side by side.
    :raises ValueError: naming the image that can't be read.
    """
    height, width = backbone.model.visual.image_size
    side = max(height, width)
    pinned = backbone.device.type == "cuda"
    detail = side if tuple(views) == (None,) else 4 * side  # a crop may show little of the image

    def prepare(index: int, pixels: Tensor) -> str:
        """Fills (views, 3, H, W) pixels; says why where that is not possible."""
        try:
            image = images.draft(index, detail)
        except ValueError as error:
            return str(error)
        for seen, view in zip(pixels, views):
            crop = image if view is None else random_view(image, side, view)
            seen.copy_(backbone.preprocess(crop))
        return ""

    def begin(indices: list[int]) -> tuple:
        pixels = torch.empty(len(indices), len(views), 3, height, width, pin_memory=pinned)
        return indices, pixels, threads.map(prepare, indices, pixels)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for indices, pixels, said in _ahead(begin(batch.tolist()) for batch in batches):
            errors = list(said)
            for error in filter(None, errors):
                if on_unreadable is None:
                    raise ValueError(error)
                on_unreadable(error)
            if any(errors):
                good = [row for row, error in enumerate(errors) if not error]
                indices, pixels = [indices[row] for row in good], pixels[good]
            if indices:
                yield indices, pixels.to(backbone.device, non_blocking=True).flatten(0, 1)


def _ahead(batches: Iterable) -> Iterator:
    """The batches, of which the next ``AHEAD`` are begun before one is given out."""
    begun: deque = deque()
    for batch in batches:
        begun.append(batch)
        if len(begun) > AHEAD:
            yield begun.popleft()
    yield from begun


def images_of(given: Any) -> Any:
    """Images and features as they are; other things by
    :func:`~sotglp_core.data.images.held_images`.
    """
    return given if isinstance(given, Images | Features) else held_images(given)


def encode(
    backbone: Backbone,
    images: Images | Features,
    *,
    dense: str = "vv",
    crops: int = 0,
    seed: int = 0,
    batch_size: int = 64,
    cache: bool = True,
    progress: bool = True,
    description: str = "encode",
) -> Features:
    """Global features and dense patch tokens of all images, on the CPU.

    :param images: as in :func:`images_of`; :class:`Features` are returned as they are.
    :param dense: as in :meth:`Backbone.encode_image`.
    :param crops: random views of each image beside the plain one, drawn by ``seed``.
    :param cache: look the features up in :func:`cache_folder` and keep
        them there. They are written batch by batch and read as a map of the file, so that a set
        may be larger than memory.
    :raises ValueError: naming an image that can't be read, or on features with other patches than
        ``dense``.
    """
    images = images_of(images)
    if isinstance(images, Features):
        if images.dense not in (None, dense):
            raise ValueError(
                f"the features have {images.dense!r} patches, and {dense!r} ones are needed; "
                f"encode the images with dense={dense!r}"
            )
        return images
    views = (None, *((seed, number) for number in range(1, crops + 1)))
    shape = (math.prod(backbone.grid), backbone.patch_width)
    row = np.dtype([("image", "<f4", (backbone.joint_width,)), ("patches", "<f2", shape)])
    chunks = torch.arange(len(images)).split(max(1, batch_size // len(views)))

    def batches() -> Iterator[np.ndarray]:
        stream = pixel_batches(backbone, images, chunks, views=views)
        with progress_bar(
            total=len(images), desc=description, unit="image", show=progress, delay=1
        ) as bar:
            for indices, pixels in stream:
                yield _encoded(backbone, pixels, dense, row)
                bar.update(len(indices))

    rows = None
    if cache and len(images):
        path = _place(backbone, images, dense, views)
        rows = _cached(path, row, len(images) * len(views), batches)
    if rows is None:
        rows = np.concatenate([np.empty(0, row), *batches()])
    with warnings.catch_warnings(action="ignore"):  # torch's, on arrays that can't be written to
        patches = torch.from_numpy(rows["patches"])
    image, labels = torch.tensor(rows["image"]), torch.tensor(images.labels)
    return Features(image, patches, labels, backbone.grid, dense)


@torch.no_grad()
def _encoded(backbone: Backbone, pixels: Tensor, dense: str, row: np.dtype) -> np.ndarray:
    seen = backbone.encode_image(pixels, dense=dense)
    rows = np.empty(len(pixels), row)
    rows["image"] = seen.image.float().cpu().numpy()
    rows["patches"] = seen.patches.half().cpu().numpy()
    return rows


class Entry(NamedTuple):
    """One file of the feature cache."""

    path: Path
    backbone: str
    images: int | None  # with their views; None: unfinished or damaged
    bytes: int
    modified: float  # seconds since 1970


def cache_folder() -> Path:
    """Where features are kept: $SOTGLP_CACHE, or sotglp in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SOTGLP_CACHE") or Path(base, "sotglp"))


def _place(backbone: Backbone, images: Images, dense: str, views: Sequence[View]) -> Path:
    """The file of an entry, named by all that its features depend on."""
    depends_on = (
        "v4",
        torch.__version__,
        backbone.fingerprint,
        str(backbone.dtype),
        backbone.model.visual.preprocess_cfg,
        dense,
        images.fingerprint(),
        views,
    )
    digest = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:32]
    return cache_folder() / re.sub(r"[^\w.-]", "_", f"{backbone.name}-{digest}.npy")


def _cached(
    path: Path, row: np.dtype, number: int, batches: Callable[[], Iterator]
) -> np.ndarray | None:
    """The rows of an entry, mapped into memory; where it is absent or damaged, it is made.

    :param batches: makes them.
    :return: (number,) rows; None if they can't be kept.
    """
    with suppress(ValueError):
        return map_rows(path, row, number)
    clear_cache(older_than=math.inf)
    try:
        save_rows(path, row, number, batches())
        return map_rows(path, row, number)
    except WriteError as error:  # features that can't be kept are still features
        advice = "set SOTGLP_CACHE to a folder with room"
        warnings.warn(f"the features are not kept on disk: {error}; {advice}", stacklevel=3)
        return None


def cache_entries() -> list[Entry]:
    """What the cache holds, newest first; files that are not its own are left out."""
    entries = []
    for path in cache_folder().glob("*"):
        match = ENTRY.fullmatch(path.name)
        if not match:
            continue
        name, images = "unfinished" if match["unfinished"] else match["backbone"], None
        with suppress(Exception):  # a damaged header fails in many ways
            images = len(np.load(path, mmap_mode="r"))
        with suppress(OSError):  # another process has just removed it
            status = path.stat()
            entries.append(Entry(path, name, images, status.st_size, status.st_mtime))
    return sorted(entries, key=lambda entry: -entry.modified)


def clear_cache(*, older_than: float = 0) -> tuple[int, int]:
    """Remove entries older than so many days, and what killed runs left unfinished.

    :return: how many files, and how many bytes they held.
    """
    freed = []
    for entry in cache_entries():
        oldest = HOUR if entry.backbone == "unfinished" else older_than * 24 * HOUR
        if time.time() - entry.modified >= oldest:
            with suppress(OSError):  # another process was faster, or it is another user's
                entry.path.unlink()
                freed.append(entry.bytes)
    return len(freed), sum(freed)
