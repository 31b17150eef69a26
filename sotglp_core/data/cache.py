"""The feature cache's files: where they are, what they hold, and room again."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..storage import map_rows

ENTRY = re.compile(r"(?:(?P<backbone>[\w.-]+)-)?[0-9a-f]{32}\.(?:npy|safetensors)")
UNFINISHED = re.compile(rf"\.{ENTRY.pattern}\..*\.tmp")
DAY = 86_400
BEING_WRITTEN = 600  # seconds for which an unfinished file may be waiting for its next batch


class Entry(NamedTuple):
    """One file of the feature cache."""

    path: Path
    backbone: str
    images: int | None  # with their views; None: unfinished, of an older version, or damaged
    bytes: int
    modified: float  # seconds since 1970


def cache_folder() -> Path:
    """Where features are kept: $SOTGLP_CACHE, or sotglp in the user's cache folder."""
    if own := os.environ.get("SOTGLP_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sotglp"


def cached_rows(path: Path, row: np.dtype, number: int) -> np.ndarray | None:
    """The rows of an entry, mapped into memory; None if it is absent, damaged or of other shape."""
    with suppress(ValueError):
        rows = map_rows(path)
        return rows if rows.dtype == row and rows.shape == (number,) else None
    return None


def cache_entries() -> list[Entry]:
    """What the cache holds, newest first; files that are not its own are left out."""
    entries = []
    for path in cache_folder().glob("*"):
        entry = ENTRY.fullmatch(path.name)
        unfinished = UNFINISHED.fullmatch(path.name)
        if not (entry or unfinished):
            continue
        with suppress(OSError):  # another process has just removed it
            images, found = None, path.stat()
            with suppress(Exception):  # a damaged header fails in many ways
                images = len(np.lib.format.open_memmap(path, mode="r")) if entry else None
            name = (entry["backbone"] or "older version") if entry else "unfinished"
            entries.append(Entry(path, name, images, found.st_size, found.st_mtime))
    return sorted(entries, key=lambda entry: -entry.modified)


def clear_cache(*, older_than: float = 0, unfinished: bool = False) -> tuple[int, int]:
    """Remove entries older than so many days, but no unfinished one that is being written.

    :param unfinished: remove unfinished entries alone.
    :return: how many files, and how many bytes they held.
    """
    freed = []
    for entry in cache_entries():
        partial = entry.backbone == "unfinished"
        oldest = max(older_than * DAY, BEING_WRITTEN if partial else 0)
        if time.time() - entry.modified >= oldest and (partial or not unfinished):
            with suppress(OSError):  # another process was faster, or it is another user's
                entry.path.unlink()
                freed.append(entry.bytes)
    return len(freed), sum(freed)
