"""A set of labelled images, and one robust way to read a file as RGB."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.transforms import RandomResizedCrop

from ..messages import printable

SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".png",
        ".bmp",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".jfif",
        ".avif",
        ".heic",
        ".heif",
    }
)
MAX_PIXELS, MAX_RATIO = 150_000_000, 100


class Images(ABC):
    """Labelled images read on demand; what training, evaluation and the feature cache ask of a dataset."""

    labels: np.ndarray  # (n,) int64 class indices; -1 outside the classes
    names: Sequence[str]  # (n,) something to call each image by

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, i: int) -> Image.Image:
        """Image i in RGB."""

    def draft(self, i: int, side: int) -> Image.Image:
        """Image i, perhaps smaller where that saves time, but with no side cut below 2 ``side``."""
        return self[i]

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of everything the pixels depend on, labels apart."""

    @abstractmethod
    def subset(self, indices: Sequence[int]) -> Images:
        """The images of these indices, in their order."""


class FolderImages(Images):
    """Image files with labels."""

    def __init__(self, paths: Sequence[Path], labels: Sequence[int]):
        self.paths, self.labels = list(paths), np.asarray(labels, dtype=np.int64)
        self.names = [str(p) for p in self.paths]

    def __getitem__(self, i: int) -> Image.Image:
        return read_image(self.paths[i])

    def draft(self, i: int, side: int) -> Image.Image:
        return read_image(self.paths[i], side=side)

    def fingerprint(self) -> str:
        """Every file is read, each time: 2,465 photos of 15 kB take a tenth of a second once the system holds them in memory.

        :raises ValueError: naming a file that can't be read.
        """
        digest = hashlib.sha256()
        for path in self.paths:
            try:
                _check_regular(path)
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except (OSError, ValueError) as error:
                raise _unreadable(path, error) from None
        return digest.hexdigest()

    def subset(self, indices: Sequence[int]) -> FolderImages:
        return FolderImages([self.paths[i] for i in indices], self.labels[list(indices)].tolist())


def read_image(path: str | Path, *, side: int | None = None) -> Image.Image:
    """Decode a file to an upright RGB image, whatever its mode: greyscale, palette, CMYK, 16 bit, alpha (on white), animated (first frame).

    :param side: let the decoder of a large JPEG halve it once to thrice, as long as no side falls below 2 ``side``.
    :raises ValueError: naming the file, if it can't be read as an image, is larger than 150 megapixels, or is a hundred times as long as
        wide (resizing by the shorter side would make it huge).
    """
    try:
        _check_regular(path)
        with warnings.catch_warnings(action="ignore"), Image.open(path) as file:
            image: Image.Image = file
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}"
                )
            if max(image.size) > MAX_RATIO * min(image.size):
                raise ValueError(f"{image.width} x {image.height} pixels are too narrow a strip")
            if side:
                file.draft(None, (2 * side, 2 * side))
            image.load()
            with suppress(Exception):  # damaged EXIF data must not cost a good picture
                image = ImageOps.exif_transpose(image)
            if image.mode.startswith(("I", "F")):
                image = _eight_bits(np.asarray(image, np.float32))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert("RGB")
    except Exception as error:  # what decoders raise on damaged files has no common type
        raise _unreadable(path, error) from None


def random_view(image: Image.Image, side: int, seed: tuple[int, int]) -> Image.Image:
    """A random resized crop (8 to 100 % of the area), mirrored half of the time: the augmentation of CLIP's and CoOp's training.

    :param seed: of the run, and the number of the view; with the pixels, they decide the crop.
    :return: ``side`` x ``side``.
    """
    digest = hashlib.sha256(f"{seed} {image.size}".encode() + image.tobytes()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(digest[:7]))
        top, left, height, width = RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])
        mirrored = bool(torch.rand(()) < 0.5)
    view = image.resize(
        (side, side), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height)
    )
    return ImageOps.mirror(view) if mirrored else view


def _check_regular(path: str | Path) -> None:
    """Refuse what would block or never end: a pipe, a device."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(
            "it is a folder" if stat.S_ISDIR(mode) else "it is a pipe, a device or a socket"
        )


def _unreadable(path: str | Path, error: Exception) -> ValueError:
    known = (
        "it is no image that Pillow can read"
        if isinstance(error, UnidentifiedImageError)
        else str(error)
    )
    reason = getattr(error, "strerror", None) or known
    return ValueError(
        f"can't read the image {printable(path)}: {' '.join(reason.split()) or type(error).__name__}"
    )


def _eight_bits(pixels: np.ndarray) -> Image.Image:
    """Grey levels of 8, 16 or 32 bits to 8, by the smallest of the usual ranges that holds them: 1, 255, 65535, or their own."""
    pixels = np.nan_to_num(pixels, nan=0, posinf=0, neginf=0).clip(0)
    top = next((t for t in (1.0, 255.0, 65535.0) if pixels.max() <= t), float(pixels.max()))
    return Image.fromarray((pixels / top * 255).round().astype(np.uint8))
