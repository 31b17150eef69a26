"""``sotglp data``: the catalogue of benchmarks, what of it is on this machine, how to get it."""

import json
from dataclasses import asdict
from pathlib import Path

import typer
from rich.markup import escape

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
    rows = []
    for row in CATALOGUE.values():
        title = row.title + (f", {row.classes} classes" if row.classes else "")
        place = f"{row.folder}/{row.images}".removesuffix("/.")
        get = "downloads" if row.archives else "by hand"
        what = f"{title}\n[dim]{place}; {row.licence}[/]"
        rows.append([row.name, what, " / ".join(f"{n:,}" for n in row.counts), get])
    show_table(["name", "dataset, folder below the root, licence", NUMBERS, "get"], rows)


@app.command()
@with_help
def check(root: Path, full: bool = False, as_json: bool = False) -> None:
    """Compare what is there with the catalogue; exit code 1 if something there is not right.

    Examples:

    - `sotglp data check /data`
    """
    from ..data.catalogue import CATALOGUE, known
    from ..data.catalogue import check as check_dataset

    row, place = known(root)
    places = {row.name: place} if row else {r.name: r.find(root) for r in CATALOGUE.values()}
    report = [check_dataset(CATALOGUE[name], p, full=full) for name, p in places.items() if p]
    if not report:
        raise ValueError(
            f"there is no dataset of the catalogue in {root}; `sotglp data list` shows where each "
            "is looked for"
        )
    if as_json:
        print(json.dumps([found._asdict() for found in report]))
    rows = []
    for found in report:
        wrong = escape("; ".join(found.wrong))
        result = f"[red]{wrong}[/]" if wrong else "[green]as it should be[/]"
        images = " / ".join(f"{n:,}" for n in found.images)
        rows.append([found.name, found.split, found.classes, images, result])
    show_table(["name", "split", "classes", NUMBERS, "result"], rows, right=["classes"])
    missing = [name for name, place in places.items() if not place]
    say(f"not there: {', '.join(missing) or 'none'}")
    if any(found.wrong for found in report):
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
