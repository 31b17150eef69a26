"""Rows as tables: mean and standard deviation over the seeds, in per cent."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...pocket.world import SHIFTS
from ...storage import write_text
from .pocket import ROWS, SCORES, SHOTS, STRENGTHS
from .rows import read_rows

OOD_SETS = ("unseen", "creatures", "scenes", "objects", "textures", "mean")
DETECTION = {f"{s} {m}": f"mean {s} {m}" for s in SCORES for m in ("AUROC", "FPR95")}
PARTITION = {
    "overlap": "prompt_overlap",
    "entropy": "entropy_ratio",
    "on bird": "on bird",
    "purity": "purity",
    "by chance": "purity by chance",
    "NMI": "NMI",
}


def cell(runs: list[dict], column: str) -> str:
    values = 100 * np.array([run.get(column, np.nan) for run in runs])
    if np.isnan(values).any():
        return "–"
    return (
        f"{values.mean():.1f}\u00a0±\u00a0{values.std(ddof=1):.1f}"
        if len(values) > 1
        else f"{values.mean():.1f}"
    )


def cells(rows: dict[str, list[dict]], columns: dict[str, str], label: str = "") -> list[list[str]]:
    """Heading and rows; ``columns`` says which entry of a run a heading stands for."""
    return [
        [label, *columns],
        *(
            [name, *(cell(runs, column) for column in columns.values())]
            for name, runs in rows.items()
        ),
    ]


def tables(table: str, rows: dict[str, list[dict]]) -> dict[str, list[list[str]]]:
    """What a table's rows are shown as: name -> heading and rows."""
    if table == "presets":
        return {
            "presets": cells(rows, {"top-1": "top-1", "ECE": "ECE", **DETECTION}, "preset"),
            "shifts": cells(rows, {"as trained": "top-1", **{s: s for s in SHIFTS}}, "preset"),
            **{
                f"ood-{s}-{m}".lower(): cells(
                    rows, {n: f"{n} {s} {m}" for n in OOD_SETS}, f"{s} {m}"
                )
                for s in SCORES
                for m in ("AUROC", "FPR95")
            },
        }
    if table == "shots":
        by_shots: dict[str, list[str]] = {}
        for name, runs in rows.items():
            by_shots.setdefault(name.split(", ")[0], []).append(cell(runs, "top-1"))
        return {
            "shots": [
                ["preset", *map(str, SHOTS)],
                *([name, *found] for name, found in by_shots.items()),
            ]
        }
    columns = {
        "top-1": "top-1",
        **DETECTION,
        **(PARTITION if table in ("allocations", "support") else {}),
    }
    shown = {table: cells(rows, columns)}
    strength = {
        f"strength {s}": [
            run["strength"][i] for runs in rows.values() for run in runs if "strength" in run
        ]
        for i, s in enumerate(STRENGTHS)
    }
    if any(strength.values()):
        shown["strength"] = cells(strength, columns)
    return shown


def markdown(table: list[list[str]]) -> str:
    heading, *rows = table
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def write_tables(folder: Path, table: str) -> None:
    """Write a table's Markdown beside its rows, once all of them are there."""
    found = read_rows(folder, table)
    if table != "rates" and set(ROWS[table]) <= set(found):
        for name, shown in tables(table, {label: found[label] for label in ROWS[table]}).items():
            write_text(folder / f"{name}.md", markdown(shown))
