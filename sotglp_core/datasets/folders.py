"""A folder of photos as train, validation and test images: one sub-folder a class, or train/, val/, test/ of such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .images import SUFFIXES, FolderImages, read_image

TEST_SHARE, VAL_SHARE = 0.3, 0.2  # of each class's images where the folder has no train/ of its own


def folder_splits(root: str | Path, *, classes: Sequence[str] | None = None,
                  skip_corrupt: bool = False) -> tuple[tuple[str, ...], dict[str, FolderImages]]:
    """Class names and the images of the splits "train", "val" and "test".

    A folder of class folders is split by a fixed draw: 30 % of each class to test, 20 % to validation.

    :param root: the folder.
    :param classes: names of the class folders to use; None: all.
    :param skip_corrupt: decode every file first and leave out, with a printed line, what can't be read.
    :raises ValueError: on a missing folder, a class without images, an unknown class, or splits whose classes differ.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"there is no folder {root}; give one with a sub-folder of images for each class")
    ready = {split: root / split for split in ("train", "val", "test") if (root / split).is_dir()}
    if "train" not in ready:
        folders, paths, labels = _scan(root, classes)
        images = _checked(paths, labels, skip_corrupt)
        return _pretty(folders), _draw_splits(images, folders)
    folders, *_ = scanned = _scan(ready["train"], classes)
    splits = {"train": _checked(*scanned[1:], skip_corrupt)}
    for split in ready.keys() - {"train"}:
        splits[split] = _checked(*_scan(ready[split], folders)[1:], skip_corrupt)
    if "test" not in splits:
        raise ValueError(f"{root} has train/ but no test/; add one, or put the class folders directly in {root} to have them split")
    splits.setdefault("val", splits["train"].subset([]))
    return _pretty(folders), splits


def list_images(folder: str | Path) -> list[Path]:
    """The image files below a folder, by name; hidden files are left out."""
    return sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file())


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


def _checked(paths: list[Path], labels: list[int], skip_corrupt: bool) -> FolderImages:
    images = FolderImages(paths, labels)
    if not skip_corrupt:
        return images
    good = []
    for i, path in enumerate(paths):
        try:
            read_image(path)
            good.append(i)
        except ValueError as error:
            print(f"skipped: {error}")
    return images.subset(good)


def _draw_splits(images: FolderImages, folders: list[str]) -> dict[str, FolderImages]:
    rng, parts = np.random.default_rng(0), {"train": [], "val": [], "test": []}
    for label, _ in enumerate(folders):
        own = rng.permutation(np.flatnonzero(images.labels == label))
        test, val = int(TEST_SHARE * len(own)), int(VAL_SHARE * len(own))
        for split, chosen in zip(("test", "val", "train"), np.split(own, [test, test + val])):
            parts[split].append(np.sort(chosen))
    return {split: images.subset(np.concatenate(chosen)) for split, chosen in parts.items()}


def _pretty(folders: list[str]) -> tuple[str, ...]:
    names = tuple(" ".join(name.replace("_", " ").replace("-", " ").split()) for name in folders)
    if len(set(n.lower() for n in names)) < len(names):
        double = next(n for n in names if [m.lower() for m in names].count(n.lower()) > 1)
        raise ValueError(f"two class folders have the same class name {double!r}; rename one")
    return names
