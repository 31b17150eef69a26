"""A set of labelled images, and one robust way to read a file as RGB."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..messages import printable

with suppress(ImportError):
    from pillow_heif import register_heif_opener

    register_heif_opener()
Image.init()
warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged files, which are read or refused
# Pillow knows more formats, among them EPS, which it hands to Ghostscript
KNOWN = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF")
FORMATS = [name for name in KNOWN if name in Image.OPEN]
SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
SUFFIXES |= {".heic", ".heif"}  # known, even where they can't be read
MAX_BYTES, MAX_PIXELS, MAX_RATIO, MAX_SCANS = 1 << 30, 150_000_000, 100, 200


class Images(ABC):
    """Labelled images read on demand: what training, evaluation and the feature cache need.

    :param items: what each image is made from.
    :param labels: (n,) class indices; -1 outside the classes.
    """

    def __init__(self, items: Sequence, labels: Sequence[int] | np.ndarray):
        self.items, self.labels = list(items), np.asarray(labels, np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> list[str]:
        """Something to call each image by."""
        return list(map(str, self.items))

    @abstractmethod
    def __getitem__(self, i: int) -> Image.Image:
        """Image i in RGB."""

    def draft(self, i: int, side: int) -> Image.Image:
        """Image i, perhaps smaller where that saves time, but with no side cut below 2 ``side``."""
        return self[i]

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of everything that the pixels depend on, labels apart."""

    def subset(self, indices: Sequence[int]) -> Self:
        """The images of these indices, in their order."""
        return type(self)([self.items[i] for i in indices], self.labels[list(indices)])

    def relabelled(self, label: Mapping[int, int]) -> Self:
        """The images whose labels are keys of ``label``, labelled by its values."""
        images = self.subset([i for i, old in enumerate(self.labels) if old in label])
        images.labels = np.array([label[old] for old in images.labels], np.int64)
        return images


class FolderImages(Images):
    """Image files with labels."""

    @property
    def paths(self) -> list[Path]:
        return self.items

    def draft(self, i: int, side: int | None = None) -> Image.Image:
        return read_image(self.paths[i], side=side)

    __getitem__ = draft

    def fingerprint(self) -> str:
        """A digest of the files' content; a file is read again only after it has changed.

        :raises ValueError: naming a file that can't be read.
        """
        digests = map(_digest, self.paths, map(file_version, self.paths))
        return hashlib.sha256(b"".join(digests)).hexdigest()


class Held(NamedTuple):
    """An image of a list or dataset."""

    dataset: Any
    i: int

    def __str__(self) -> str:
        return f"image {self.i}"

    def pair(self) -> tuple:
        """The image and its label; -1: it has none."""
        match self.dataset[self.i]:
            case [image, label, *_]:
                return image, label
            case image:
                return image, -1


class HeldImages(Images):
    """Images in memory, or of a dataset of torchvision's."""

    def __getitem__(self, i: int) -> Image.Image:
        """Image i in RGB.

        :raises ValueError: if it is no image of Pillow.
        """
        image, _ = self.items[i].pair()
        if not isinstance(image, Image.Image):
            raise ValueError(
                f"{self.items[i]} is a {type(image).__name__}; give images of Pillow, and datasets "
                "without a transform"
            )
        return image.convert("RGB")

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for i in range(len(self)):
            image = self[i]
            digest.update(f"{image.size}".encode() + image.tobytes())
        return digest.hexdigest()


def held_images(given: Any) -> HeldImages:
    """Images of Pillow, which are of no class; (image, label) pairs; or a dataset of torchvision's,
    whose labels are taken from the attribute where it has them all.

    :raises ValueError: if it has no items, or a label is no integer.
    """
    items = [Held(given, i) for i in range(len(given))]
    attributes = (getattr(given, name, None) for name in ("targets", "labels", "_labels"))
    labels = next((found for found in attributes if found is not None), None)
    if labels is None or getattr(given, "target_transform", None):
        labels = [item.pair()[1] for item in items]
    labels = np.asarray(labels)
    if len(items) and labels.dtype.kind not in "biu":
        raise ValueError("a label is no integer; give (image, class index) pairs")
    return HeldImages(items, labels)


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
    size = file_version(path)[1]
    with _naming(path), _opened(path, size) as file:
        if side:
            file.draft(None, (2 * side, 2 * side))
        file.load()
        image: Image.Image = file
        with suppress(Exception):  # damaged EXIF data must not cost a good image
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith(("I", "F")):
            grey = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0).clip(0)
            grey = grey / (grey.max() or 1) * 255
            image = Image.fromarray(grey.round().astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")


def random_view(image: Image.Image, side: int, seed: tuple[int, int]) -> Image.Image:
    """A random resized crop, mirrored half of the time: the augmentation of CLIP and CoOp.

    As torchvision's RandomResizedCrop: 8 to 100 % of the area, at 3:4 to 4:3; the first of ten
    draws that fits into the image, or else its largest part.

    :param seed: of the run, and the number of the view or epoch; with the pixels, they decide the
        crop, whatever the order, the set, the threads or the processes.
    :return: ``side`` x ``side``.
    """
    digest = hashlib.sha256(f"{seed} {image.size}".encode() + image.tobytes()).digest()
    rng, (width, height) = np.random.default_rng(int.from_bytes(digest)), image.size
    area = rng.uniform(0.08, 1, 10) * width * height
    ratio = (4 / 3) ** rng.uniform(-1, 1, 10)
    largest = min(width, height * 4 / 3), min(height, width * 4 / 3)
    drawn = np.sqrt([area * ratio, area / ratio]).T
    sizes = np.rint([*drawn, largest]).clip(1).astype(int)  # (11, 2)
    w, h = sizes[(sizes <= image.size).all(1)][0]
    left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
    crop = image.crop((left, top, left + w, top + h))
    view = crop.resize((side, side), Image.Resampling.BICUBIC)
    return ImageOps.mirror(view) if rng.random() < 0.5 else view


def _opened(path: str | Path, size: int) -> Image.Image:
    """The image before it is decoded, if that takes bounded time and memory."""
    if size > MAX_BYTES:
        raise ValueError("it is larger than 1 GiB")
    content = Path(path).read_bytes()
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError(f"it is a JPEG of more than {MAX_SCANS} scans")
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are too many")
    if max(image.size) > MAX_RATIO * min(image.size):
        raise ValueError(f"{width} x {height} pixels are too narrow a strip")
    return image


@cache
def _digest(path: Path, version: tuple[int, ...]) -> bytes:
    with _naming(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def file_version(path: str | Path) -> tuple[int, int, int]:
    """What changes with a file's content.

    :raises ValueError: if it is not there, or would block or never end, as a pipe does.
    """
    with _naming(path):
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is a folder, a pipe, a device or a socket")
        return status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Errors name the file. What decoders raise on damaged ones has no common type."""
    try:
        yield
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            formats = ", ".join(FORMATS)
            reason = f"it is not an image in one of the formats {formats}; HEIC needs pillow-heif"
        raise ValueError(f"can't read the image {printable(f'{path}: {reason}')}") from None
