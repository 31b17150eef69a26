"""Encode images once: features in memory, kept on disk under a digest of everything that they depend on."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .backbone import Backbone, ImageFeatures
from .datasets import Images
from .progress import progress_bar
from .storage import load_tensors, save_tensors


@dataclass(frozen=True)
class Features:
    """What the frozen backbone says of a set of images."""

    image: Tensor  # (n, D) float32
    patches: Tensor  # (n, P, V) float16
    labels: Tensor  # (n,) int64, -1 outside the classes
    grid: tuple[int, int]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor | slice, device: torch.device | None = None) -> ImageFeatures:
        return ImageFeatures(self.image[index].to(device), self.patches[index].to(device), self.grid)

    def to(self, device: torch.device) -> Features:
        return Features(self.image.to(device), self.patches.to(device), self.labels.to(device), self.grid)


def cache_folder() -> Path:
    """Where features are kept: $SOTGLP_CACHE, or sotglp in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SOTGLP_CACHE") or Path(base) / "sotglp")


def encode(backbone: Backbone, images: Images | Features, *, shared_first_block: bool = False, batch_size: int = 64,
           workers: int | None = None, cache: bool = True, progress: bool = True, description: str = "encode") -> Features:
    """Global features and dense patch tokens of all images, on the CPU.

    :param images: anything that is already :class:`Features` is returned as it is.
    :param shared_first_block: as in :meth:`Backbone.encode_image`.
    :param workers: processes that decode; None: half the processors when there is much to decode.
    :param cache: look the features up in :func:`cache_folder` and keep them there.
    :raises ValueError: naming an image that can't be read.
    """
    if isinstance(images, Features):
        return images
    if not len(images):
        return Features(torch.zeros(0, backbone.joint_width), torch.zeros(0, 1, backbone.patch_width).half(),
                        torch.zeros(0, dtype=torch.int64), backbone.grid)
    labels = torch.from_numpy(np.array(images.labels))
    key = hashlib.sha256(repr(("v1", backbone.fingerprint, str(backbone.dtype), backbone.model.visual.preprocess_cfg, shared_first_block,
                               images.fingerprint())).encode()).hexdigest()[:32]
    path = cache_folder() / f"{key}.safetensors"
    if cache and path.exists():
        try:
            tensors, _ = load_tensors(path)
            return Features(tensors["image"], tensors["patches"], labels, backbone.grid)
        except (ValueError, KeyError):
            path.unlink(missing_ok=True)
    if workers is None:
        workers = max(1, (os.cpu_count() or 2) // 2) if len(images) >= 512 else 0
    loader = DataLoader(_Preprocessed(images, backbone.preprocess), batch_size, num_workers=workers, collate_fn=_stacked)
    rows = []
    bar = progress_bar(total=len(images), desc=description, unit="image", show=progress and len(images) >= 64)
    with torch.no_grad(), bar:
        for pixels in loader:
            if isinstance(pixels, str):
                raise ValueError(pixels)
            seen = backbone.encode_image(pixels, shared_first_block=shared_first_block)
            rows.append((seen.image.float().cpu(), seen.patches.half().cpu()))
            bar.update(len(pixels))
    image, patches = (torch.cat(column) for column in zip(*rows))
    if cache:
        try:
            save_tensors(path, {"image": image, "patches": patches}, {"backbone": backbone.name, "images": len(images)})
        except Exception as error:  # features that can't be kept are still features
            warnings.warn(f"the features are not kept on disk: {error}; set SOTGLP_CACHE to a folder with room", stacklevel=2)
    return Features(image, patches, labels, backbone.grid)


class _Preprocessed(torch.utils.data.Dataset):
    def __init__(self, images: Images, preprocess):
        self.images, self.preprocess = images, preprocess

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor | str:
        try:
            return self.preprocess(self.images[i])
        except ValueError as error:  # a worker's exception would come out as a traceback
            return str(error)


def _stacked(rows: list[Tensor | str]) -> Tensor | str:
    """The batch, or the first message about an image that can't be read."""
    return next((row for row in rows if isinstance(row, str)), None) or torch.stack(rows)
