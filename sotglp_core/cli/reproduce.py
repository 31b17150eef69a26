"""``sotglp reproduce``: the tables measured again, ours beside the book's or the published ones."""

import json
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from ..config import PRESETS
from ..messages import note, progress_bar
from .common import check_names, duration, frozen_clip, say, show_table, split_names


def reproduce(
    table: str | None = None,
    row: list[str] | None = None,
    presets: str = "zeroshot,coop,gallop,sotglp,sotglp-proj",
    seeds: int = 3,
    draw: str | None = None,
    out: Path = Path("runs/reproduce"),
    root: str | None = None,
    backbone: str = "ViT-B-16-quickgelu",
    pretrained: str = "openai",
    plan: bool = False,
    device: str = "auto",
    precision: str | None = None,
    as_json: bool = False,
) -> None:
    """Measure a table of the book, or a published one, again; ours is printed beside theirs.

    Examples:

    - `sotglp reproduce`
    - `sotglp reproduce presets --row sotglp --row coop`
    - `sotglp reproduce few-shot --row eurosat --root /data`
    - `sotglp reproduce few-shot --plan --pretrained random`
    """
    from ..clip.backbone import weights_here
    from ..workbench import benchmarks, embedded

    here = weights_here(backbone, pretrained)
    if table is None:
        return _list(out, root, here, as_json)
    check_names([table], [*embedded.TABLES, *benchmarks.TABLES], "table")
    drawn = table in embedded.TABLES
    if drawn:
        frozen = frozen_clip("pocket", None, device, precision or "fp64")
        book = embedded.EmbeddedBench(table, out, frozen)
        work: list = [(book, experiment) for experiment in _rows(book, row)]
    else:
        if not here:
            note(f"{backbone} {pretrained} is not on this machine; measuring downloads its weights")
            pretrained = "random" if plan else pretrained
        methods = split_names([presets])
        check_names(methods, PRESETS, "preset")
        datasets = _datasets(table, row, root, plan)
        frozen = frozen_clip(backbone, pretrained, device, precision)
        work = benchmarks.work(table, datasets, methods, frozen, out, root=root, draw=draw)
    draws = range(1, 2 if table == "rates" else seeds + 1)
    if plan or not as_json:
        _show_plan(work, draws, as_json)
    if plan:
        return
    bar = progress_bar(work, desc="reproduce", unit="row", delay=1)
    found = {experiment.label: bench.runs(experiment, draws) for bench, experiment in bar}
    if as_json:
        print(json.dumps(found))
    elif drawn:
        _beside_the_book(table, found, out)
    else:
        _beside_the_published(table, found)


def _show_plan(work: list, draws: range, as_json: bool) -> None:
    """What the missing runs of every row take, and all of them together."""
    from ..workbench.plan import plan, total

    rows = plan(work, draws)
    rows.append(("all", sum(runs for _, runs, _ in rows), total([cost for *_, cost in rows])))
    loads = {
        row.name: row.gigabytes
        for bench, _ in work
        for row, folder in bench.places
        if row and not folder
    }
    if as_json:
        told = {label: {"runs": runs, **cost._asdict()} for label, runs, cost in rows}
        print(json.dumps({"rows": told, "gigabytes to download": loads}))
    lines = [
        [label, runs, f"{c.images:,}", f"{c.steps:,}", duration(c.seconds), decimal(c.bytes)]
        for label, runs, c in rows
    ]
    columns = ["runs", "images", "steps", "time", "features"]
    show_table(["to measure", *columns], lines, right=columns)
    say(
        "estimates, from a few images and steps timed on this machine; a fresh crop counts as an "
        "image, and reading files comes on top"
    )
    if loads:
        each = ", ".join(f"{name} {size or 'unknown'}" for name, size in loads.items())
        say(f"to download first, GB: {each}")


def _rows(book: Any, wanted: list[str] | None) -> list:
    """The experiments of the wanted rows, each given by its label or all but the label's end."""
    rows = [(e, {e.label, e.label.rpartition(", ")[0]}) for e in book.experiments()]
    check_names(wanted or [], {name for _, names in rows for name in names}, "row")
    return [e for e, names in rows if not wanted or names & {*wanted}]


def _datasets(table: str, wanted: list[str] | None, root: str | None, plan: bool) -> list[str]:
    """The wanted datasets that are there; for a plan, all of them."""
    from ..workbench.benchmarks import TABLES, missing_data

    names = wanted or TABLES[table]["datasets"]
    check_names(names, TABLES[table]["datasets"], "dataset")
    there = []
    for name in names:
        missing = missing_data(table, name, root)
        if plan or not missing:
            there.append(name)
        else:
            where = f"{', '.join(missing)} not in {root or '--root, which was not given'}"
            note(f"{name}: {where}; `sotglp data get` gets it, or says how")
    if not there:
        raise ValueError(f"no dataset of {table} is there; name their folder with --root")
    return there


def _list(out: Path, root: str | None, here: bool, as_json: bool) -> None:
    """Every table, its finished runs, and whether its data is there."""
    from ..workbench import benchmarks, embedded
    from ..workbench.experiments import read_runs

    found, weights = {}, "weights here" if here else "weights not here"
    for name, table in (embedded.TABLES | benchmarks.TABLES).items():
        data = "drawn"
        if name in benchmarks.TABLES:
            missing = [benchmarks.missing_data(name, x, root) for x in table["datasets"]]
            data = f"real, {missing.count([])} of {len(missing)} below --root; {weights}"
        runs = len(read_runs(out / f"{name}.jsonl"))
        found[name] = {"what": table["what"], "runs": runs, "data": data}
    if as_json:
        print(json.dumps(found))
    rows = [[name, *facts.values()] for name, facts in found.items()]
    show_table(["table", "what", "runs", "data"], rows, right=["runs"])


def _beside_the_book(table: str, ours: dict[str, list[dict]], out: Path) -> None:
    """Each of a table's views, the book's figures below ours where they differ."""
    from ..storage import write_text
    from ..workbench import embedded
    from ..workbench.experiments import markdown, read_rows

    def beside(cell: str, book: str) -> str:
        return cell if cell == book else f"{cell}\n[yellow]book {book}[/]"

    measured = read_rows(embedded.MEASURED / f"{table}.jsonl")
    found = embedded.tables(table, ours)
    book = embedded.tables(table, {row: measured[row] for row in ours if row in measured})
    for view, (heading, *rows) in found.items():
        write_text(out / f"{view}.md", markdown([heading, *rows]))
        theirs = {row[0]: row for row in book[view]}
        shown = [list(map(beside, row, theirs.get(row[0], row))) for row in rows]
        show_table(heading, shown, title=view)
    differs = "where the book's figure differs, it stands below ours"
    say(differs if found != book else "equal to the book's")


def _beside_the_published(table: str, ours: dict[str, list[dict]]) -> None:
    from ..workbench.benchmarks import TABLES, quoted
    from ..workbench.experiments import cell

    rows = []
    for label, runs in ours.items():
        dataset, preset = label.split(", ")
        for measure in TABLES[table]["measures"]:
            theirs = quoted(table, dataset, preset, measure)
            rows.append([dataset, preset, measure, cell(runs, measure), *theirs])
    headings = ["dataset", "preset", "measure", "ours", "published", "source"]
    show_table(headings, rows, right=["ours", "published"])
    say("published figures are quoted, not measured here; they are of ViT-B/16, OpenAI's weights")
