"""Train, validation and test of a catalogue dataset: the community's split file where there is one, else the official split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ..messages import printable
from .catalogue import Dataset
from .images import FolderImages
from .official import OFFICIAL, PARTS, Row, drawn

VAL_SHARE = 0.2  # of each class's training images where the official split has no validation part


@dataclass(frozen=True)
class Split:
    """What a split says; ``images`` holds the parts "train", "val" and "test"."""

    class_names: tuple[str, ...]
    keys: tuple[
        str, ...
    ]  # what the dataset itself calls each class: its folder or WordNet id, where it has one
    images: dict[str, FolderImages]
    source: str  # where it was read

    def only(self, classes: Sequence[str]) -> Split:
        """The same with these classes alone, in this order.

        :raises ValueError: on a name that is not a class's.
        """
        places = {
            name.lower(): i
            for names in (self.keys, self.class_names)
            for i, name in enumerate(names)
        }
        unknown = [c for c in classes if c.lower() not in places]
        if unknown:
            raise ValueError(
                f"there is no class {unknown[0]!r}; there are {', '.join(self.class_names[:8])} ..."
            )
        chosen = [places[c.lower()] for c in classes]
        if len(set(chosen)) < max(2, len(chosen)):
            raise ValueError(
                f"the classes {', '.join(classes)} are not at least two different ones; name each once"
            )
        new = np.full(len(self.class_names), -1)
        new[chosen] = range(len(chosen))
        parts = {}
        for part, images in self.images.items():
            kept = np.flatnonzero(new[images.labels] >= 0)
            parts[part] = FolderImages([images.paths[i] for i in kept], new[images.labels[kept]])
        return replace(
            self,
            class_names=tuple(self.class_names[i] for i in chosen),
            keys=tuple(self.keys[i] for i in chosen),
            images=parts,
        )


def read_split(row: Dataset, folder: str | Path, *, exists: bool = True) -> Split:
    """The split of the dataset in ``folder``.

    :param exists: insist that every image is there.
    :raises ValueError: in one line, on a file of the split that is missing or is not what it should be: images outside the folder,
        a label with two class names or a name with two labels, labels that are not 0 to C - 1, an image named twice, or not there.
    """
    folder = Path(folder)
    community = folder / row.split
    if row.split and community.is_file():
        split = parse_community(community, folder / row.images)
    else:
        missing = [f for f in row.files if not (folder / f).is_file()]
        if missing:
            wanted = " and ".join(
                filter(
                    None,
                    (
                        row.split and f"the community's {row.split}",
                        f"the official {', '.join(missing)}",
                    ),
                )
            )
            raise ValueError(
                f"{folder} has no split: missing are {wanted}; `sotglp data get {row.name}` says where they are"
            )
        split = _assembled(
            *OFFICIAL[row.official](row, folder),
            folder / row.images,
            row.split and f"no {row.split}, so ",
        )
    if exists and row.official != "imagenet":  # ImageNet's are found by listing its folders
        lost = [p for images in split.images.values() for p in images.paths if not p.is_file()]
        if lost:
            total = sum(map(len, split.images.values()))
            raise ValueError(
                f"{len(lost)} of the {total} images of {row.title} are not there, such as {printable(lost[0])}; unpack them, "
                f"or see `sotglp data check {folder}`"
            )
    return split


def parse_community(path: str | Path, base: str | Path) -> Split:
    """A ``split_zhou_*.json`` of CoOp's: {"train": [[image, label, class name], ...], "val": ..., "test": ...}.

    :param base: the folder that the image paths start from.
    :raises ValueError: as :func:`read_split`.
    """
    path, base = Path(path), Path(base)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} can't be read as JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(part), list) for part in PARTS
    ):
        raise ValueError(f"{path} is not a split file; it needs lists named train, val and test")
    name_of: dict[int, str] = {}
    label_of: dict[str, int] = {}
    for part in PARTS:
        for n, entry in enumerate(content[part]):
            if not (isinstance(entry, list) and [type(e) for e in entry] == [str, int, str]):
                raise ValueError(
                    f"{path}: entry {n} of {part} is {str(entry)[:80]}; it needs [image, label, class name]"
                )
            _, label, name = entry
            if name_of.setdefault(label, name) != name:
                raise ValueError(
                    f"{path}: label {label} has two class names, {name_of[label]!r} and {name!r} (entry {n} of {part})"
                )
            if label_of.setdefault(name, label) != label:
                raise ValueError(
                    f"{path}: class {name!r} has two labels, {label_of[name]} and {label} (entry {n} of {part})"
                )
    if sorted(name_of) != list(range(len(name_of))):
        absent = next(i for i in range(len(name_of) + 1) if i not in name_of)
        raise ValueError(f"{path}: the labels skip {absent}; they must be 0 to {len(name_of) - 1}")
    names = tuple(clean(name_of[i]) for i in range(len(name_of)))
    bad = next((name for name in names if not name or not name.isprintable()), None)
    if bad is not None or len(names) < 2:
        raise ValueError(
            f"{path}: "
            + (
                f"it has {len(names)} classes, a classifier needs at least 2"
                if bad is None
                else f"the class name {bad!r} can't be written in a prompt"
            )
        )
    parts = {part: [(image, label) for image, label, _ in content[part]] for part in PARTS}
    return Split(
        names, tuple(name_of[i] for i in range(len(name_of))), _images(parts, base, path), path.name
    )


def _images(
    parts: dict[str, list[tuple[str, int]]], base: Path, source: Path | str
) -> dict[str, FolderImages]:
    seen: dict[str, str] = {}
    for part, rows in parts.items():
        for image, _ in rows:
            pure = PurePosixPath(image)
            if (
                pure.is_absolute()
                or ".." in pure.parts
                or "\\" in image
                or "\0" in image
                or not pure.parts
            ):
                raise ValueError(
                    f"{source}: the image {image!r} of {part} lies outside the dataset's folder"
                )
            if str(pure) in seen:
                raise ValueError(
                    f"{source}: the image {image!r} is named twice, in {seen[str(pure)]} and in {part}"
                )
            seen[str(pure)] = part
    return {
        part: FolderImages([base / image for image, _ in rows], [label for _, label in rows])
        for part, rows in parts.items()
    }


def _assembled(parts: dict[str, list[Row]], source: str, base: Path, why: str) -> Split:
    """Labels in the order of ``parts["classes"]``, or else of the sorted keys; a missing validation part is drawn from train."""
    name_of = {key: clean(name) for rows in parts.values() for _, key, name in rows}
    keys = [key for _, key, _ in parts.pop("classes", [])] or sorted(name_of)
    if foreign := sorted(set(name_of) - set(keys)):
        raise ValueError(
            f"{base}: the split names the class {foreign[0]!r}, which the list of classes does not have"
        )
    names = [name_of[key] for key in keys]
    if len(names) < 2 or len(set(names)) < len(names):
        double = next((n for n in names if names.count(n) > 1), "")
        raise ValueError(
            f"{base}: "
            + (
                f"two classes have the name {double!r}"
                if double
                else f"{len(names)} classes are too few"
            )
        )
    if "val" not in parts:
        parts["val"], parts["train"] = drawn(parts["train"], VAL_SHARE)
        source += f", with {VAL_SHARE:.0%} of each class's training images for validation"
    labels = {key: i for i, key in enumerate(keys)}
    images = _images(
        {part: [(image, labels[key]) for image, key, _ in parts[part]] for part in PARTS},
        base,
        base,
    )
    return Split(tuple(names), tuple(keys), images, why + source)


def clean(name: str) -> str:
    """A class name in plain words: underscores are spaces."""
    return " ".join(name.replace("_", " ").split())
