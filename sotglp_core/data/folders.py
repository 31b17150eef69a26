"""Folders of photos: a sub-folder for each class, or train/, val/ and test/ of such."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from ..messages import did_you_mean, note, printable
from .images import SUFFIXES, FolderImages, Images
from .names import composed, same

PARTS = ("train", "val", "test")
PART = re.compile(
    "(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id|idation)?|dev)|(?P<test>test(?:ing)?))"
    "(?:set|split|data|images)?"
)
LITTER = {"@eaDir", "__MACOSX", "Thumbs.db", "desktop.ini", "#recycle", "$RECYCLE.BIN"}


class Source(NamedTuple):
    """Labelled images by part, and what their source calls the classes."""

    said: str  # where it was read, for messages
    keys: list[str]  # folders, labels or WordNet ids, in the order of the labels
    parts: Mapping[str, Images]  # of PARTS; or "" alone, where the source does not say
    names: Mapping[str, str] = {}  # key -> class name, if the source has any
    template: str | None = None  # its own prompt


def source_of(
    said: str, photos: Mapping[str, Mapping[Path, str]], names: Mapping[str, str] = {}
) -> Source:
    """Image files with the keys of their classes.

    :param photos: part -> file -> key; "" alone, or some of PARTS.
    :param names: key -> class name, in the order of the labels; without them, keys are sorted.
    """
    if "" not in photos:
        photos = {part: photos.get(part, {}) for part in PARTS}
    keys = [*(names or sorted({key for files in photos.values() for key in files.values()}))]
    label = {key: i for i, key in enumerate(keys)}
    parts = {
        part: FolderImages([*files], [label[key] for key in files.values()])
        for part, files in photos.items()
    }
    return Source(said, keys, parts, names)


def chosen_keys(wanted: Sequence[str], source: Source) -> list[str]:
    """The keys of the wanted classes, each given by its key or its name.

    :param wanted: or one word alone: "base" for the first half of the classes (of an odd number,
        one more), "new" for the others, as in CoCoOp.
    :raises ValueError: on a class that is not there.
    """
    keys, names = source.keys, source.names
    half = (len(keys) + 1) // 2
    if list(wanted) in (["base"], ["new"]):
        return keys[:half] if wanted[0] == "base" else keys[half:]
    found = {same(word): key for key in keys for word in (names.get(key, key), key)}
    for name in wanted:
        if same(name) not in found:
            near = did_you_mean(name, keys) or f"; it has {_some(keys)} ..."
            raise ValueError(f"{source.said} has no class {name!r}{near}")
    return [found[same(name)] for name in wanted]


def part_of(name: str) -> str:
    """The part that a folder or column means: "Train", "training_set" and "train2017" are one.

    It is empty for other words.
    """
    match = PART.fullmatch(re.sub("[^a-z]", "", name.lower()))
    return (match and match.lastgroup) or ""


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
    if nested and filled == nested[:1]:
        return read_folder(root / nested[0])
    parts: dict[str, str] = {}
    for name in nested:
        part = part_of(name)
        if part and parts.setdefault(part, name) != name:
            raise ValueError(
                f"{printable(root)} has {parts[part]}/ and {name}/, which both are {part} images; "
                "keep one"
            )
    photos = {part: _class_photos(root / name, images[name], part) for part, name in parts.items()}
    if not photos:
        photos = {"": _class_photos(root, sum(images.values(), []), "")}
    left_out = sorted({*walk(root)}.difference(*photos.values()))
    if left_out:
        note(f"{root}: left out are {len(left_out)} files, such as {left_out[0]}")
    return source_of(printable(root), photos)


def list_images(folder: Path) -> list[Path]:
    """The image files below a folder and what it links to, sorted.

    Left out are hidden files and folders, and what servers and systems leave behind.

    :raises ValueError: if a folder below can't be listed.
    """
    return sorted(path for path in walk(folder) if path.suffix.lower() in SUFFIXES)


def by_subfolder(base: Path) -> dict[Path, str]:
    """The image files below a folder, each with the first folder below ``base`` that it is in."""
    return {path: path.relative_to(base).parts[0] for path in list_images(base)}


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder and what it links to, but no linked folder twice."""
    seen = {*folder.resolve().parents}
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_unlisted):
        real = Path(place).resolve()
        if real in seen:  # a link that goes round in circles
            folders.clear()
            continue
        seen.add(real)
        folders[:] = _visible(folders)
        yield from (Path(place, name) for name in _visible(files))


def _class_photos(base: Path, images: list[Path], part: str) -> dict[Path, str]:
    """The images in the sub-folders of ``base``, each of which is a class.

    :raises ValueError: if they are no classes, or one is empty.
    """
    places = {path: path.relative_to(base).parent.parts for path in images}
    inside: dict[str, set[str]] = defaultdict(set)  # class -> its sub-folders
    for key, *below in filter(None, places.values()):
        inside[key].update(below[:1])
    common = set.intersection(*inside.values()) if inside else set()
    if len(common) > 1:
        raise ValueError(
            f"{printable(base)}: {_some(inside)} all have the folders {_some(common)}, so it is "
            "not clear what the classes are; sort photos as CLASS/PHOTO, or train/CLASS/PHOTO"
        )
    for key, folders in inside.items():
        if twice := folders & inside.keys():
            raise ValueError(
                f"{printable(base / key)} has a folder {min(twice)!r}, which is a class, too; "
                "move it, or remove it if it is a copy"
            )
    empty = {*_subfolders(base)} - inside.keys()
    if empty and part in ("", "train"):
        raise ValueError(
            f"the class {min(empty)!r} has no images in {printable(base)}; add some or remove it"
        )
    return {path: composed(place[0]) for path, place in places.items() if place}


def _subfolders(root: Path) -> list[str]:
    _, folders, _ = next(os.walk(root, onerror=_unlisted))
    return sorted(_visible(folders))


def _some(names: Iterable[str]) -> str:
    return ", ".join(printable(name) for name in sorted(names)[:4])


def _visible(names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith(".") and name not in LITTER]


def _unlisted(error: OSError) -> NoReturn:
    raise ValueError(f"can't list the folder {printable(error.filename)}: {error.strerror}")
