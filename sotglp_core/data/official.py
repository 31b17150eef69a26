"""Every dataset's own way of writing down its split, read as rows of image, class key and class name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .catalogue import Dataset
from .folders import list_images

PARTS = ("train", "val", "test")
Row = tuple[
    str, str, str
]  # image below the images' folder, key of its class (its folder, say), class name
Parts = tuple[
    dict[str, list[Row]], str
]  # rows by part, perhaps without "val"; under "classes" their order; and where they were read


def drawn(rows: list[Row], *shares: float) -> list[list[Row]]:
    """round(share * n) rows of each class for every share, then the rest: a fixed draw, in the order of a digest of the path."""
    by_class: dict[str, list[Row]] = {}
    for row in rows:
        by_class.setdefault(row[1], []).append(row)
    parts: list[list[Row]] = [[] for _ in range(len(shares) + 1)]
    for own in by_class.values():
        left = sorted(own, key=lambda row: hashlib.sha256(row[0].encode(errors="replace")).digest())
        for part, share in zip(parts, shares):
            cut = round(share * len(own))
            part += sorted(left[:cut])
            left = left[cut:]
        parts[-1] += sorted(left)
    return parts


def _lines(path: Path) -> list[str]:
    try:
        return [
            line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} can't be read: {error}") from None


def _pairs(path: Path, parts: int = 2) -> Iterable[list[str]]:
    """The lines' first ``parts`` words, the last of them with all that follows."""
    for line in _lines(path):
        words = line.split(" ", parts - 1)
        if len(words) < parts:
            raise ValueError(f"{path}: the line {line[:60]!r} has fewer than {parts} words")
        yield words


def class_folders(base: Path, ignored: Sequence[str] = ()) -> list[str]:
    return sorted(
        p.name
        for p in base.iterdir()
        if p.is_dir() and not p.name.startswith(".") and p.name not in ignored
    )


def _folders(row: Dataset, folder: Path) -> Parts:
    base = folder / row.images
    rows = [
        (path.relative_to(base).as_posix(), name, row.rename.get(name, name))
        for name in class_folders(base, row.ignored)
        for path in list_images(base / name)
    ]
    return dict(
        zip(PARTS, drawn(rows, 0.5, 0.2))
    ), "a fixed draw of 50 % train, 20 % validation, 30 % test, for want of an official split"


def imagenet_names(path: Path, rename: Mapping[str, str] | None = None) -> dict[str, str]:
    """WordNet id -> class name from CoOp's classnames.txt, in its order; of two classes with one name, the one in ``rename`` is renamed."""
    names = dict(_pairs(path))
    double = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {
        key: (rename or {}).get(key, name) if name in double else name
        for key, name in names.items()
    }


def _imagenet(row: Dataset, folder: Path) -> Parts:
    names, base = imagenet_names(folder / "classnames.txt", row.rename), folder / row.images
    parts: dict[str, list[Row]] = {"val": []}
    for part, place in (("train", "train"), ("test", "val")):
        if not (base / place).is_dir():
            raise ValueError(
                f"there is no folder {base / place}; unpack ImageNet's {place} images there, a folder for each class"
            )
        found = class_folders(base / place)
        if foreign := [f for f in found if f not in names]:
            raise ValueError(
                f"{base / place / foreign[0]} is no class of classnames.txt; its folders are called by WordNet ids"
            )
        parts[part] = [
            (path.relative_to(base).as_posix(), key, names[key])
            for key in found
            for path in list_images(base / place / key)
        ]
    return parts, "ImageNet's own training images; its validation images are the test"


def _pets(row: Dataset, folder: Path) -> Parts:
    def part(name: str) -> Iterator[Row]:
        for image, *_ in _pairs(folder / f"annotations/{name}.txt"):
            breed = image.rpartition("_")[0].lower()
            yield f"{image}.jpg", breed, breed

    return {
        "train": list(part("trainval")),
        "test": list(part("test")),
    }, "the official split, annotations/trainval.txt and test.txt"


def _food(row: Dataset, folder: Path) -> Parts:
    parts = {
        part: [
            (f"{line}.jpg", line.split("/")[0], line.split("/")[0])
            for line in _lines(folder / f"meta/{part}.txt")
        ]
        for part in ("train", "test")
    }
    return parts, "the official split, meta/train.txt and test.txt"


