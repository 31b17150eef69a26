"""Other people's results, quoted with their sources and never measured here."""

import csv
from pathlib import Path

FILES = {path.stem: path for path in Path(__file__).parent.glob("*.csv")}
TEXT = ("method", "preset", "setting", "score", "source")  # columns that are not numbers


def published(table: str) -> list[dict]:
    """The rows of a table of published results, ViT-B/16 CLIP, in per cent.

    ``sixteen_shot_accuracy``: top-1 on eleven datasets, 16 images for each class, and the average
    of the row. ``average_by_shots``: that average at 1 to 16 images for each class.
    ``ood_detection``: ImageNet-1k against iNaturalist, SUN, Places and Textures; FPR95 and AUROC
    are plain means over the four, in-distribution as the positive class. ``preset`` is the
    counterpart among this package's presets, if there is one: PLOT++, for instance, is another
    method than PLOT.

    :return: column -> value; numbers are floats, None where none is known.
    :raises ValueError: on an unknown table.
    """
    if table not in FILES:
        raise ValueError(f"there is no published table {table!r}; there are {', '.join(FILES)}")
    rows = list(csv.DictReader(FILES[table].read_text(encoding="utf-8").splitlines()))
    for row in rows:
        for column in set(row) - set(TEXT):
            row[column] = float(row[column]) if row[column] else None
    return rows
