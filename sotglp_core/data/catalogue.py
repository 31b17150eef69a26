"""The benchmarks, one row each, read from ``catalogue.toml``; and their splits.

A split is the community's file, or the official lists where CoOp uses those.
"""

import os
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from .folders import PARTS, Listing, Photo, list_images
from .labels import listed, read_list, read_text
from .names import plain_words


@dataclass(frozen=True)
class Archive:
    """An archive to download and unpack in a dataset's folder."""

    url: str
    md5: str | None = None  # None: its publisher gives no checksum
    top: bool = False  # it holds the dataset's folder: unpack it in the root
    inner: str = ""  # an archive inside it, to be unpacked in the dataset's folder


@dataclass(frozen=True)
class Dataset:
    """A benchmark: where its files lie, what to expect, and how to get it."""

    name: str  # what the commands call it
    title: str
    kind: str  # "classes": to learn from; "ood": none of ImageNet's classes; "shift": its classes
    folder: str  # below the root
    images: str  # below the folder; split files name their images from here
    classes: int
    counts: list[int]  # train, validation, test of the split; or all images
    licence: str
    get: str  # the page to get it from, by its title
    gigabytes: float | None = None  # to download; None: not known
    split: str = ""  # the community's split file; "": the official split is in use
    split_sha256: str | None = None
    files: list[str] = field(default_factory=list)  # what an official split is read from
    template: str = "a photo of a {}."
    rename: dict[str, str] = field(default_factory=dict)  # of two classes with the same name
    also: list[str] = field(default_factory=list)  # other places of the folder
    archives: list[Archive] = field(default_factory=list)
    dead: str = ""  # links that are known not to work any more

    def find(self, root: str | Path) -> Path | None:
        """The dataset's folder below ``root``, or None."""
        places = [Path(root) / folder for folder in (self.folder, *self.also)]
        return next((place for place in places if os.path.isdir(place / self.images)), None)


def _read() -> dict[str, Dataset]:
    table = tomllib.loads((files(__package__) / "catalogue.toml").read_text(encoding="utf-8"))
    for row in table.values():
        row["archives"] = [Archive(**archive) for archive in row.get("archives", ())]
    return {name: Dataset(name, **row) for name, row in table.items()}


CATALOGUE = _read()


def detect(place: Path) -> tuple[Path, Dataset | None]:
    """The dataset's folder, if this is one or the split file in one; or else the place itself.

    A dataset's folder is known by its name or by its split file.
    """
    for row in CATALOGUE.values():
        folder = place.parent if place.name == row.split else place
        own = folder.name in (row.folder, *row.also) or os.path.isfile(folder / row.split)
        if row.kind == "classes" and own and os.path.isdir(folder / row.images):
            return folder, row
    return place, None


def known(source: str | Path, root: str | Path | None = None) -> tuple[Dataset | None, Path | None]:
    """The row that a source of images is, if any; and its folder, None where it is not there.

    :param source: a name of :data:`CATALOGUE`, or a dataset's own folder.
    :param root: the folder that holds the datasets.
    """
    row = CATALOGUE.get(str(source))
    if row is None or (root is None and os.path.isdir(source)):
        place, row = detect(Path(source))
        return row, place if row else None
    return row, row.find(root) if root is not None else None


def read_split(row: Dataset, folder: Path) -> Listing:
    """What the split of the dataset in ``folder`` lists.

    :raises ValueError: on a file of the split that is missing, or is not what it should be.
    """
    for name in [row.split] if row.split else row.files:
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder} has no split: {name} is missing; `sotglp data get {row.name}` fetches "
                "it, or says where it is"
            )
    if row.name == "imagenet":
        listing = _imagenet(row, folder)
    elif row.name == "fgvc_aircraft":
        listing = _aircraft(row, folder)
    else:
        listing = read_list(folder / row.split, folder / row.images)
    return listing._replace(source=f"{row.title}: {row.split or 'its official split'}")


def _imagenet(row: Dataset, folder: Path) -> Listing:
    """ImageNet's own training images; its validation images are the test."""
    names = _pairs(folder / "classnames.txt")
    number = Counter(names.values())
    names |= {key: new for key, new in row.rename.items() if number[names.get(key, "")] > 1}
    photos = []
    for part, place in (("train", "train"), ("test", "val")):
        base = folder / row.images / place
        for path in list_images(base):
            photos.append(Photo(path, path.relative_to(base).parts[0], part))
    keys = sorted({photo.key for photo in photos})
    names |= {str(i): names.get(key, "") for i, key in enumerate(keys)}  # ImageNet-V2's folders
    return Listing(photos, "", keys, names)


def _aircraft(row: Dataset, folder: Path) -> Listing:
    """The official split of the variants."""
    variants = filter(None, map(str.strip, read_text(folder / "variants.txt").split("\n")))
    names = {name: plain_words(name) for name in variants}
    entries = [
        (f"{image}.jpg", variant, part)
        for part in PARTS
        for image, variant in _pairs(folder / f"images_variant_{part}.txt").items()
    ]
    return listed(entries, folder / row.images, str(folder), names)


def _pairs(file: Path) -> dict[str, str]:
    """The first word of each line, and all that follows."""
    lines = [line.strip().partition(" ") for line in read_text(file).split("\n") if line.strip()]
    for word, _, rest in lines:
        if not rest:
            raise ValueError(f"{file}: the line {word[:60]!r} has fewer than 2 words")
    return {word: rest for word, _, rest in lines}
