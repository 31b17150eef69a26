"""How the answers of ``sotglp predict`` are written: a table, CSV, or JSON lines."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def writer(
    form: Format, stream: TextIO, score: str, top: int
) -> Iterator[Callable[[Answer, bool | None], None]]:
    """A function that writes what is said of one image, and whether it is known; None: there is no
    threshold to tell by.

    :param score: the name of the answers' score.
    :param top: how many classes they name.
    """
    column = score.lower().replace("-", "_")
    table = Table(
        Column("photo", overflow="fold"),
        "label",
        Column("probability", justify="right"),
        Column(score, justify="right"),
        "",
    )
    lines = csv.writer(stream, lineterminator="\n")

    def write_json(answer: Answer, known: bool | None) -> None:
        row = {
            "photo": str(answer.path),
            "label": answer.labels[0],
            "probability": answer.probabilities[0],
            column: answer.score,
            "known": known,
            "probabilities": dict(zip(answer.labels, answer.probabilities)),
        }
        print(json.dumps(row), file=stream)

    def write_csv(answer: Answer, known: bool | None) -> None:
        first, *others = zip(answer.labels, answer.probabilities)
        verdict = "" if known is None else str(known).lower()
        lines.writerow([answer.path, *first, answer.score, verdict, *chain(*others)])

    def add_to_table(answer: Answer, known: bool | None) -> None:
        first, *others = [
            (escape(printable(label)), f"{probability:.1%}")
            for label, probability in zip(answer.labels, answer.probabilities)
        ]
        verdict = {None: "", True: "known", False: "unknown"}[known]
        table.add_row(escape(printable(answer.path)), *first, f"{answer.score:.5g}", verdict)
        for other in others:
            table.add_row("", *other)

    if form is Format.csv:
        numbered = [f"{name}_{n}" for n in range(2, top + 1) for name in ("label", "probability")]
        lines.writerow(["photo", "label", "probability", column, "known", *numbered])
    yield {Format.csv: write_csv, Format.jsonl: write_json, Format.table: add_to_table}[form]
    if form is Format.table:
        (console if stream is sys.stdout else Console(file=stream, width=120)).print(table)
