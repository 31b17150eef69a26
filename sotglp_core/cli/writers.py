"""How the answers of ``sotglp predict`` are written: a table, CSV, or JSON lines."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.markup import escape

from ..messages import printable
from .common import console, show_table

Format = Literal["table", "csv", "jsonl"]
# photo, label, probability, the score, known (None: there is no threshold to tell by), and the
# probabilities of the most probable classes
Rows = Iterable[dict]


def write(form: Format, rows: Rows, out: Path | None, score: str, top: int) -> None:
    """The answers in a form, each as soon as it is there; of the table's, all at the end.

    :param out: the file, there when all of it is; None: standard output.
    :param score: the name of the answers' score.
    :param top: how many classes an answer names.
    """
    with _stream(out, form) as stream:
        if form == "table":
            _write_table(rows, stream, score)
        elif form == "csv":
            _write_csv(rows, stream, score, top)
        else:
            for row in rows:
                print(json.dumps(row), file=stream)


@contextmanager
def _stream(out: Path | None, form: Format) -> Iterator[TextIO]:
    """Where to write; names of files keep all their bytes."""
    from ..storage import atomic_path

    text: Any = {"encoding": "utf-8", "errors": "surrogateescape"}
    if out:
        with atomic_path(out) as temporary, open(temporary, "w", newline="", **text) as file:
            yield file
    else:
        if form != "table":
            sys.stdout.reconfigure(**text)  # type: ignore
        yield sys.stdout


def _write_csv(rows: Rows, stream: TextIO, score: str, top: int) -> None:
    write_line = csv.writer(stream, lineterminator="\n").writerow
    others = [f"{name}_{n}" for n in range(2, top + 1) for name in ("label", "probability")]
    write_line(["photo", "label", "probability", score_key(score), "known", *others])
    for row in rows:
        *cells, known, probabilities = row.values()
        _, *more = probabilities.items()
        write_line([*cells, "" if known is None else str(known).lower(), *chain(*more)])


def _write_table(rows: Rows, stream: TextIO, score: str) -> None:
    cells = []
    for row in rows:
        photo, value = escape(printable(row["photo"])), f"{row[score_key(score)]:.5g}"
        verdict = {None: "", True: "known", False: "unknown"}[row["known"]]
        for label, probability in row["probabilities"].items():
            label = escape(printable(label))
            cells.append([photo, label, f"{probability:.1%}", value, verdict])
            photo = value = verdict = ""
    numbers = ("probability", score)
    to = console if stream is sys.stdout else Console(file=stream, width=120)
    show_table(["photo", "label", *numbers, ""], cells, right=numbers, to=to)


def score_key(score: str) -> str:
    """The score's name in CSV and JSON."""
    return score.lower().replace("-", "_")