def _dtd(row: Dataset, folder: Path) -> Parts:
    parts = {
        part: [
            (line, line.split("/")[0], line.split("/")[0])
            for line in _lines(folder / f"labels/{part}1.txt")
        ]
        for part in PARTS
    }
    return parts, "the official split 1, labels/train1.txt, val1.txt and test1.txt"


def _aircraft(row: Dataset, folder: Path) -> Parts:
    parts = {
        part: [
            (f"{image}.jpg", name, name)
            for image, name in _pairs(folder / f"images_variant_{part}.txt")
        ]
        for part in PARTS
    }
    parts["classes"] = [("", name, name) for name in _lines(folder / "variants.txt")]
    return parts, "the official split of the variants, images_variant_*.txt"


def _sun(row: Dataset, folder: Path) -> Parts:
    def rows(lines: Iterable[str]) -> Iterator[Row]:
        for line in lines:
            key = line.rpartition("/")[0]
            yield line.lstrip("/"), key, " ".join(reversed(key.split("/")[2:]))

    parts = {
        part: list(rows(_lines(folder / file)))
        for part, file in (("train", "Training_01.txt"), ("test", "Testing_01.txt"))
    }
    parts["classes"] = list(rows(f"{key}/" for key in _lines(folder / "ClassName.txt")))
    return parts, "the official partition 1, Training_01.txt and Testing_01.txt"


def _ucf(row: Dataset, folder: Path) -> Parts:
    def rows(lines: Iterable[str]) -> Iterator[Row]:
        for line in lines:
            action, _, file = line.split(" ")[0].partition("/")
            name = "_".join(re.findall("[A-Z][^A-Z]*", action))
            yield f"{name}/{file.removesuffix('.avi')}.jpg", action, name

    lists = folder / "ucfTrainTestlist"
    parts = {part: list(rows(_lines(lists / f"{part}list01.txt"))) for part in ("train", "test")}
    parts["classes"] = list(rows(action for _, action in _pairs(lists / "classInd.txt")))
    return parts, "the official split 1, ucfTrainTestlist"


def _matlab(path: Path) -> dict:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ValueError(
            f"reading {path} needs SciPy: pip install scipy; or put the community's split file beside it"
        ) from None
    try:
        return loadmat(path, squeeze_me=True)
    except Exception as error:
        raise ValueError(
            f"{path} can't be read as a MATLAB file: {str(error).splitlines()[0]}"
        ) from None


def _flowers(row: Dataset, folder: Path) -> Parts:
    names = folder / "cat_to_name.json"
    if not names.is_file():
        raise ValueError(
            f"{folder} has neither {row.split} nor the flowers' names, cat_to_name.json; CoOp's DATASETS.md links both"
        )
    try:
        name_of = json.loads(names.read_text(encoding="utf-8"))
        labels, sets = _matlab(folder / "imagelabels.mat")["labels"], _matlab(folder / "setid.mat")
        parts = {
            part: [
                (f"image_{i:05}.jpg", f"{labels[i - 1]:03}", name_of[str(labels[i - 1])])
                for i in sets[key].tolist()
            ]
            for part, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid"))
        }
    except (KeyError, IndexError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{folder}: imagelabels.mat, setid.mat and cat_to_name.json don't fit each other ({error!r})"
        ) from None
    return parts, "the official split, setid.mat (10 training images a class)"


def _cars(row: Dataset, folder: Path) -> Parts:
    def part(file: str, place: str) -> Iterator[Row]:
        for entry in _matlab(folder / file)["annotations"]:
            number = int(entry["class"])
            model, _, year = str(models[number - 1]).rpartition(" ")
            yield f"{place}/{entry['fname']}", f"{number:03}", f"{year} {model}"

    try:
        models = _matlab(folder / row.files[0])["class_names"]
        parts = {
            "train": list(part(row.files[1], "cars_train")),
            "test": list(part(row.files[2], "cars_test")),
        }
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"{folder}: the .mat files are not the Stanford Cars annotations ({error!r})"
        ) from None
    return parts, "the official split of the devkit"


OFFICIAL = {
    "folders": _folders,
    "imagenet": _imagenet,
    "pets": _pets,
    "food": _food,
    "dtd": _dtd,
    "aircraft": _aircraft,
    "sun": _sun,
    "ucf": _ucf,
    "flowers": _flowers,
    "cars": _cars,
}
