"""Encode images once: features in memory, kept on disk under a digest of everything that they depend on."""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..clip.backbone import Backbone, ImageFeatures
from ..messages import progress_bar
from ..storage import WriteError, map_rows, save_rows
from . import Images
from .images import random_view

ENTRY = re.compile(
    r"(?P<unfinished>\.)?(?:(?P<backbone>[\w.-]+)-)?[0-9a-f]{32}\.(?:npy|safetensors)(?(unfinished)\..*\.tmp)"
)
DAY = 86_400


@dataclass(frozen=True)
class Features:
    """What the frozen backbone says of a set of images."""

    image: Tensor  # (n * views, D) float32, the views of an image side by side, the plain one first
    patches: Tensor  # (n * views, P, V) float16; out of the cache: a read-only map of the file, not to be written to
    labels: Tensor  # (n,) int64, -1 outside the classes
    grid: tuple[int, int]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def views(self) -> int:
        return max(1, len(self.image) // max(1, len(self)))

    def draw_views(self, number: int) -> Tensor:
        """(number,) views drawn by torch's generator, which is left alone where there is only one."""
        return (
            torch.randint(self.views, (number,))
            if self.views > 1
            else torch.zeros(number, dtype=torch.int64)
        )

    def by_image(self) -> tuple[Tensor, Tensor]:
        """The image features as (n, views, D) and the patches as (n, views, P, V)."""
        return self.image.unflatten(0, (len(self), self.views)), self.patches.unflatten(
            0, (len(self), self.views)
        )

    def batch(
        self, index: Tensor | slice, device: torch.device | None = None, *, view: Tensor | int = 0
    ) -> ImageFeatures:
        """The features of some images.

        :param view: which view of each; a tensor goes with an ``index`` that is one, too. 0: the plain ones.
        """
        image, patches = (rows[index, view] for rows in self.by_image())
        return ImageFeatures(image.to(device), patches.to(device), self.grid)

    def subset(self, indices: Sequence[int]) -> Features:
        """The images of these indices, in their order, with all their views."""
        rows = torch.as_tensor(list(indices), dtype=torch.int64)
        image, patches = (x[rows].flatten(0, 1) for x in self.by_image())
        return Features(image, patches, self.labels[rows], self.grid)

    def to(self, device: torch.device) -> Features:
        return Features(
            self.image.to(device), self.patches.to(device), self.labels.to(device), self.grid
        )


def encode(
    backbone: Backbone,
    images: Images | Features,
    *,
    shared_first_block: bool = False,
    views: int = 1,
    seed: int = 0,
    batch_size: int = 64,
    workers: int | None = None,
    cache: bool = True,
    progress: bool = True,
    description: str = "encode",
) -> Features:
    """Global features and dense patch tokens of all images, on the CPU.

    :param images: anything that is already :class:`Features` is returned as it is.
    :param shared_first_block: as in :meth:`Backbone.encode_image`.
    :param views: of each image: the plain one, then :func:`~sotglp_core.data.images.random_view`; they depend on ``seed`` and the
        pixels alone.
    :param workers: processes that decode; None: half the processors when there is much to decode.
    :param cache: look the features up in :func:`cache_folder` and keep them there. They are written as they come and read as a map
        of the file, so that a set may be larger than memory.
    :raises ValueError: naming an image that can't be read, or on fewer than one view.
    """
    if isinstance(images, Features):
        return images
    if views < 1:
        raise ValueError(f"views is {views}; give at least 1")
    if workers is None:
        workers = max(1, (os.cpu_count() or 2) // 2) if len(images) * views >= 512 else 0
    row = np.dtype(
        [
            ("image", "<f4", (backbone.joint_width,)),
            ("patches", "<f2", (math.prod(backbone.grid), backbone.patch_width)),
        ]
    )

    def batches() -> Iterator[np.ndarray]:
        loader = DataLoader(
            Preprocessed(images, backbone, views, seed),
            max(1, batch_size // views),
            num_workers=workers,
            collate_fn=_stacked,
            generator=torch.Generator(),
        )
        with progress_bar(
            total=len(images), desc=description, unit="image", show=progress and len(images) >= 64
        ) as bar:
            for pixels in loader:
                if isinstance(pixels, str):
                    raise ValueError(pixels)
                with torch.no_grad():
                    seen = backbone.encode_image(pixels, shared_first_block=shared_first_block)
                batch = np.empty(len(pixels), row)
                batch["image"], batch["patches"] = (
                    seen.image.float().cpu().numpy(),
                    seen.patches.half().cpu().numpy(),
                )
                yield batch
                bar.update(len(pixels) // views)

    rows = None
    if cache and len(images):
        augmentation = (views, seed) if views > 1 else ()
        parts = (
            "v2",
            backbone.fingerprint,
            str(backbone.dtype),
            backbone.model.visual.preprocess_cfg,
            shared_first_block,
        )
        key = hashlib.sha256(
            repr((*parts, images.fingerprint(), *augmentation)).encode()
        ).hexdigest()[:32]
        path = cache_folder() / (re.sub(r"[^\w.-]", "_", backbone.name) + f"-{key}.npy")
        try:
            rows = _cached(path, row, len(images) * views)
            if rows is None:
                clear_cache(older_than=1, unfinished=True)
                save_rows(path, row, len(images) * views, batches())
                rows = _cached(path, row, len(images) * views)
        except WriteError as error:  # features that can't be kept are still features
            warnings.warn(
                f"the features are not kept on disk: {error}; set SOTGLP_CACHE to a folder with room",
                stacklevel=2,
            )
    if rows is None:
        rows = np.concatenate([np.empty(0, row), *batches()])
    with warnings.catch_warnings(action="ignore"):  # torch's, on arrays that can't be written to
        patches = torch.from_numpy(np.asarray(rows["patches"]))
    return Features(
        torch.from_numpy(np.array(rows["image"])),
        patches,
        torch.from_numpy(np.array(images.labels)),
        backbone.grid,
    )


class Entry(NamedTuple):
    """One file of the feature cache."""

    path: Path
    backbone: str
    images: int | None  # with their views; None: unfinished, of an older version, or damaged
    bytes: int
    modified: float  # seconds since 1970


def cache_folder() -> Path:
    """Where features are kept: $SOTGLP_CACHE, or sotglp in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SOTGLP_CACHE") or Path(base) / "sotglp")


def cache_entries() -> list[Entry]:
    """What the cache holds, newest first; files that are not its own are left out."""
    entries = []
    for path in cache_folder().glob("*"):
        with suppress(OSError):
            if match := ENTRY.fullmatch(path.name):
                images, found = None, path.stat()
                with suppress(Exception):  # a damaged header fails in many ways
                    images = (
                        None
                        if match["unfinished"]
                        else len(np.lib.format.open_memmap(path, mode="r"))
                    )
                name = "unfinished" if match["unfinished"] else match["backbone"] or "older version"
                entries.append(Entry(path, name, images, found.st_size, found.st_mtime))
    return sorted(entries, key=lambda entry: -entry.modified)


def clear_cache(*, older_than: float = 0, unfinished: bool = False) -> tuple[int, int]:
    """Remove entries older than so many days, and unfinished ones that no writer has touched for ten minutes.

    :param unfinished: leave all other entries.
    :return: how many files, and how many bytes they held.
    """
    freed = []
    for entry in cache_entries():
        partial = entry.backbone == "unfinished"
        if time.time() - entry.modified >= max(older_than * DAY, 600 * partial) and (
            partial or not unfinished
        ):
            with suppress(OSError):  # another process was faster, or it is another user's
                entry.path.unlink()
                freed.append(entry.bytes)
    return len(freed), sum(freed)


def _cached(path: Path, row: np.dtype, number: int) -> np.ndarray | None:
    """The rows of an entry; None if it is absent, damaged or of other shape."""
    with suppress(ValueError):
        rows = map_rows(path)
        return rows if rows.dtype == row and rows.shape == (number,) else None
    return None


class Preprocessed(torch.utils.data.Dataset):
    """(views, 3, side, side) pixels of each image, or why there are none."""

    def __init__(self, images: Images, backbone: Backbone, views: int, seed: int):
        size = backbone.model.visual.preprocess_cfg["size"]
        self.images, self.preprocess, self.views, self.seed = (
            images,
            backbone.preprocess,
            views,
            seed,
        )
        self.side = size if isinstance(size, int) else max(size)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor | str:
        try:
            image = self.images.draft(i, self.side if self.views == 1 else 4 * self.side)
            crops = (
                random_view(image, self.side, (self.seed, view)) for view in range(1, self.views)
            )
            return torch.stack([self.preprocess(view) for view in (image, *crops)])
        except ValueError as error:  # a worker's exception would come out as a traceback
            return str(error)


def _stacked(rows: list[Tensor | str]) -> Tensor | str:
    """The batch, or the first message about an image that can't be read."""
    return next((row for row in rows if isinstance(row, str)), None) or torch.cat(
        [row for row in rows if isinstance(row, Tensor)]
    )
