"""The benchmarks, one row each, read from ``catalogue.toml``; and their splits.

A split is the community's file, or the official lists where CoOp uses those.
"""

import os
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..messages import printable, progress_bar
from .folders import PARTS, Source, list_images, source_of
from .images import read_image
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
    rename: dict[str, str] = field(default_factory=dict)  # one of two classes with the same name
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


def known(source: str | Path, root: str | Path | None = None) -> tuple[Dataset | None, Path | None]:
    """The row that a source of images is, if any; and its folder or file, None where a dataset is
    not there.

    :param source: a name of :data:`CATALOGUE`; a dataset's own folder, which is known by its name
        or its split file; or that file.
    :param root: the folder that holds the datasets.
    """
    place = Path(source)
    if str(source) in CATALOGUE and (root is not None or not os.path.isdir(place)):
        row = CATALOGUE[str(source)]
        return row, row.find(root) if root is not None else None
    for row in CATALOGUE.values():
        folder = place.parent if place.name == row.split else place
        own = folder.name in (row.folder, *row.also) or os.path.isfile(folder / row.split)
        if row.kind == "classes" and own and os.path.isdir(folder / row.images):
            return row, folder
    return None, place


def read_split(row: Dataset, folder: Path) -> Source:
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
        source = _imagenet(row, folder)
    elif row.name == "fgvc_aircraft":
        source = _aircraft(row, folder)
    else:
        source = read_list(folder / row.split, folder / row.images)
    said = f"{row.title}: {row.split or 'its official split'}"
    return source._replace(said=said, template=row.template)


class Check(NamedTuple):
    """What is there of a dataset."""

    name: str
    folder: str
    split: str  # where it was read
    classes: int
    images: list[int]  # as the row's counts
    wrong: list[str]  # a line each


def check(row: Dataset, folder: Path, *, full: bool = False) -> Check:
    """Compare a dataset's folder with its row.

    :param full: decode every image instead of reading its header.
    """
    said, classes, wrong = "", 0, []
    if row.kind == "classes":
        try:
            split = read_split(row, folder)
        except ValueError as error:
            return Check(row.name, str(folder), "", 0, [], [str(error)])
        said, classes = split.said, len(split.keys)
        parts = [images.items for images in split.parts.values()]
    else:
        base = folder / row.images
        parts = [list_images(base)]
        classes = len({path.relative_to(base).parts[0] for path in parts[0]}) if row.classes else 0
    if classes != row.classes:
        wrong.append(f"{row.classes} classes are expected")
    counts, paths = [*map(len, parts)], sum(parts, [])
    if counts != row.counts:
        wrong.append(f"{' / '.join(f'{n:,}' for n in row.counts)} images are expected")
    shown = progress_bar(paths, desc=f"check {row.name}", unit="image", show=len(paths) >= 64)
    problems = [(path, _problem(path, full)) for path in shown]
    for what in ("are missing", "can't be read"):
        bad = [path for path, problem in problems if problem == what]
        if bad:
            wrong.append(f"{len(bad)} images {what}, such as {printable(bad[0])}")
    return Check(row.name, str(folder), said, classes, counts, wrong)


def _problem(path: Path, full: bool) -> str:
    if not path.is_file():
        return "are missing"
    try:
        read_image(path) if full else Image.open(path).close()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "can't be read"
    return ""


def _imagenet(row: Dataset, folder: Path) -> Source:
    """ImageNet's own training images; its validation images are the test."""
    photos = []
    for part, place in (("train", "train"), ("test", "val")):
        base = folder / row.images / place
        photos += [(path, path.relative_to(base).parts[0], part) for path in list_images(base)]
    source, names = source_of("", photos), _pairs(folder / "classnames.txt") | row.rename
    numbers = {str(i): names.get(key, "") for i, key in enumerate(source.keys)}
    return source._replace(names=names | numbers)  # ImageNet-V2's folders are numbers


def _aircraft(row: Dataset, folder: Path) -> Source:
    """The official split of the variants."""
    variants = filter(None, map(str.strip, read_text(folder / "variants.txt").split("\n")))
    entries = [
        (f"{image}.jpg", variant, part)
        for part in PARTS
        for image, variant in _pairs(folder / f"images_variant_{part}.txt").items()
    ]
    names = {name: plain_words(name) for name in variants}
    return listed(entries, folder / row.images, str(folder), names)


def _pairs(file: Path) -> dict[str, str]:
    """The first word of each line, and all that follows."""
    lines = [line.strip().partition(" ") for line in read_text(file).split("\n") if line.strip()]
    for word, _, rest in lines:
        if not rest:
            raise ValueError(f"{file}: the line {word[:60]!r} has fewer than 2 words")
    return {word: rest for word, _, rest in lines}
