"""The benchmarks, one row each, read from ``catalogue.toml``; and their splits.

A split is the community's file, or the official lists where CoOp uses those.
"""

import os
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..messages import printable, progress_bar
from .folders import PARTS, Source, by_subfolder, source_of
from .images import file_version, read_image
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
    files: Sequence[str] = ()  # what an official split is read from
    template: str = "a photo of a {}."
    rename: dict[str, str] = field(default_factory=dict)  # one of two classes with the same name
    also: Sequence[str] = ()  # other places of the folder
    archives: Sequence[Archive] = ()
    dead: str = ""  # links that are known not to work any more

    def find(self, root: str | Path) -> Path | None:
        """The dataset's folder below ``root``, or None."""
        for folder in (self.folder, *self.also):
            place = Path(root, folder)
            if os.path.isdir(place / self.images):
                return place
        return None


CATALOGUE: dict[str, Dataset] = {}
_TABLE = (files(__package__) / "catalogue.toml").read_text(encoding="utf-8")
for _name, _row in tomllib.loads(_TABLE).items():
    _archives = [Archive(**link) for link in _row.pop("archives", ())]
    CATALOGUE[_name] = Dataset(_name, archives=_archives, **_row)


def known(source: str | Path, root: str | Path | None = None) -> tuple[Dataset | None, Path | None]:
    """The row that a source of images is, if any; and its folder or file, None where a dataset is
    not there.

    :param source: a name of :data:`CATALOGUE`; a dataset's own folder, which is known by its name
        or its split file; or that file.
    :param root: the folder that holds the datasets.
    """
    place, named = Path(source), CATALOGUE.get(str(source))
    if named and (root is not None or not os.path.isdir(place)):
        return named, named.find(root) if root is not None else None
    for row in CATALOGUE.values():
        folder = place.parent if place.name == row.split else place
        recognised = folder.name in (row.folder, *row.also) or os.path.isfile(folder / row.split)
        if row.kind == "classes" and recognised and os.path.isdir(folder / row.images):
            return row, folder
    return None, place


def read_split(row: Dataset, folder: Path) -> Source:
    """What the split of the dataset in ``folder`` lists; of a set without one, all its images.

    :raises ValueError: on a file of the split that is missing, or is not what it should be.
    """
    for name in [row.split] if row.split else row.files:
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder} has no split: {name} is missing; `sotglp data get {row.name}` fetches "
                "it, or says where it is"
            )
    images = folder / row.images
    if row.split:
        source = read_list(folder / row.split, images)
    elif row.name == "imagenet":  # the official validation images are the test
        photos = {"train": by_subfolder(images / "train"), "test": by_subfolder(images / "val")}
        source, names = source_of("", photos), _pairs(folder / "classnames.txt") | row.rename
        numbers = {str(i): names.get(key, "") for i, key in enumerate(source.keys)}
        source = source._replace(names=names | numbers)  # ImageNet-V2's folders are numbers
    elif row.name == "fgvc_aircraft":
        entries = [
            (f"{image}.jpg", variant, part)
            for part in PARTS
            for image, variant in _pairs(folder / f"images_variant_{part}.txt").items()
        ]
        variants = read_text(folder / "variants.txt").strip().split("\n")
        names = {name.strip(): plain_words(name) for name in variants}
        source = listed(entries, images, str(folder), names)
    else:
        source = source_of("", {"": by_subfolder(images)})
    split = row.split or ("its official split" if row.files else "all images")
    return source._replace(said=f"{row.title}: {split}", template=row.template)


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
    try:
        split = read_split(row, folder)
    except ValueError as error:
        return Check(row.name, str(folder), "", 0, [], [str(error)])
    wrong = []
    classes = len(split.keys) if row.classes else 0
    counts = [*map(len, split.parts.values())]
    paths = [path for images in split.parts.values() for path in images.items]
    if classes != row.classes:
        wrong.append(f"{row.classes} classes are expected")
    if counts != row.counts:
        wrong.append(f"{' / '.join(f'{n:,}' for n in row.counts)} images are expected")
    bad = defaultdict(list)
    for path in progress_bar(paths, desc=f"check {row.name}", unit="image", delay=1):
        try:
            file_version(path)  # of anything but a file, which may block
            read_image(path) if full else Image.open(path).close()
        except Exception:  # what decoders raise on damaged files has no common type
            bad["can't be read" if path.is_file() else "are missing"].append(path)
    for what, which in bad.items():
        wrong.append(f"{len(which)} images {what}, such as {printable(which[0])}")
    return Check(row.name, str(folder), split.said, classes, counts, wrong)


def _pairs(file: Path) -> dict[str, str]:
    """The first word of each line, and all that follows."""
    lines = [line.strip().split(maxsplit=1) for line in read_text(file).strip().split("\n")]
    if any(len(words) < 2 for words in lines):
        raise ValueError(f"{file} has a line of fewer than 2 words")
    return dict(lines)
