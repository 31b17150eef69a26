"""``sotglp reproduce``: the tables measured again, ours beside the book's or the published figures."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Collection, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from ..clip.backbone import Backbone, load_backbone, weights_here
from ..config import PRESETS, preset
from ..data.catalogue import CATALOGUE
from ..messages import progress_bar
from ..pocket.traits import SPECIES
from ..workbench.reproduce import benchmarks, pocket
from ..workbench.reproduce.estimate import seconds_a_step, seconds_an_image
from ..workbench.reproduce.markdown import cell, tables, write_tables
from ..workbench.reproduce.rows import MEASURED, about, is_kept, kept, read_rows
from .common import AsJson, Device, Root, Weights, console, listed, warn
from .common import device as chosen_device

POCKET = {
    "rates": "learning rates, chosen on validation pictures",
    "presets": "all presets, five OOD sets, four shifts",
    "allocations": "how patches are shared",
    "support": "patches kept of each image",
    "contexts": "whose they are, by branch",
    "shots": "1 to 16 training pictures",
    "tradeoff": "with and without projection, by length of training",
}
TIMED = 32  # classes that a step of a published table is timed with
KNOWN = {**POCKET, **benchmarks.TABLES}


def reproduce(
    table: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(KNOWN)}; none: list them.")
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(help="One row (of few-shot: a dataset); may be repeated. None: all."),
    ] = None,
    presets: Annotated[
        str, typer.Option(help="Comma-separated presets of the tables on real data.")
    ] = "sotglp,sotglp-proj",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of training images.")] = 3,
    out: Annotated[
        Path, typer.Option(help="Folder that keeps every finished row; a second call goes on.")
    ] = Path("runs/reproduce"),
    root: Root = None,
    backbone: Annotated[
        str, typer.Option(help="open_clip ViT for the tables on real data.")
    ] = benchmarks.BACKBONE[0],
    pretrained: Weights = benchmarks.BACKBONE[1],
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would run, and how long it would take.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a table of the book, or a published one, again; ours is printed beside theirs.

    Examples:

    - `sotglp reproduce`
    - `sotglp reproduce presets --row sotglp --row coop`
    - `sotglp reproduce few-shot --row eurosat --root /data`
    """
    if table is None:
        _list(out, root, "here" if weights_here(backbone, pretrained) else "not here", as_json)
    elif _known([table], KNOWN, "table")[0] in POCKET:
        names = _known(row or list(pocket.ROWS[table]), pocket.ROWS[table], "row")
        _pocket(
            table,
            names,
            range(1, seeds + 1),
            out,
            load_backbone(device=chosen_device(device), precision="fp64"),
            plan,
            as_json,
        )
    else:
        known = ["imagenet"] if table == "ood" else list(benchmarks.DATASETS)
        names = _known(row or known, known, "dataset")
        methods = _known(listed(presets) or [], PRESETS, "preset")
        there = [name for name in names if not benchmarks.missing(table, name, root)]
        for name in names:
            if name not in there:
                absent = ", ".join(benchmarks.missing(table, name, root))
                warn(
                    f"{name}: {absent} not in {root or '--root, which was not given'}; `sotglp data get` gets it, or says how"
                )
        if not there:
            raise ValueError(
                f"none of the datasets of {table} is there; name the folder that holds them with --root"
            )
        here = weights_here(backbone, pretrained)
        if not here:
            warn(
                f"the weights {pretrained} of {backbone} are not on this machine; measuring downloads them"
            )
        frozen = load_backbone(
            backbone, pretrained if here or not plan else "random", device=chosen_device(device)
        )
        _published(table, there, methods, range(1, seeds + 1), out, root, frozen, plan, as_json)


def _known(names: list[str], known: Collection[str], kind: str) -> list[str]:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"there is no {kind} {name!r}; {hint}There are: {', '.join(known)}")
    return names


