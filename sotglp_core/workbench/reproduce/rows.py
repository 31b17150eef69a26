"""Rows of a table that are kept, a file each, so that measuring can stop and go on."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...storage import write_text

MEASURED = Path(__file__).parents[1] / "measured"  # what the book shows


def about(weights: str, **protocol: str | int | list[int]) -> dict:
    """What a row's numbers depend on beside its settings."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "weights": weights,
        **protocol,
    }


def row_path(folder: Path, table: str, label: str) -> Path:
    return folder / table / f"{label.replace(', ', '-').replace(' ', '_')}.json"


def is_kept(folder: Path, table: str, label: str, facts: dict) -> bool:
    """Whether the row is there and was measured with these versions, weights and seeds."""
    try:
        return (
            json.loads(row_path(folder, table, label).read_text(encoding="utf-8"))["about"] == facts
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def kept(folder: Path, table: str, label: str, facts: dict, measure: Callable[[], Any]) -> Any:
    """The row's runs, read or else measured and written."""
    path = row_path(folder, table, label)
    if is_kept(folder, table, label, facts):
        return json.loads(path.read_text(encoding="utf-8"))["runs"]
    start = time.monotonic()
    runs = measure()
    row = {
        "label": label,
        "about": facts,
        "seconds": round(time.monotonic() - start, 1),
        "runs": runs,
    }
    write_text(path, json.dumps(row, indent=1))
    return runs


def read_rows(folder: Path, table: str) -> dict[str, list[dict]]:
    """Label -> runs of all rows of a table that are there."""
    rows = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / table).glob("*.json"))
    )
    return {row["label"]: row["runs"] for row in rows}
