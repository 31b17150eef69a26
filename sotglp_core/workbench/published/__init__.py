"""Other people's numbers, quoted with their sources and never measured here."""

from __future__ import annotations

import csv
from importlib.resources import files

TABLES = ("sixteen_shot_accuracy", "average_by_shots", "ood_detection")
WORDS = ("method", "setting", "score", "source")  # columns that are not numbers


def published(table: str) -> list[dict[str, str | float | None]]:
    """The rows of a table of published results, as their authors or the row's ``source`` print them; ViT-B/16 CLIP, in per cent.

    ``sixteen_shot_accuracy``: top-1 on eleven data sets, 16 images a class, and the average of the row. ``average_by_shots``: that average
    at 1 to 16 images a class. ``ood_detection``: ImageNet-1k against iNaturalist, SUN, Places and Textures; FPR95 and AUROC are plain means
    over the four, in-distribution as the positive class.

    :return: column -> value; numbers are floats, None where none is known.
    :raises ValueError: on an unknown table.
    """
    if table not in TABLES:
        raise ValueError(
            f"there is no table of published numbers {table!r}; there are {', '.join(TABLES)}"
        )
    text = (files(__package__) / f"{table}.csv").read_text(encoding="utf-8")
    return [
        {
            column: value if column in WORDS else float(value) if value else None
            for column, value in row.items()
        }
        for row in csv.DictReader(text.splitlines())
    ]