def _list(out: Path, root: Path | None, weights: str, as_json: bool) -> None:
    found = {
        name: (
            what,
            f"{len(read_rows(out, name))} of {len(pocket.ROWS[name])}",
            "drawn, embedded weights",
        )
        for name, what in POCKET.items()
    }
    for name, what in benchmarks.TABLES.items():
        rows = ["imagenet"] if name == "ood" else list(benchmarks.DATASETS)
        there = sum(not benchmarks.missing(name, row, root) for row in rows)
        found[name] = (
            what,
            str(len(read_rows(out, name))),
            f"real, {there} of {len(rows)} below --root; weights {weights}",
        )
    if as_json:
        print(
            json.dumps(
                {name: dict(zip(("what", "rows kept", "data"), row)) for name, row in found.items()}
            )
        )
        return
    shown = Table("table", "what", Column("rows kept", justify="right"), "data")
    for name, row in found.items():
        shown.add_row(name, *row)
    console.print(shown)


def _pocket(
    table: str,
    names: list[str],
    seeds: range,
    out: Path,
    backbone: Backbone,
    plan: bool,
    as_json: bool,
) -> None:
    facts = about(
        backbone.fingerprint, precision=backbone.precision, seeds=list(seeds), epochs=pocket.EPOCHS
    )
    todo = [name for name in names if not is_kept(out, table, name, facts)]
    if plan or todo and not as_json:
        _say(
            todo,
            names,
            sum(
                _pocket_seconds(table, name, len(seeds), backbone)
                for name in _bar(todo, as_json, "timing")
            ),
            as_json,
        )
    if plan:
        return
    bench = cache(lambda: pocket.Bench(seeds, out, backbone, progress=not as_json))
    found = {
        name: kept(out, table, name, facts, partial(_measured, bench, table, name))
        for name in _bar(names, as_json)
    }
    write_tables(out, table)
    if as_json:
        print(json.dumps(found))
    else:
        rows = read_rows(MEASURED, table)
        book = {name: rows[name] for name in found if name in rows}
        _rates(found, book) if table == "rates" else _beside(table, found, book)


def _measured(bench: Callable[[], pocket.Bench], table: str, name: str) -> Any:
    return bench().measure(table, name)


def _rates(ours: dict, book: dict) -> None:
    """The chosen rate of each row and what was tried, and the book's where that differs."""
    lines = [
        {
            name: f"lr {row['lr']}, of "
            + ", ".join(f"{lr} ({accuracy:.1%})" for lr, accuracy in row["tried"].items())
            for name, row in rows.items()
        }
        for rows in (ours, book)
    ]
    for name, line in lines[0].items():
        other = lines[1].get(name, line)
        console.print(
            f"{name}: {line}" + f"; book: {other}" * (other != line),
            highlight=False,
            soft_wrap=True,
        )
    console.print(_verdict(lines[0] == lines[1]), highlight=False)


def _beside(table: str, ours: dict, book: dict) -> None:
    """Each of a table's views, ours above the book's where they differ."""
    if table == "shots" and set(ours) != set(pocket.ROWS["shots"]):
        for name, runs in ours.items():
            console.print(
                f"{name}: {cell(runs, 'top-1')}; book: {cell(book.get(name, []), 'top-1')}",
                highlight=False,
            )
        return
    theirs, same = tables(table, book) if set(book) == set(ours) else {}, True
    for name, (heading, *rows) in tables(table, ours).items():
        shown = Table(*heading, title=name)
        for row in rows:
            other = next((line for line in theirs.get(name, [])[1:] if line[0] == row[0]), None)
            same &= row == other
            shown.add_row(
                *(
                    mine if other is None or mine == its else f"{mine}\n[yellow]book {its}[/]"
                    for mine, its in zip(row, other or row)
                )
            )
        console.print(shown)
    console.print(_verdict(same), highlight=False)


def _verdict(same: bool) -> str:
    return (
        "equal to the book's" if same else "where the book's figure differs, it stands beside ours"
    )


