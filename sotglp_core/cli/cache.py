"""``sotglp cache``: what the feature cache holds, and room again."""

import json
import time

import typer
from rich.filesize import decimal

from .common import duration, say, show_table
from .options import with_help

app = typer.Typer(
    no_args_is_help=True,
    help="Features of images, kept on disk so that every image is encoded once.",
)


@app.command()
@with_help
def show(as_json: bool = False) -> None:
    """List backbone, images, size and age of every entry, and the total.

    Examples:

    - `sotglp cache show`
    """
    from ..data.features import cache_entries, cache_folder

    entries = cache_entries()
    if as_json:
        print(json.dumps([entry._asdict() for entry in entries], default=str))
    rows = [
        [
            entry.path.stem[-32:][:8],
            entry.backbone,
            "?" if entry.images is None else entry.images,
            decimal(entry.bytes),
            duration(time.time() - entry.modified),
        ]
        for entry in entries
    ]
    if rows:
        show_table(["entry", "backbone", "images", "size", "age"], rows)
    total = decimal(sum(entry.bytes for entry in entries))
    say(f"{len(entries)} entries, {total}, in {cache_folder()}")


@app.command()
@with_help
def clear(older_than: float = 0.0, yes: bool = False) -> None:
    """Remove entries, and what killed runs left unfinished; they are made again when needed.

    Examples:

    - `sotglp cache clear --older-than 30`
    """
    from ..data.features import cache_folder, clear_cache

    if not yes:
        what = f"Remove the entries older than {older_than:g} days from {cache_folder()}?"
        typer.confirm(what, abort=True, err=True)
    files, freed = clear_cache(older_than=older_than)
    say(f"removed {files} entries, {decimal(freed)}")
