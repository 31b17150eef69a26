"""How the answers of ``sotglp predict`` are written: a table, CSV, or JSON lines."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ..messages import printable
from ..workbench.predict import Answer
from .common import console

Known = bool | None  # None: there is no threshold to tell by


class Format(StrEnum):
    table = "table"
    csv = "csv"
    jsonl = "jsonl"


Write = Callable[[Answer, Known], Any]


@contextmanager
def _jsonl(stream: TextIO, score: str, top: int) -> Iterator[Write]:
    def write(answer: Answer, known: Known) -> None:
        row = {
            "photo": str(answer.photo),
            "label": answer.labels[0],
            "probability": answer.probabilities[0],
            _key(score): answer.score,
            "known": known,
            "probabilities": dict(zip(answer.labels, answer.probabilities)),
        }
        print(json.dumps(row), file=stream)

    yield write


@contextmanager
def _csv(stream: TextIO, score: str, top: int) -> Iterator[Write]:
    rows = csv.writer(stream, lineterminator="\n")
    others = [f"{name}_{n}" for n in range(2, top + 1) for name in ("label", "probability")]
    rows.writerow(["photo", "label", "probability", _key(score), "known", *others])

    def write(answer: Answer, known: Known) -> None:
        first, *rest = zip(answer.labels, answer.probabilities)
        told = "" if known is None else str(known).lower()
        rows.writerow(
            [str(answer.photo), *first, answer.score, told, *(x for pair in rest for x in pair)]
        )

    yield write


@contextmanager
def _table(stream: TextIO, score: str, top: int) -> Iterator[Write]:
    table = Table(
        Column("photo", overflow="fold"),
        "label",
        Column("probability", justify="right"),
        Column(score, justify="right"),
        "",
    )

    def write(answer: Answer, known: Known) -> None:
        first, *rest = zip(
            map(escape, map(printable, answer.labels)), (f"{p:.1%}" for p in answer.probabilities)
        )
        table.add_row(
            escape(printable(answer.photo)),
            *first,
            f"{answer.score:.5g}",
            "" if known is None else "known" if known else "unknown",
        )
        for others in rest:
            table.add_row("", *others)

    yield write
    (console if stream is sys.stdout else Console(file=stream, width=120)).print(table)


def _key(score: str) -> str:
    return score.lower().replace("-", "_")


WRITERS = {Format.table: _table, Format.csv: _csv, Format.jsonl: _jsonl}
