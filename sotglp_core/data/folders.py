"""Folders of photos: a sub-folder for each class, or train/, val/ and test/ of such."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from ..messages import note, printable
from .images import SUFFIXES
from .names import composed

PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
LITTER = {"@eaDir", "__MACOSX", "Thumbs.db", "desktop.ini", "#recycle", "$RECYCLE.BIN"}


class Photo(NamedTuple):
    """An image file as a source has it."""

    path: Path
    key: str  # what the source calls its class: a folder, a label, a WordNet id
    part: str | None  # one of PARTS; None: the source does not say


class Listing(NamedTuple):
    """The photos of a source."""

    photos: list[Photo]
    source: str  # where it was read, for messages
    keys: list[str]  # in the order of the labels
    names: Mapping[str, str] | None = None  # key -> class name, if the source has any


def part_of(name: str) -> str | None:
    """The part that a folder or column means: "Train", "training_set" and "train2017" are one."""
    word = re.sub(r"[^a-z]", "", name.lower())
    word = re.sub(r"(set|split|data|images)$", "", word)
    return next((part for part, synonyms in PARTS.items() if word in synonyms), None)


def read_folder(root: Path) -> Listing:
    """The photos of class folders, or of folders of those that are called like parts of a split.

    As long as only one sub-folder has images, and those in sub-folders of its own, it is read
    instead. Files that are left out are counted in one line on standard error.

    :raises ValueError: on a folder that is not there or can't be read, a class folder without
        images, two folders for one part, or sub-folders that can't be classes.
    """
    if not root.is_dir():
        raise ValueError(
            f"there is no folder {printable(root)}; give one with a sub-folder of images "
            "for each class"
        )
    images = {folder.name: list_images(folder) for folder in _subfolders(root)}
    filled = [name for name, found in images.items() if found]
    nested = [name for name in filled if any(path.parent.parent != root for path in images[name])]
    if len(filled) == 1 and filled == nested:
        return read_folder(root / nested[0])
    photos: list[Photo] = []
    parts: dict[str, str] = {}
    for name in nested:
        part = part_of(name)
        if part and parts.setdefault(part, name) != name:
            raise ValueError(
                f"{printable(root)} has {parts[part]}/ and {name}/, which both are {part} images; "
                "keep one"
            )
    for part, name in parts.items():
        photos += _class_photos(root / name, images[name], part)
    if not parts:
        photos += _class_photos(root, [path for name in filled for path in images[name]], None)
    left_out = sorted({*walk(root)} - {photo.path for photo in photos})
    if left_out:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in left_out).most_common(4)
        counts = ", ".join(f"{kind} {number}" for kind, number in kinds)
        note(f"{root}: left out are {len(left_out)} files ({counts}), such as {left_out[0]}")
    return Listing(photos, printable(root), sorted({photo.key for photo in photos}))


def list_images(folder: str | Path) -> list[Path]:
    """The image files below a folder and what it links to, sorted.

    Left out are hidden files and folders, and what servers and systems leave behind.

    :raises ValueError: if a folder below can't be listed.
    """
    return sorted(path for path in walk(Path(folder)) if path.suffix.lower() in SUFFIXES)


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder and what it links to, but no linked folder twice."""
    if not folder.is_dir():
        return
    seen = {_identity(parent) for parent in folder.resolve().parents}
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_unlisted):
        if _identity(place) in seen:  # a link that goes round in circles
            folders.clear()
            continue
        seen.add(_identity(place))
        folders[:] = [name for name in folders if not _hidden(name)]
        yield from (Path(place, name) for name in files if not _hidden(name))


def _class_photos(base: Path, images: list[Path], part: str | None) -> list[Photo]:
    """The images in the sub-folders of ``base``, each of which is a class.

    :raises ValueError: if they are no classes, or one is empty.
    """
    tails = [path.relative_to(base).parts for path in images]
    inside: dict[str, set[str]] = {tail[0]: set() for tail in tails if len(tail) > 1}
    for tail in tails:
        if len(tail) > 2:
            inside[tail[0]].add(tail[1])
    common = set.intersection(*inside.values()) if len(inside) > 1 else set()
    if len(common) > 1 and all(folders == common for folders in inside.values()):
        raise ValueError(
            f"{printable(base)}: {_some(inside)} all have the folders {_some(common)}, so it is "
            "not clear what the classes are; sort photos as CLASS/PHOTO, or train/CLASS/PHOTO"
        )
    flat = {tail[0] for tail in tails if len(tail) == 2}
    for key, folders in inside.items():
        if twice := folders & (inside.keys() - {key} | flat):
            raise ValueError(
                f"{printable(base / key)} has a folder {min(twice)!r}, which is a class, too; "
                "move it, or remove it if it is a copy"
            )
    empty = {folder.name for folder in _subfolders(base)} - inside.keys()
    if empty and part in (None, "train"):
        raise ValueError(
            f"the class {min(empty)!r} has no images in {printable(base)}; add some or remove it"
        )
    return [Photo(p, composed(tail[0]), part) for p, tail in zip(images, tails) if len(tail) > 1]


def _subfolders(root: Path) -> list[Path]:
    """Folders, and links to nothing that look like folders."""
    try:
        entries = sorted(entry for entry in root.iterdir() if not _hidden(entry.name))
    except OSError as error:
        _unlisted(error)
    return [e for e in entries if os.path.isdir(e) or not (e.suffix or os.path.exists(e))]


def _some(names: Iterable[str]) -> str:
    return ", ".join(printable(name) for name in sorted(names)[:4])


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in LITTER


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _unlisted(error: OSError) -> NoReturn:
    raise ValueError(f"can't list the folder {printable(error.filename)}: {error.strerror}")
