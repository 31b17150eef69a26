"""How the answers of ``sotglp predict`` are written: a table, CSV, or JSON lines."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ..messages import printable
from .common import console


class Format(StrEnum):
    table = "table"
    csv = "csv"
    jsonl = "jsonl"


@contextmanager
def writer(form: Format, stream: TextIO, score: str, top: int) -> Iterator[Callable[[dict], None]]:
    """A function that writes one image's row: photo, label, probability, the score, known (None:
    there is no threshold to tell by) and the probabilities of the ``top`` classes, in this order.
    """
    columns = ["photo", "label", "probability", score.lower().replace("-", "_"), "known"]
    table = Table(
        Column("photo", overflow="fold"),
        "label",
        Column("probability", justify="right"),
        Column(score, justify="right"),
        "",
    )
    lines = csv.writer(stream, lineterminator="\n")

    def write_json(row: dict) -> None:
        print(json.dumps(row), file=stream)

    def write_csv(row: dict) -> None:
        *cells, known, probabilities = row.values()
        others = [cell for pair in list(probabilities.items())[1:] for cell in pair]
        lines.writerow([*cells, {None: "", True: "true", False: "false"}[known], *others])

    def add_to_table(row: dict) -> None:
        photo, _, _, value, known, probabilities = row.values()
        verdict = {None: "", True: "known", False: "unknown"}[known]
        first, *others = [(escape(printable(k)), f"{p:.1%}") for k, p in probabilities.items()]
        table.add_row(escape(printable(photo)), *first, f"{value:.5g}", verdict)
        for label, probability in others:
            table.add_row("", label, probability)

    if form is Format.csv:
        numbered = [f"{name}_{n}" for n in range(2, top + 1) for name in ("label", "probability")]
        lines.writerow(columns + numbered)
    yield {Format.csv: write_csv, Format.jsonl: write_json, Format.table: add_to_table}[form]
    if form is Format.table:
        (console if stream is sys.stdout else Console(file=stream, width=120)).print(table)
