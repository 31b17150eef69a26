"""``sotglp reproduce``: the tables measured again, ours beside the book's or the published ones."""

import json
from pathlib import Path
from typing import Any

from ..config import PRESETS
from ..messages import progress_bar
from .common import check_names, cost_in_words, frozen_clip, say, show_table, split_names, warn


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
    drawn, work = table in embedded.TABLES, list[Any]()
    if drawn:
        frozen = frozen_clip("pocket", None, device, precision or "fp64")
        book = embedded.EmbeddedBench(table, out, frozen)
        work += [(book, experiment) for experiment in _rows(book, row)]
    else:
        if not here:
            warn(f"{backbone} {pretrained} is not on this machine; measuring downloads its weights")
        methods = split_names([presets])
        check_names(methods, PRESETS, "preset")
        datasets = _datasets(table, row, root, plan)
        weights = pretrained if here or not plan else "random"
        frozen = frozen_clip(backbone, weights, device, precision)
        work += benchmarks.work(table, datasets, methods, frozen, out, root=root, draw=draw)
    draws = range(1, 2 if table == "rates" else seeds + 1)
    if plan:
        return _show_plan(work, draws, as_json)
    if not as_json:
        announce(work, draws)
    bar = progress_bar(work, desc="reproduce", unit="row", show=not as_json, delay=1)
    found = {experiment.label: bench.runs(experiment, draws) for bench, experiment in bar}
    if as_json:
        print(json.dumps(found))
    elif drawn:
        _beside_the_book(table, found, out)
    else:
        _beside_the_published(table, found)


def announce(work: list, draws: range) -> None:
    """In one line, what is to be measured and what it takes."""
    from ..workbench.plan import plan, total

    rows = [row for row in plan(work, draws) if row[1]]
    images, steps, time, size = cost_in_words(total([cost for *_, cost in rows]))
    cost = f"; {images} images to encode, {steps} steps, about {time}, {size} of features"
    todo = "; ".join(label for label, *_ in rows) or "none"
    done = f"{len(work) - len(rows)} of {len(work)} rows are done"
    say(f"{done}; to measure: {todo}{cost if rows else ''}")


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
        missing = [] if plan else missing_data(table, name, root)
        if missing:
            where = f"{', '.join(missing)} not in {root or '--root, which was not given'}"
            warn(f"{name}: {where}; `sotglp data get` gets it, or says how")
        else:
            there.append(name)
    if not there:
        raise ValueError(f"no dataset of {table} is there; name their folder with --root")
    return there


def _show_plan(work: list, draws: range, as_json: bool) -> None:
    """What every row takes, and all of them together."""
    from ..workbench.plan import plan, total

    rows = plan(work, draws)
    rows.append(("all", sum(runs for _, runs, _ in rows), total([cost for *_, cost in rows])))
    places = [place for bench, _ in work for place in bench.places]
    loads = {row.name: row.gigabytes for row, folder in places if row and not folder}
    if as_json:
        told = {label: {"runs": runs, **cost._asdict()} for label, runs, cost in rows}
        print(json.dumps({"rows": told, "gigabytes to download": loads}))
        return
    lines = [[label, runs, *cost_in_words(cost)] for label, runs, cost in rows]
    columns = ["runs", "images", "steps", "time", "features"]
    show_table(["row", *columns], lines, right=columns)
    say(
        "estimates, from a few images and steps timed on this machine; a fresh crop counts as an "
        "image, and reading files comes on top"
    )
    if loads:
        each = ", ".join(f"{name} {size or 'unknown'}" for name, size in loads.items())
        say(f"to download first, GB: {each}")


def _list(out: Path, root: str | None, here: bool, as_json: bool) -> None:
    """Every table, its finished runs, and whether its data is there."""
    from ..workbench import benchmarks, embedded
    from ..workbench.experiments import read_runs

    rows = [(name, spec["what"], "drawn") for name, spec in embedded.TABLES.items()]
    for name, spec in benchmarks.TABLES.items():
        missing = [benchmarks.missing_data(name, dataset, root) for dataset in spec["datasets"]]
        there = f"{missing.count([])} of {len(missing)} below --root"
        rows.append(
            (name, spec["what"], f"real, {there}; weights {'here' if here else 'not here'}")
        )
    facts = [(n, what, len(read_runs(out / f"{n}.jsonl")), data) for n, what, data in rows]
    heads = ["table", "what", "runs", "data"]
    if as_json:
        print(json.dumps({name: dict(zip(heads[1:], facts)) for name, *facts in facts}))
    else:
        show_table(heads, facts, right=["runs"])


def _beside_the_book(table: str, ours: dict[str, list[dict]], out: Path) -> None:
    """Each of a table's views, the book's figures below ours where they differ."""
    from ..storage import write_text
    from ..workbench import embedded
    from ..workbench.experiments import markdown, read_rows

    book = read_rows(embedded.MEASURED / f"{table}.jsonl")
    theirs, same = embedded.tables(table, {k: book[k] for k in book if k in ours}), True
    for view, (heading, *rows) in embedded.tables(table, ours).items():
        write_text(out / f"{view}.md", markdown([heading, *rows]))
        by_label, shown = {row[0]: row for row in theirs[view]}, []
        for row in rows:
            pairs = list(zip(row, by_label.get(row[0], row)))
            same &= all(a == b for a, b in pairs)
            shown.append([a if a == b else f"{a}\n[yellow]book {b}[/]" for a, b in pairs])
        show_table(heading, shown, title=view)
    say("equal to the book's" if same else "where the book's figure differs, it stands below ours")


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
