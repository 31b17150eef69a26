"""``sotglp data``: the catalogue of benchmarks, what of it is on this machine, how to get it."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from ..messages import printable, progress_bar
from .common import check_names, say, show_table
from .options import with_help

app = typer.Typer(
    no_args_is_help=True, help="The benchmarks: list them, check what is on this machine, get one."
)
NUMBERS = "train / val / test, or all"


@app.command("list")
@with_help
def list_command(as_json: bool = False) -> None:
    """Show the catalogue: names, folders, counts, licences.

    Examples:

    - `sotglp data list`
    """
    from ..data.catalogue import CATALOGUE

    if as_json:
        print(json.dumps([asdict(row) for row in CATALOGUE.values()]))
        return
    rows = []
    for row in CATALOGUE.values():
        title = row.title + (f", {row.classes} classes" if row.classes else "")
        place = escape(f"{row.folder}/{row.images}".removesuffix("/."))
        get = "downloads" if row.archives else "by hand"
        what = f"{title}\n[dim]{place}; {row.licence}[/]"
        rows.append([row.name, what, _counts(row.counts), get])
    show_table(["name", "dataset, folder below the root, licence", NUMBERS, "get"], rows)


@app.command()
@with_help
def check(root: Path, full: bool = False, as_json: bool = False) -> None:
    """Compare what is there with the catalogue; exit code 1 if something there is not right.

    Examples:

    - `sotglp data check /data`
    """
    from ..data.catalogue import CATALOGUE, detect

    if not root.is_dir():
        raise ValueError(f"there is no folder {root}; give the one that holds the datasets")
    root, one = detect(root)
    places = [(one, root)] if one else [(row, row.find(root)) for row in CATALOGUE.values()]
    report = [_check(row, place, full) for row, place in places if place]
    if not report:
        raise ValueError(
            f"there is no dataset of the catalogue in {root}; `sotglp data list` shows where each "
            "is looked for"
        )
    if as_json:
        print(json.dumps(report))
    else:
        rows = []
        for line in report:
            wrong = escape("; ".join(line["wrong"]))
            result = f"[red]{wrong}[/]" if wrong else "[green]as it should be[/]"
            classes, images = line["classes"] or "", _counts(line["images"])
            rows.append([line["name"], line["split"], classes, images, result])
        show_table(["name", "split", "classes", NUMBERS, "result"], rows, right=["classes"])
        missing = [row.name for row, place in places if not place]
        if missing:
            say(f"not there: {', '.join(missing)}")
    if any(line["wrong"] for line in report):
        raise typer.Exit(1)


@app.command()
@with_help
def get(name: str, *, root: Path) -> None:
    """Download, verify and unpack a dataset, or say how to get it; interrupted, it goes on.

    Examples:

    - `sotglp data get oxford_pets --root /data`
    """
    from ..data import download
    from ..data.catalogue import CATALOGUE

    check_names([name], CATALOGUE, "dataset")
    row = CATALOGUE[name]
    say(f"{row.title}; licence: {row.licence}")
    if row.archives or row.split:
        place = download.get(row, root)
        what = row.title if row.archives else row.split
        say(f"{what} is in {place}; next: sotglp data check {place}")
    if not row.archives:
        say(f"To be fetched by hand, into {root / row.folder}: {row.get}.")
    if row.dead:
        say(f"Links that don't work any more: {row.dead}.")


def _check(row: Any, place: Path, full: bool) -> dict:
    """What is there of a dataset: its split, counts, and in one line each what is wrong with it."""
    from ..data.catalogue import read_split
    from ..data.folders import PARTS, list_images

    found = {"name": row.name, "folder": str(place), "split": "", "classes": 0, "images": []}
    if row.kind == "classes":
        try:
            split = read_split(row, place)
        except ValueError as error:
            return found | {"wrong": [str(error)]}
        paths = [photo.path for photo in split.photos]
        parts = [photo.part for photo in split.photos]
        counts = [parts.count(part) for part in PARTS]
        found |= {"split": split.source, "classes": len(split.keys)}
    else:
        folder = place / row.images
        paths = list_images(folder)
        counts = [len(paths)]
        names = {path.relative_to(folder).parts[0] for path in paths}
        found["classes"] = len(names) if row.classes else 0
    wrong = []
    if found["classes"] != row.classes:
        wrong.append(f"{row.classes} classes are expected")
    if counts != list(row.counts):
        wrong.append(f"{_counts(row.counts)} images are expected")
    shown = progress_bar(paths, desc=f"check {row.name}", unit="image", show=len(paths) >= 64)
    problems = [(path, _problem(path, full)) for path in shown]
    for what in ("are missing", "can't be read"):
        bad = [path for path, problem in problems if problem == what]
        if bad:
            wrong.append(f"{len(bad)} images {what}, such as {printable(bad[0])}")
    return found | {"images": counts, "wrong": wrong}


def _problem(path: Path, full: bool) -> str:
    from PIL import Image

    from ..data.images import read_image

    if not path.is_file():
        return "are missing"
    try:
        read_image(path) if full else Image.open(path).close()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "can't be read"
    return ""


def _counts(counts: Iterable[int]) -> str:
    return " / ".join(f"{n:,}" for n in counts)
