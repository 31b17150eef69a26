"""A set of labelled images, and one robust way to read a file as RGB."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".jfif", ".avif"})
MAX_PIXELS = 150_000_000


class Images(ABC):
    """Labelled images read on demand; what training, evaluation and the feature cache ask of a dataset."""

    labels: np.ndarray  # (n,) int64 class indices; -1 outside the classes
    names: Sequence[str]  # (n,) something to call each image by

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, i: int) -> Image.Image:
        """Image i in RGB."""

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

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def subset(self, indices: Sequence[int]) -> FolderImages:
        return FolderImages([self.paths[i] for i in indices], self.labels[list(indices)])


def read_image(path: str | Path) -> Image.Image:
    """Decode a file to an upright RGB image, whatever its mode: greyscale, palette, CMYK, 16 bit, alpha (on white), animated (first frame).

    :raises ValueError: naming the file, if it can't be read as an image or is larger than 150 megapixels.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}")
            image.load()
            with suppress(Exception):  # damaged EXIF data must not cost a good picture
                image = ImageOps.exif_transpose(image)
            if image.mode.startswith(("I", "F")):
                image = _eight_bits(np.asarray(image, np.float32))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"can't read the image {path}: {error}") from None


def _eight_bits(pixels: np.ndarray) -> Image.Image:
    """Grey levels of 8, 16 or 32 bits to 8, by the smallest of the usual ranges that holds them: 1, 255, 65535, or their own."""
    top = next((t for t in (1.0, 255.0, 65535.0) if pixels.max() <= t), float(pixels.max()))
    return Image.fromarray((pixels.clip(0) / top * 255).round().astype(np.uint8))
