"""CSV and JSON files: photos and labels, CoOp's split files, and what classes are called."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..messages import printable
from .folders import PARTS, Source, part_of, source_of
from .names import CODE, composed, plain_words

HEADS = {
    "path": "path|file([_ ]?name|path)?|image([_ ]?path)?|photo",
    "label": "class([_ ]?name)?|label|category|species|target",
    "split": "split|subset|set|part",
    "folder": "folder|label|class|id|wnid|key",
    "name": "name|class[_ ]?name",
}


def read_list(file: Path, base: Path | None = None) -> Source:
    """The photos that a file lists.

    The file is CSV (or semicolons, tabs) with a header, a JSON list of objects or an object of
    path: label. Columns: a path, a label and, if the file says so itself, a split. Of several
    columns of labels, one that holds names is taken. Or it is one of CoOp's split files:
    {"train": [[path, label, class name], ...], "val": ..., "test": ...}.

    :param base: the folder that paths start from, and may not leave; None: the file's own.
    :raises ValueError: on a file that can't be parsed, a missing column or value, a path that leads
        out of the folder or is listed twice, or a split or labels that are not what they should be.
    """
    base, said, content = base or file.parent, printable(file), _read(file)
    if isinstance(content, dict) and all(isinstance(content.get(part), list) for part in PARTS):
        return _community(content, base, said)
    return listed(zip(*_columns(content, said, "path", "label", "split")), base, said)


def listed(
    entries: Iterable[Sequence[str]],
    base: Path,
    said: str,
    names: Mapping[str, str] = {},
) -> Source:
    """What entries (path below ``base``, key of the class, split or "") list.

    :param names: key -> class name, in the order of the labels; without them, keys are sorted.
    :raises ValueError: as :func:`read_list`.
    """
    photos: dict[str, dict[Path, str]] = {}
    root = Path(os.path.abspath(base))
    for path, label, split in entries:
        place = Path(os.path.abspath(root / path.replace("\\", "/")))
        key, part = composed(label), part_of(split)
        if root not in place.parents or "\0" in path:
            raise ValueError(f"{said}: the image {printable(path)} lies outside {printable(base)}")
        if split and not part:
            raise ValueError(f"{said}: the split is {split!r}; it can be train, val or test")
        if any(place in files for files in photos.values()):
            raise ValueError(f"{said}: the image {printable(path)} is listed twice")
        if names and key not in names:
            raise ValueError(f"{said}: the class {key!r} is not in the list of classes")
        photos.setdefault(part, {})[place] = key
    return source_of(said, photos, names)


def read_names(file: Path) -> dict[str, str]:
    """Class folder (or label) -> class name: a JSON object, or columns folder and name.

    :raises ValueError: if one is missing, or a folder has two.
    """
    folders, names = _columns(_read(file), printable(file), "folder", "name")
    if len({*folders}) < len(folders):
        raise ValueError(f"{printable(file)} names a folder twice; give each one class name")
    return dict(zip(folders, names))


def read_text(file: Path) -> str:
    """The content of a UTF-8 file; a byte order mark is no part of it.

    :raises ValueError: if it can't be read.
    """
    if not os.path.isfile(file):
        raise ValueError(f"can't read {printable(file)}: there is no such file")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{printable(file)} is not UTF-8 text; save it as that") from None
    except OSError as error:
        raise ValueError(f"can't read {printable(file)}: {error.strerror}") from None


def _read(file: Path) -> Any:
    """What a JSON file holds; of other suffixes, the rows of CSV."""
    text = read_text(file)
    try:
        if file.suffix.lower() == ".json":
            return json.loads(text)
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (csv.Error, ValueError, RecursionError) as error:
        raise ValueError(f"{printable(file)} can't be read as a table: {error}") from None


def _community(content: dict, base: Path, said: str) -> Source:
    entries, labels = [], set()
    for part in PARTS:
        for entry in content[part]:
            match entry:
                case [str(path), int(label), str(name)]:
                    entries.append((path, name, part))
                    labels.add((label, composed(name)))
                case _:
                    raise ValueError(f"{said}: {entry!r:.80} is not [path, label, class name]")
    names = {name: plain_words(name) for _, name in sorted(labels)}
    if sorted(labels) != list(enumerate(names)):
        raise ValueError(
            f"{said}: labels and class names don't belong to each other one by one, as 0, 1, ..."
        )
    return listed(entries, base, said, names)


def _columns(content: Any, said: str, *kinds: str) -> list[list[str]]:
    """The columns of a table; an object has the first kind for keys, the second for values."""
    if isinstance(content, dict):
        content = [dict(zip(kinds, item)) for item in content.items()]
    try:
        rows = [{head.strip().lower(): value for head, value in row.items()} for row in content]
    except (AttributeError, TypeError):  # it holds other things than rows, or columns without head
        rows = []
    if not rows:
        raise ValueError(f"{said} is not a table: each row needs as many columns as the header")
    return [_column(rows, kind, said) for kind in kinds]


def _column(rows: list[dict], kind: str, said: str) -> list[str]:
    """The texts of a column; of several that fit, one that holds names rather than codes."""
    columns = []
    for head in rows[0]:
        if re.fullmatch(HEADS[kind], head):
            columns.append([_text(row.get(head)) for row in rows])
    if not columns:
        if kind == "split":
            return [""] * len(rows)
        raise ValueError(f"{said} has no column {kind!r}")
    column = min(columns, key=lambda texts: all(map(CODE.fullmatch, texts)))
    for number, text in enumerate(column, 1):
        if text.lower() in ("", "nan"):
            raise ValueError(f"{said}, entry {number} has no {kind}")
    return column


def _text(value: Any) -> str:
    return str(value).strip() if type(value) in (str, int) else ""