def _published(
    table: str,
    datasets: list[str],
    methods: list[str],
    seeds: range,
    out: Path,
    root: Path | None,
    backbone: Backbone,
    plan: bool,
    as_json: bool,
) -> None:
    facts = about(backbone.fingerprint, seeds=list(seeds))
    pairs = {
        f"{dataset}, {method}": (dataset, method) for dataset in datasets for method in methods
    }
    todo = [label for label in pairs if not is_kept(out, table, label, facts)]
    if plan or not as_json:
        image = seconds_an_image(backbone) if todo else 0.0
        seconds = sum(
            _published_seconds(*pairs[label], len(seeds), backbone, image)
            for label in _bar(todo, as_json, "timing")
        )
        _say(todo, list(pairs), seconds, as_json, encoding=True)
    if plan:
        return
    shown = Table(
        "dataset",
        "preset",
        "measure",
        Column("ours", justify="right"),
        Column("published", justify="right"),
        "source",
    )
    found = {}
    for label in _bar(list(pairs), as_json):
        dataset, method = pairs[label]
        found[label] = kept(
            out,
            table,
            label,
            facts,
            partial(benchmarks.measure, table, dataset, method, root, backbone, seeds),
        )
        for column in (
            ("top-1",)
            if table == "few-shot"
            else ("top-1", "MCM AUROC", "MCM FPR95", "GL-MCM AUROC", "GL-MCM FPR95")
        ):
            value, source = benchmarks.quoted(table, dataset, method, column)
            shown.add_row(
                dataset,
                method,
                column,
                cell(found[label], column),
                "" if value is None else f"{value:g}",
                source,
            )
    if as_json:
        print(json.dumps(found))
    else:
        console.print(shown)
        console.print(
            "published figures are quoted, not measured here; they are of ViT-B/16 with OpenAI's weights",
            highlight=False,
        )


def _pocket_seconds(table: str, name: str, seeds: int, backbone: Backbone) -> float:
    method, changes = pocket.ROWS[table][name]
    config = preset(method, batch_size=64, **{k: v for k, v in changes.items() if k != "shots"})
    config = (
        config.replace(epochs=changes.get("epochs", pocket.EPOCHS)) if config.epochs else config
    )
    step, judged = seconds_a_step(backbone, tuple(SPECIES), config)
    runs = len(pocket.RATES) if table == "rates" else seeds
    images = {"rates": 384, "shots": 1200, "presets": 8500}.get(table, 3700)
    return runs * (
        config.epochs * math.ceil(len(SPECIES) * changes.get("shots", 16) / 64) * step
        + images * judged
    )


def _published_seconds(
    dataset: str, method: str, seeds: int, backbone: Backbone, image: float
) -> float:
    row, config = CATALOGUE[dataset], preset(method)
    names = tuple(f"class {i}" for i in range(TIMED))
    step, judged = (
        seconds * row.classes / TIMED for seconds in seconds_a_step(backbone, names, config)
    )
    test, train = row.counts[-1], 16 * row.classes
    steps = config.epochs * math.ceil(train / config.batch_size)
    return seeds * (steps * step + test * judged) + (test + seeds * train) * image


def _say(
    todo: list[str], rows: list[str], seconds: float, as_json: bool, *, encoding: bool = False
) -> None:
    if as_json:
        print(
            json.dumps(
                {
                    "kept": [row for row in rows if row not in todo],
                    "to measure": todo,
                    "seconds": round(seconds, 1),
                }
            )
        )
        return
    cost = (
        f"; about {_time(seconds)}{'' if encoding else ', and encoding where the cache is empty'}"
        if todo
        else ""
    )
    console.print(
        f"{len(rows) - len(todo)} of {len(rows)} rows are kept; to measure: {'; '.join(todo) or 'none'}{cost}",
        highlight=False,
        soft_wrap=True,
    )


def _bar(rows: list[str], as_json: bool, what: str = "reproduce") -> Iterable[str]:
    return progress_bar(rows, desc=what, unit="row", show=not as_json, delay=1)


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )
