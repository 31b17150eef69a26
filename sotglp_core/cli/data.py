"""``sotglp data``: the catalogue of benchmarks, what of it is on this machine, and how to get the rest."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.markup import escape
from rich.table import Column, Table

from ..data.catalogue import CATALOGUE, Dataset, detect, read_split
from ..data.download import get as download
from ..data.folders import PARTS, list_images
from ..data.images import read_image
from ..messages import printable, progress_bar
from .common import AsJson, console

app = typer.Typer(
    no_args_is_help=True, help="The benchmarks: list them, check what is on this machine, get one."
)


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """Show the catalogue: names, folders, counts, licences.

    Examples:

    - `sotglp data list`
    """
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "name": r.name,
                        "title": r.title,
                        "kind": r.kind,
                        "folder": f"{r.folder}/{r.images}",
                        "split": r.split,
                        "classes": r.classes,
                        "images": r.counts,
                        "template": r.template,
                        "licence": r.licence,
                        "get": r.get,
                        "download": bool(r.archives),
                        "dead": r.dead,
                    }
                    for r in CATALOGUE.values()
                ]
            )
        )
        return
    table = Table(
        Column("name", no_wrap=True),
        Column("dataset, folder below the root, licence", overflow="fold"),
        "train / val / test, or all",
        "get",
    )
    rows = list(CATALOGUE.values())
    for before, r in zip((rows[0], *rows), rows):
        if before.kind != r.kind:
            table.add_section()
        what = r.title + (f", {r.classes} classes" if r.classes else "")
        place = escape(f"{r.folder}/{r.images}".removesuffix("/."))
        table.add_row(
            r.name,
            f"{what}\n[dim]{place}; {r.licence}[/]",
            _counts(r.counts),
            "downloads" if r.archives else "by hand",
        )
    console.print(table)


@app.command()
def check(
    root: Annotated[
        Path, typer.Argument(help="The folder that holds the datasets' folders, or one of those.")
    ],
    full: Annotated[
        bool, typer.Option(help="Decode every image instead of reading its header.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what is there with the catalogue; exit code 1 if something that is there is not right.

    Examples:

    - `sotglp data check /data`
    """
    if not root.is_dir():
        raise ValueError(
            f"there is no folder {root}; give the one that holds the datasets' folders"
        )
    own = detect(root)
    found = (
        [(own, root)]
        if own
        else [(row, place) for row in CATALOGUE.values() if (place := row.find(root))]
    )
    if not found:
        raise ValueError(
            f"there is no dataset of the catalogue in {root}; `sotglp data list` shows where each is looked for"
        )
    report = [_checked(row, place, full) for row, place in found]
    if as_json:
        print(json.dumps(report))
    else:
        table = Table(
            Column("name", no_wrap=True),
            "split",
            Column("classes", justify="right"),
            "train / val / test, or all",
            "result",
        )
        for line in report:
            result = (
                "[green]as it should be[/]"
                if not line["wrong"]
                else f"[red]{escape('; '.join(line['wrong']))}[/]"
            )
            table.add_row(
                line["name"],
                line["split"],
                str(line["classes"] or ""),
                _counts(line["images"]),
                result,
            )
        console.print(table)
        missing = [name for name in CATALOGUE if name not in {line["name"] for line in report}]
        if missing and not own:
            console.print(f"not there: {', '.join(missing)}", highlight=False)
    if any(line["wrong"] for line in report):
        raise typer.Exit(1)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="A name of `sotglp data list`.")],
    root: Annotated[
        Path, typer.Option(help="The folder that holds, or will hold, the datasets' folders.")
    ],
) -> None:
    """Download, verify and unpack a dataset, or say how to get it; what an interrupted run has got is not lost.

    Examples:

    - `sotglp data get oxford_pets --root /data`
    """
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, 1)
        raise ValueError(
            f"there is no dataset {name!r}; "
            + (f"did you mean {near[0]!r}? " if near else "")
            + "See `sotglp data list`"
        )
    row = CATALOGUE[name]
    console.print(f"{row.title}; licence: {row.licence}", highlight=False)
    if row.archives or row.split:
        place = download(row, root)
        console.print(
            f"{row.title if row.archives else row.split} is in {place}; "
            f"next: sotglp data check {place}",
            highlight=False,
            soft_wrap=True,
        )
    if not row.archives:
        console.print(
            f"To be fetched by hand, into {root / row.folder}: {row.get}.",
            highlight=False,
            soft_wrap=True,
        )
    if row.dead:
        console.print(
            f"Links that don't work any more: {row.dead}.", highlight=False, soft_wrap=True
        )


def _checked(row: Dataset, place: Path, full: bool) -> dict:
    """What is there of a dataset: its split, counts, and in one line each what is wrong with it."""
    wrong: list[str] = []
    if row.kind == "classes":
        try:
            split = read_split(row, place)
        except ValueError as error:
            return {
                "name": row.name,
                "folder": str(place),
                "split": "",
                "classes": 0,
                "images": [],
                "wrong": [str(error)],
            }
        paths = [photo.path for photo in split.photos]
        parts = [photo.part for photo in split.photos]
        source, classes = split.source, len(split.keys)
        counts = [parts.count(part) for part in PARTS]
    else:
        paths = list_images(place / row.images)
        classes = (
            len({path.relative_to(place / row.images).parts[0] for path in paths})
            if row.classes
            else 0
        )
        source, counts = "", [len(paths)]
    if classes != row.classes:
        wrong.append(f"{row.classes} classes are expected")
    if counts != row.counts:
        wrong.append(f"{_counts(row.counts)} images are expected")
    absent, unreadable = [], []
    for path in progress_bar(paths, desc=f"check {row.name}", unit="image", show=len(paths) >= 64):
        if not path.is_file():
            absent.append(path)
            continue
        try:
            if full:
                read_image(path)
            else:
                Image.open(path).close()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            unreadable.append(path)
    for what, bad in (("are missing", absent), ("can't be read", unreadable)):
        if bad:
            wrong.append(f"{len(bad)} images {what}, such as {printable(bad[0])}")
    return {
        "name": row.name,
        "folder": str(place),
        "split": source,
        "classes": classes,
        "images": counts,
        "wrong": wrong,
    }


def _counts(counts: Iterable[int]) -> str:
    return " / ".join(f"{n:,}" for n in counts)
