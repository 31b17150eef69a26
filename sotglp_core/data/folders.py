"""Folders of photos: a sub-folder for each class, or train/, val/ and test/ of such."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from ..messages import did_you_mean, note, printable
from .images import SUFFIXES, FolderImages, Images
from .names import composed, same

PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
LITTER = {"@eaDir", "__MACOSX", "Thumbs.db", "desktop.ini", "#recycle", "$RECYCLE.BIN"}


class Source(NamedTuple):
    """Labelled images by part, and what their source calls the classes."""

    said: str  # where it was read, for messages
    keys: list[str]  # folders, labels or WordNet ids, in the order of the labels
    parts: Mapping[str, Images]  # of PARTS; or "" alone, where the source does not say
    names: Mapping[str, str] | None = None  # key -> class name, if the source has any
    template: str | None = None  # its own prompt


def source_of(
    said: str, photos: Sequence[tuple[Path, str, str]], names: Mapping[str, str] | None = None
) -> Source:
    """Image files, each with the key of its class and its part.

    :param names: key -> class name, in the order of the labels; None: keys are sorted.
    """
    keys = sorted({key for _, key, _ in photos}) if names is None else [*names]
    label, parts = {key: i for i, key in enumerate(keys)}, {}
    for part in PARTS if any(part for *_, part in photos) else [""]:
        own = [(path, label[key]) for path, key, its in photos if its == part]
        parts[part] = FolderImages([path for path, _ in own], [number for _, number in own])
    return Source(said, keys, parts, names)


def chosen_keys(wanted: Sequence[str], source: Source) -> list[str]:
    """The keys of the wanted classes, each given by its key or its name.

    :param wanted: or one word alone: "base" for the first half of the classes (of an odd number,
        one more), "new" for the others, as in CoCoOp.
    :raises ValueError: on a class that is not there, or is given twice.
    """
    keys, names = source.keys, source.names or {}
    half = (len(keys) + 1) // 2
    if list(wanted) in (["base"], ["new"]):
        return keys[:half] if wanted[0] == "base" else keys[half:]
    found = {same(names.get(key, key)): key for key in keys}
    found |= {same(key): key for key in keys}
    for name in wanted:
        if same(name) not in found:
            near = did_you_mean(name, keys) or f"; it has {_some(keys)} ..."
            raise ValueError(f"{source.said} has no class {name!r}{near}")
    chosen = [found[same(name)] for name in wanted]
    if len({*chosen}) < len(chosen):
        raise ValueError(f"the classes {', '.join(wanted)} name one twice; name each once")
    return chosen


def part_of(name: str) -> str:
    """The part that a folder or column means: "Train", "training_set" and "train2017" are one.

    It is empty for other words.
    """
    word = re.sub(r"[^a-z]", "", name.lower())
    word = re.sub(r"(set|split|data|images)$", "", word)
    return next((part for part, synonyms in PARTS.items() if word in synonyms), "")


def read_folder(root: Path) -> Source:
    """The photos of class folders, or of folders of those that are called like parts of a split.

    As long as only one sub-folder has images, and those in sub-folders of its own, it is read
    instead. Files that are left out are counted in one line on standard error.

    :raises ValueError: on a folder that is not there or can't be read, a class folder without
        images, two folders for one part, or sub-folders that can't be classes.
    """
    images = {name: list_images(root / name) for name in _subfolders(root)}
    filled = [name for name, found in images.items() if found]
    nested = [name for name in filled if any(path.parent.parent != root for path in images[name])]
    if len(filled) == 1 and filled == nested:
        return read_folder(root / nested[0])
    parts: dict[str, str] = {}
    for name in nested:
        part = part_of(name)
        if part and parts.setdefault(part, name) != name:
            raise ValueError(
                f"{printable(root)} has {parts[part]}/ and {name}/, which both are {part} images; "
                "keep one"
            )
    photos = _class_photos(root, sum(images.values(), []), "") if not parts else []
    for part, name in parts.items():
        photos += _class_photos(root / name, images[name], part)
    left_out = sorted({*walk(root)} - {path for path, *_ in photos})
    if left_out:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in left_out).most_common(4)
        counts = ", ".join(f"{kind} {number}" for kind, number in kinds)
        note(f"{root}: left out are {len(left_out)} files ({counts}), such as {left_out[0]}")
    return source_of(printable(root), photos)


def list_images(folder: str | Path) -> list[Path]:
    """The image files below a folder and what it links to, sorted.

    Left out are hidden files and folders, and what servers and systems leave behind.

    :raises ValueError: if a folder below can't be listed.
    """
    return sorted(path for path in walk(Path(folder)) if path.suffix.lower() in SUFFIXES)


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder and what it links to, but no linked folder twice."""
    seen = {*folder.resolve().parents}
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_unlisted):
        real = Path(place).resolve()
        if real in seen:  # a link that goes round in circles
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not _hidden(name)]
        yield from (Path(place, name) for name in files if not _hidden(name))


def _class_photos(base: Path, images: list[Path], part: str) -> list[tuple[Path, str, str]]:
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
    empty = {*_subfolders(base)} - inside.keys()
    if empty and part in ("", "train"):
        raise ValueError(
            f"the class {min(empty)!r} has no images in {printable(base)}; add some or remove it"
        )
    return [(p, composed(tail[0]), part) for p, tail in zip(images, tails) if len(tail) > 1]


def _subfolders(root: Path) -> list[str]:
    _, folders, _ = next(os.walk(root, onerror=_unlisted))
    return sorted(name for name in folders if not _hidden(name))


def _some(names: Iterable[str]) -> str:
    return ", ".join(printable(name) for name in sorted(names)[:4])


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in LITTER


def _unlisted(error: OSError) -> NoReturn:
    raise ValueError(f"can't list the folder {printable(error.filename)}: {error.strerror}")
