"""A CSV or JSON file of photos and labels as train, validation and test images; and a file of class names."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..messages import printable
from .folders import SPLITS, chosen_classes, class_names, draw_splits, readable
from .images import FolderImages

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
HEADS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "photo"),
    "label": ("class_name", "classname", "label", "class", "category", "species", "target"),
    "split": ("split", "subset", "set", "part"),
}
NAME_HEADS = {
    "folder": ("folder", "label", "class", "id", "wnid", "key"),
    "name": ("name", "class_name", "classname", "class name"),
}
Record = tuple[str, dict]  # where it stands, for messages; what it says


def labelled_splits(
    file: str | Path,
    *,
    classes: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    skip_corrupt: bool = False,
) -> tuple[tuple[str, ...], dict[str, FolderImages]]:
    """Class names and the images of the splits "train", "val" and "test", as :func:`~sotglp_core.data.folders.folder_splits`.

    The file is CSV (or semicolons, tabs) with a header, a JSON list of objects or an object of path: label, or JSON lines. Columns: a path
    below the file's own folder, a label and, if the file says so itself, a split; without one, the images are split by the same fixed draw
    as folders are.

    :param classes: labels to use; None: all. Rows of other labels are left out.
    :param names: label -> class name; None: the labels in plain words.
    :param skip_corrupt: leave out, with a line on standard error, what can't be read; without it a missing file is an error at once.
    :raises ValueError: naming the line, on a file that can't be parsed, a missing column or value, a path that leads out of the folder,
        is listed twice or leads nowhere, or a split or label that is not known.
    """
    file = Path(file)
    rows = [_row(where, record, file) for where, record in _records(file)]
    seen: dict[str, str] = {}
    for where, path, _, _ in rows:
        if path in seen:
            raise ValueError(
                f"{where}: {printable(path)} is listed twice, first in {seen[path].rpartition(', ')[2]}; list it once"
            )
        seen[path] = where
        if not skip_corrupt and not os.path.isfile(file.parent / path):
            raise ValueError(
                f"{where}: there is no file {printable(path)} beside {printable(file.name)}; mend the path, or pass --skip-corrupt"
            )
    labels = chosen_classes(sorted({row[2] for row in rows}), classes, file, kind="label")
    tidy, number = class_names(labels, names), {label: i for i, label in enumerate(labels)}
    kept = [row for row in rows if row[2] in number]

    def images(split: str | None) -> FolderImages:
        own = [row for row in kept if row[3] == split]
        found = FolderImages([file.parent / row[1] for row in own], [number[row[2]] for row in own])
        return readable(found) if skip_corrupt else found

    given = {row[3] for row in rows}
    if given == {None}:
        return tidy, draw_splits(images(None), len(tidy))
    if None in given:
        raise ValueError(
            f"{next(row[0] for row in rows if row[3] is None)}: this line has no split, others have; fill it in"
        )
    if absent := {"train", "test"} - given:
        raise ValueError(
            f"{printable(file)} has no line of the split {min(absent)!r}; add some, or leave out the column to have it drawn"
        )
    return tidy, {split: images(split) for split in SPLITS}


def read_names(file: str | Path) -> dict[str, str]:
    """Class folder (or label) -> class name: a JSON object, or a CSV with the columns folder and name.

    :raises ValueError: naming the line that is wrong.
    """
    names: dict[str, str] = {}
    file = Path(file)
    content = _json(file, _text(file)) if file.suffix.lower() == ".json" else None
    records = (
        content.items()
        if isinstance(content, dict)
        else (
            (_value(where, record, NAME_HEADS, "folder"), _value(where, record, NAME_HEADS, "name"))
            for where, record in _records(file)
        )
    )
    for folder, name in records:
        if not isinstance(name, str) or not name.strip() or folder in names:
            raise ValueError(f"{printable(file)}: {folder!r} needs one class name, a text")
        names[str(folder)] = name
    return names


def _records(file: Path) -> list[Record]:
    text, suffix = _text(file), file.suffix.lower()
    try:
        if suffix == ".json":
            content = _json(file, text)
            if isinstance(content, dict):
                content = [{"path": path, "label": label} for path, label in content.items()]
            records = [
                (f"entry {i}", record)
                for i, record in enumerate(content if isinstance(content, list) else (), 1)
            ]
        elif suffix in (".jsonl", ".ndjson"):
            lines = [
                (f"line {i}", line) for i, line in enumerate(text.split("\n"), 1) if line.strip()
            ]
            records = [(where, _json(f"{printable(file)}, {where}", line)) for where, line in lines]
        else:
            head = text.partition("\n")[0]
            reader = csv.DictReader(
                io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True
            )
            records = [(f"line {reader.line_num}", record) for record in reader]
    except csv.Error as error:
        raise ValueError(f"{printable(file)} is not CSV: {error}") from None
    for where, record in records or [("nothing", None)]:
        if not isinstance(record, dict) or None in record:
            more = ", and no more columns than the header" * bool(record)
            raise ValueError(f"{printable(file)}, {where}: it needs a path and a label{more}")
    return [
        (f"{printable(file)}, {where}", {str(k).strip().lower(): v for k, v in record.items()})
        for where, record in records
    ]


def _row(where: str, record: dict, file: Path) -> tuple[str, str, str, str | None]:
    path, label = (_value(where, record, HEADS, column) or "" for column in ("path", "label"))
    inside = os.path.normpath(
        os.path.relpath(path, file.parent.absolute()) if os.path.isabs(path) else path
    )
    if inside.split(os.sep)[0] == ".." or "\0" in path:
        raise ValueError(
            f"{where}: {printable(path)} is outside the folder of {printable(file.name)}; put the file above its photos"
        )
    split = _value(where, record, HEADS, "split", needed=False)
    known = next(
        (name for name, synonyms in SPLITS.items() if split and split.lower() in synonyms), None
    )
    if split and known is None:
        raise ValueError(f"{where}: the split is {split!r}; it can be train, val or test")
    return where, inside, label, known


def _value(
    where: str,
    record: dict,
    heads: Mapping[str, Sequence[str]],
    column: str,
    *,
    needed: bool = True,
) -> str | None:
    """A record's text under a column's name or one of its synonyms; a number is a text, too."""
    key = next((head for head in heads[column] if head in record), None)
    value = record.get(key)
    text = (
        str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    )
    if text and text.lower() != "nan":
        return text
    if needed or (key and value not in (None, "")):
        reason = (
            f"the {key} is {value!r:.80}"
            if key
            else f"there is no column {column!r} (or {', '.join(heads[column][1:4])})"
        )
        raise ValueError(f"{where}: {reason}; it needs a {column}")
    return None


def _text(file: Path) -> str:
    try:
        if not file.is_file():
            raise ValueError("there is no such file")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{printable(file)} is not UTF-8 text; save it as that") from None
    except (OSError, ValueError) as error:
        raise ValueError(
            f"can't read {printable(file)}: {getattr(error, 'strerror', None) or error}"
        ) from None


def _json(where: str | Path, text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{printable(where)} is not JSON: {' '.join(str(error).split())[:120]}"
        ) from None


def _unique(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has one key twice")
    return found
