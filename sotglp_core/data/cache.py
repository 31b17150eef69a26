"""The feature cache's files: where they are, what they hold, and room again."""

from __future__ import annotations

import hashlib
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..storage import WriteError, map_rows, save_rows

ENTRY = re.compile(
    r"(?P<unfinished>\.)?(?:(?P<backbone>[\w.-]+)-)?[0-9a-f]{32}\.(?:npy|safetensors)"
    r"(?(unfinished)\..*\.tmp)"
)
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
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SOTGLP_CACHE") or Path(base) / "sotglp")


def cached_rows(
    backbone: str,
    depends_on: object,
    row: np.dtype,
    number: int,
    batches: Callable[[], Iterator[np.ndarray]],
) -> np.ndarray | None:
    """The rows of an entry, mapped into memory; where it is absent or damaged, it is made.

    :param depends_on: all that the rows depend on.
    :param batches: makes them.
    :return: (number,) rows; None if they can't be kept.
    """
    key = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:32]
    path = cache_folder() / (re.sub(r"[^\w.-]", "_", backbone) + f"-{key}.npy")
    for make in (True, False):
        with suppress(ValueError):
            rows = map_rows(path)
            if rows.dtype == row and rows.shape == (number,):
                return rows
        if make:
            clear_cache(older_than=1, unfinished=True)
            try:
                save_rows(path, row, number, batches())
            except WriteError as error:  # features that can't be kept are still features
                warnings.warn(
                    f"the features are not kept on disk: {error}; "
                    "set SOTGLP_CACHE to a folder with room",
                    stacklevel=3,
                )
                break
    return None


def cache_entries() -> list[Entry]:
    """What the cache holds, newest first; files that are not its own are left out."""
    entries = []
    for path in cache_folder().glob("*"):
        match = ENTRY.fullmatch(path.name)
        if match is None:
            continue
        images, name = None, match["backbone"] or "older version"
        with suppress(Exception):  # a damaged header fails in many ways
            images = len(np.lib.format.open_memmap(path, mode="r"))
        if match["unfinished"]:
            images, name = None, "unfinished"
        with suppress(OSError):  # another process has just removed it
            entries.append(Entry(path, name, images, path.stat().st_size, path.stat().st_mtime))
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
