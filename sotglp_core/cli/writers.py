"""How the answers of ``sotglp predict`` are written: a table, CSV, or JSON lines."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ..messages import printable
from .common import console

if TYPE_CHECKING:  # which imports torch
    from ..workbench.predict import Answer


class Format(StrEnum):
    table = "table"
    csv = "csv"
    jsonl = "jsonl"


# answers, and whether each is known; None: there is no threshold to tell by
Answers = Iterable[tuple["Answer", bool | None]]


def write_json(answers: Answers, stream: TextIO, score: str, top: int) -> None:
    """A line of JSON for each answer.

    :param score: the name of the answers' score.
    :param top: how many classes an answer names.
    """
    for answer, known in answers:
        row = {
            "photo": str(answer.path),
            "label": answer.labels[0],
            "probability": answer.probabilities[0],
            score.lower().replace("-", "_"): answer.score,
            "known": known,
            "probabilities": dict(zip(answer.labels, answer.probabilities)),
        }
        print(json.dumps(row), file=stream)


def write_csv(answers: Answers, stream: TextIO, score: str, top: int) -> None:
    """A header, and a line for each answer."""
    write = csv.writer(stream, lineterminator="\n").writerow
    others = [f"{name}_{n}" for n in range(2, top + 1) for name in ("label", "probability")]
    column = score.lower().replace("-", "_")
    write(["photo", "label", "probability", column, "known", *others])
    for answer, known in answers:
        first, *more = zip(answer.labels, answer.probabilities)
        verdict = "" if known is None else str(known).lower()
        write([answer.path, *first, answer.score, verdict, *chain(*more)])


def write_table(answers: Answers, stream: TextIO, score: str, top: int) -> None:
    """A table, once all answers are there."""
    right = [Column(name, justify="right") for name in ("probability", score)]
    table = Table(Column("photo", overflow="fold"), "label", *right, "")
    for answer, known in answers:
        path = escape(printable(answer.path))
        verdict = {None: "", True: "known", False: "unknown"}[known]
        for label, probability in zip(answer.labels, answer.probabilities):
            cells = path, escape(printable(label)), f"{probability:.1%}"
            table.add_row(*cells, f"{answer.score:.5g}" if path else "", verdict)
            path = verdict = ""
    (console if stream is sys.stdout else Console(file=stream, width=120)).print(table)


WRITERS = {Format.table: write_table, Format.csv: write_csv, Format.jsonl: write_json}
