"""A folder of photos as train, validation and test images: one sub-folder a class, or train/, val/, test/ of such."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..progress import progress_bar
from .images import SUFFIXES, FolderImages, read_image

SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
TEST_SHARE, VAL_SHARE = 0.3, 0.2  # of each class's images where the folder has no train/ of its own


def folder_splits(root: str | Path, *, classes: Sequence[str] | None = None,
                  skip_corrupt: bool = False) -> tuple[tuple[str, ...], dict[str, FolderImages]]:
    """Class names and the images of the splits "train", "val" and "test".

    A folder of class folders is split by a fixed draw: 30 % of each class to test, 20 % to validation.

    :param root: the folder.
    :param classes: names of the class folders to use; None: all.
    :param skip_corrupt: decode every file first and leave out, with a line on standard error, what can't be read.
    :raises ValueError: on a missing folder or split, a class without images, an unknown class, or splits whose classes differ.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"there is no folder {root}; give one with a sub-folder of images for each class")
    if classes and len(set(classes)) < len(classes):
        raise ValueError(f"the classes {', '.join(classes)} name one twice; name each once")
    ready = {split: root / name for split, names in SPLITS.items() for name in names if (root / name).is_dir()}
    if ready and "train" not in ready:
        raise ValueError(f"{root} has {next(iter(ready.values())).name}/ but no train/; add one, or rename that folder if it is a class")
    keep = readable if skip_corrupt else (lambda images: images)
    if not ready:
        folders, paths, labels = _scan(root, classes)
        images = keep(FolderImages(paths, labels))
        return _pretty(folders), _draw_splits(images, len(folders))
    folders, *_ = scanned = _scan(ready["train"], classes)
    splits = {"train": keep(FolderImages(*scanned[1:]))}
    for split in ready.keys() - {"train"}:
        splits[split] = keep(FolderImages(*_scan(ready[split], folders)[1:]))
    if "test" not in splits:
        raise ValueError(f"{root} has train/ but no test/; add one, or put the class folders directly in {root} to have them split")
    splits.setdefault("val", splits["train"].subset([]))
    return _pretty(folders), splits


def list_images(folder: str | Path) -> list[Path]:
    """The image files below a folder, by name; hidden files are left out."""
    folder = Path(folder)
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def _scan(root: Path, classes: Sequence[str] | None) -> tuple[list[str], list[Path], list[int]]:
    found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    unknown = sorted(set(classes or ()) - set(found))
    if unknown:
        raise ValueError(f"{root} has no class folder {unknown[0]!r}; it has {', '.join(found[:8])}{' ...' if len(found) > 8 else ''}")
    folders = list(classes) if classes else found
    if len(folders) < 2:
        raise ValueError(f"{root} has {len(folders)} class folders; a classifier needs at least 2, each with images")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(folders):
        own = list_images(root / name)
        if not own:
            raise ValueError(f"class {name!r} has no images in {root / name}; add photos or remove the folder")
        paths += own
        labels += [label] * len(own)
    return folders, paths, labels


def readable(images: FolderImages) -> FolderImages:
    """The images that can be decoded; the others are named on standard error."""
    good = []
    for i in progress_bar(range(len(images)), desc="check", unit="image", show=len(images) >= 64):
        try:
            read_image(images.paths[i])
            good.append(i)
        except ValueError as error:
            print(f"skipped: {error}", file=sys.stderr)
    return images.subset(good)


def _draw_splits(images: FolderImages, classes: int) -> dict[str, FolderImages]:
    """Each class's files in the order of a digest of their names, so that a new photo or class moves few others."""
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    digests = [hashlib.sha256(path.name.encode(errors="replace")).digest() for path in images.paths]
    for label in range(classes):
        own = sorted(np.flatnonzero(images.labels == label), key=digests.__getitem__)
        test, val = max(1, int(TEST_SHARE * len(own))), int(VAL_SHARE * len(own))
        for split, chosen in (("test", own[:test]), ("val", own[test:test + val]), ("train", own[test + val:])):
            parts[split] += sorted(chosen)
    return {split: images.subset(chosen) for split, chosen in parts.items()}


def _pretty(folders: list[str]) -> tuple[str, ...]:
    names = tuple(" ".join(name.replace("_", " ").replace("-", " ").split()) for name in folders)
    if len(set(n.lower() for n in names)) < len(names):
        double = next(n for n in names if [m.lower() for m in names].count(n.lower()) > 1)
        raise ValueError(f"two class folders have the same class name {double!r}; rename one")
    return names
