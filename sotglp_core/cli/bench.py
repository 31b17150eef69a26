"""``sotglp bench``: how fast this machine is, and how long a task would take on it."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Column, Table

from .common import AsJson, Device, Name, Precision, Weights, console, usable


def bench(
    backbone: Name = "pocket",
    pretrained: Weights = None,
    classes: Annotated[int, typer.Option(min=2, help="Classes of the task that is imagined.")] = 24,
    shots: Annotated[int, typer.Option(min=1, help="Training images of each class.")] = 16,
    device: Device = "auto",
    precision: Precision = None,
    as_json: AsJson = False,
) -> None:
    """Measure encoding, training steps and transport here: medians of a few runs.

    Examples:

    - `sotglp bench`
    - `sotglp bench --backbone ViT-B-16 --pretrained random --classes 100`
    """
    from ..clip.backbone import load_backbone
    from ..workbench.timing import machine, speeds

    precision = precision or "auto"
    frozen = load_backbone(backbone, pretrained, device=usable(device), precision=precision)
    where = machine(frozen) | {"classes": classes, "shots": shots}
    rows = speeds(frozen, classes, shots, progress=not as_json)
    if as_json:
        named = {what: {"value": value, "unit": unit} for what, (value, unit) in rows.items()}
        print(json.dumps({**where, "rows": named}))
        return
    title = ", ".join(f"{name} {value}" for name, value in where.items())
    table = Table("what", Column("measured", justify="right"), "unit", title=title)
    for what, (value, unit) in rows.items():
        table.add_row(what, f"{value:,.0f}" if value >= 100 else f"{value:.3g}", unit)
    console.print(table)
