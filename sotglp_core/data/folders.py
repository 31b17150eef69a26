"""A folder of photos as train, validation and test images: one sub-folder a class, or train/, val/, test/ of such."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..messages import printable, progress_bar
from .images import SUFFIXES, FolderImages, read_image

SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
TEST_SHARE, VAL_SHARE = 0.3, 0.2  # of each class's images where the folder has no train/ of its own


def folder_splits(
    root: str | Path,
    *,
    classes: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    skip_corrupt: bool = False,
) -> tuple[tuple[str, ...], dict[str, FolderImages]]:
    """Class names and the images of the splits "train", "val" and "test".

    A folder of class folders is split by a fixed draw: 30 % of each class to test, 20 % to validation.

    :param root: the folder.
    :param classes: names of the class folders to use; None: all.
    :param names: class folder -> class name; None: the folders' names, tidied by :func:`class_names`.
    :param skip_corrupt: decode every file first and leave out, with a line on standard error, what can't be read.
    :raises ValueError: on a missing folder or split, a class without images, an unknown class, or splits whose classes differ.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(
            f"there is no folder {printable(root)}; give one with a sub-folder of images for each class"
        )
    ready = {
        split: root / name
        for split, known in SPLITS.items()
        for name in known
        if os.path.isdir(root / name)
    }
    if ready and "train" not in ready:
        part = next(iter(ready.values())).name
        raise ValueError(
            f"{printable(root)} has {part}/ but no train/; add one, or rename that folder if it is a class"
        )
    keep = readable if skip_corrupt else (lambda images: images)
    if not ready:
        folders, paths, labels = _scan(root, classes)
        images = keep(FolderImages(paths, labels))
        return class_names(folders, names), draw_splits(images, len(folders))
    folders, *_ = scanned = _scan(ready["train"], classes)
    splits = {"train": keep(FolderImages(*scanned[1:]))}
    for split in ready.keys() - {"train"}:
        splits[split] = keep(FolderImages(*_scan(ready[split], folders)[1:]))
    if "test" not in splits:
        raise ValueError(
            f"{printable(root)} has train/ but no test/; add one, or put the class folders directly in it to have them split"
        )
    splits.setdefault("val", splits["train"].subset([]))
    return class_names(folders, names), splits


def list_images(folder: str | Path) -> list[Path]:
    """The image files below a folder and what it links to, sorted; hidden ones and folders are left out.

    :raises ValueError: if a folder below can't be listed.
    """
    if not Path(folder).is_dir():
        return []
    found, seen = [], {_identity(parent) for parent in Path(folder).resolve().parents}
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_unlisted):
        if _identity(place) in seen:  # a link that goes round in circles
            folders.clear()
            continue
        seen.add(_identity(place))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(place, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)


def class_names(folders: Sequence[str], names: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What the prompts call each class: its name in ``names``, or the folder's in plain words ("001.Grey_Wolf", "GreyWolf": "Grey Wolf").

    :raises ValueError: if one is missing in ``names``, empty or not UTF-8, or if two are the same.
    """
    missing = [folder for folder in folders if names is not None and folder not in names]
    if missing:
        raise ValueError(f"the class names have none for {missing[0]!r}; add a line for it")
    tidy = tuple(
        " ".join(names[folder].split()) if names is not None else _plain_words(folder)
        for folder in folders
    )
    for folder, name in zip(folders, tidy):
        if not name or not name.isprintable():
            raise ValueError(
                f"the class {folder!r} has no name that can be written in a prompt; rename it, or give its name with --names"
            )
    known: dict[str, str] = {}
    for folder, name in zip(folders, tidy):
        if (other := known.setdefault(name.lower(), folder)) is not folder:
            raise ValueError(
                f"{other!r} and {folder!r} have the same class name {name!r}; rename one"
            )
    return tidy


def chosen_classes(
    found: Sequence[str],
    classes: Sequence[str] | None,
    place: str | Path,
    *,
    kind: str = "class folder",
) -> list[str]:
    """The classes to use, of those found in a place.

    :raises ValueError: on an unknown class, one named twice, or fewer than two.
    """
    if classes and len(set(classes)) < len(classes):
        raise ValueError(f"the classes {', '.join(classes)} name one twice; name each once")
    unknown = sorted(set(classes or ()) - set(found))
    if unknown:
        known = ", ".join(map(printable, found[:8]))
        raise ValueError(
            f"{printable(place)} has no {kind} {unknown[0]!r}; it has {known}{' ...' if len(found) > 8 else ''}"
        )
    chosen = list(classes or found)
    if len(chosen) < 2:
        raise ValueError(
            f"{printable(place)} has {len(chosen)} {kind}s; a classifier needs at least 2, each with images"
        )
    return chosen


def _plain_words(folder: str) -> str:
    name = re.sub(r"^\d+\.(?=.)", "", folder).replace("_", " ").replace("-", " ")
    return " ".join(
        (name if " " in name.strip() else re.sub(r"(?<=[a-z]{2})(?=[A-Z][a-z])", " ", name)).split()
    )


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _unlisted(error: OSError) -> None:
    raise ValueError(
        f"can't list the folder {printable(error.filename)}: {error.strerror}"
    ) from None


def _scan(root: Path, classes: Sequence[str] | None) -> tuple[list[str], list[Path], list[int]]:
    try:
        entries = sorted(p for p in root.iterdir() if not p.name.startswith("."))
    except OSError as error:
        _unlisted(error)
    lost = [p.name for p in entries if not p.suffix and p.is_symlink() and not os.path.exists(p)]
    if lost:
        raise ValueError(
            f"{lost[0]!r} in {printable(root)} is a link to nothing; mend it, or remove it if it is no class"
        )
    folders = chosen_classes([p.name for p in entries if os.path.isdir(p)], classes, root)
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(folders):
        own = list_images(root / name)
        if not own:
            raise ValueError(
                f"class {name!r} has no images in {printable(root / name)}; add photos or remove the folder"
            )
        paths += own
        labels += [label] * len(own)
    return folders, paths, labels


def readable(images: FolderImages) -> FolderImages:
    """The images that can be decoded; the others are named and counted on standard error."""
    good = []
    for i in progress_bar(range(len(images)), desc="check", unit="image", show=len(images) >= 64):
        try:
            read_image(images.paths[i], side=1)
            good.append(i)
        except ValueError as error:
            print(f"skipped: {error}", file=sys.stderr)
    if len(good) < len(images):
        print(f"skipped {len(images) - len(good)} of {len(images)} files", file=sys.stderr)
    return images.subset(good)


def draw_splits(images: FolderImages, classes: int) -> dict[str, FolderImages]:
    """Train, val and test: each class's files in the order of a digest of their names, so that a new photo or class moves few others."""
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    digests = [hashlib.sha256(path.name.encode(errors="replace")).digest() for path in images.paths]
    for label in range(classes):
        own = sorted(np.flatnonzero(images.labels == label).tolist(), key=digests.__getitem__)
        test, val = max(1, int(TEST_SHARE * len(own))), int(VAL_SHARE * len(own))
        for split, chosen in (
            ("test", own[:test]),
            ("val", own[test : test + val]),
            ("train", own[test + val :]),
        ):
            parts[split] += sorted(chosen)
    return {split: images.subset(chosen) for split, chosen in parts.items()}
