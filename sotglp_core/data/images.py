"""A set of labelled images, and one robust way to read a file as RGB."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..messages import printable

with suppress(ImportError):
    from pillow_heif import register_heif_opener

    register_heif_opener()
Image.init()
FORMATS: list[str] = [
    name
    for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF")
    if name in Image.OPEN
]  # Pillow knows others, among them EPS, which it hands to Ghostscript
SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
SUFFIXES |= {".heic", ".heif"}  # known, even where they can't be read
MAX_BYTES, MAX_PIXELS, MAX_RATIO, MAX_SCANS = 1 << 30, 150_000_000, 100, 200


class Images(ABC):
    """Labelled images read on demand: what training, evaluation and the feature cache need."""

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
        """A digest of everything that the pixels depend on, labels apart."""

    @abstractmethod
    def subset(self, indices: Sequence[int]) -> Images:
        """The images of these indices, in their order."""


class FolderImages(Images):
    """Image files with labels."""

    def __init__(self, paths: Sequence[Path], labels: Sequence[int] | np.ndarray):
        self.paths, self.labels = list(paths), np.asarray(labels, dtype=np.int64)
        self.names = [str(path) for path in self.paths]

    def __getitem__(self, i: int) -> Image.Image:
        return read_image(self.paths[i])

    def draft(self, i: int, side: int) -> Image.Image:
        return read_image(self.paths[i], side=side)

    def fingerprint(self) -> str:
        """A digest of the files' content; a file is read again only after it has changed.

        :raises ValueError: naming a file that can't be read.
        """
        digest = hashlib.sha256()
        for path in self.paths:
            try:
                status = _regular(path)
                digest.update(_digest(path, status.st_ino, status.st_size, status.st_mtime_ns))
            except (OSError, ValueError) as error:
                raise _unreadable(path, error) from None
        return digest.hexdigest()

    def subset(self, indices: Sequence[int]) -> FolderImages:
        return FolderImages([self.paths[i] for i in indices], self.labels[list(indices)])


def read_image(path: str | Path, *, side: int | None = None) -> Image.Image:
    """Decode a file to an upright RGB image, whatever its mode.

    Transparency becomes white; of an animation the first frame counts. Grey levels of more than
    eight bits are divided by the image's largest: a file does not say whether 10, 12 or 16 of its
    bits are in use, and a rule that needs no other file is the same in training and prediction.

    :param side: let the decoder of a large JPEG halve it once to thrice, as long as no side falls
        below 2 ``side``.
    :raises ValueError: naming the file, if it can't be read as an image, is larger than
        150 megapixels or 1 GiB, or is a hundred times as long as wide (resizing by the shorter
        side would make it huge).
    """
    try:
        with warnings.catch_warnings(action="ignore"), _opened(path) as file:
            if side:
                file.draft(None, (2 * side, 2 * side))
            file.load()
            image: Image.Image = file
            with suppress(Exception):  # damaged EXIF data must not cost a good image
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
    """A random resized crop, mirrored half of the time: the augmentation of CLIP and CoOp.

    As torchvision's RandomResizedCrop: 8 to 100 % of the area, at 3:4 to 4:3; but not drawn from
    the generator that all threads share.

    :param seed: of the run, and the number of the view; with the pixels, they decide the crop.
    :return: ``side`` x ``side``.
    """
    digest = hashlib.sha256(f"{seed} {image.size}".encode() + image.tobytes()).digest()
    rng = np.random.default_rng(int.from_bytes(digest))
    width, height = image.size
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if w <= width and h <= height:
            left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
            break
    else:  # too narrow for all ten: its middle
        w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        left, top = (width - w) // 2, (height - h) // 2
    box = (left, top, left + max(w, 1), top + max(h, 1))
    view = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
    return ImageOps.mirror(view) if rng.random() < 0.5 else view


def _opened(path: str | Path) -> Image.Image:
    """The image before it is decoded, if that takes bounded time and memory."""
    if _regular(path).st_size > MAX_BYTES:
        raise ValueError("it is larger than 1 GiB")
    content = Path(path).read_bytes()
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError(f"it is a JPEG of more than {MAX_SCANS} scans")
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    size = f"{image.width} x {image.height} pixels"
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{size} are too many")
    if max(image.size) > MAX_RATIO * min(image.size):
        raise ValueError(f"{size} are too narrow a strip")
    return image


@cache
def _digest(path: Path, *version: int) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _regular(path: str | Path) -> os.stat_result:
    """The file's status; refuses what would block or never end, such as a pipe or a device."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is a pipe, a device or a socket")
    return status


def _unreadable(path: str | Path, error: Exception) -> ValueError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = f"it is not an image in one of the formats {', '.join(FORMATS)}"
        if Path(path).suffix.lower() in (".heic", ".heif") and "HEIF" not in FORMATS:
            reason = "HEIC needs the package pillow-heif (pip install pillow-heif)"
    return ValueError(f"can't read the image {printable(path)}: {' '.join(reason.split())}")


def _eight_bits(grey: np.ndarray) -> Image.Image:
    grey = np.nan_to_num(grey, nan=0, posinf=0, neginf=0).clip(0)
    return Image.fromarray((grey / (grey.max() or 1) * 255).round().astype(np.uint8))
