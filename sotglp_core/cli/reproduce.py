"""``sotglp reproduce``: the tables measured again, ours beside the book's or the published ones."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ..config import PRESETS
from ..messages import did_you_mean, progress_bar
from .common import say, show_table, split_names, usable, warn


def reproduce(
    table: str | None = None,
    row: list[str] | None = None,
    presets: str = "sotglp,sotglp-proj",
    seeds: int = 3,
    out: Path = Path("runs/reproduce"),
    root: str | None = None,
    backbone: str = "ViT-B-16-quickgelu",
    pretrained: str = "openai",
    plan: bool = False,
    text_chunk: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    as_json: bool = False,
) -> None:
    """Measure a table of the book, or a published one, again; ours is printed beside theirs.

    Examples:

    - `sotglp reproduce`
    - `sotglp reproduce presets --row sotglp --row coop`
    - `sotglp reproduce few-shot --row eurosat --root /data`
    """
    from ..clip.backbone import load_backbone, weights_here
    from ..workbench import benchmarks, embedded
    from ..workbench.experiments import Bench, Experiment

    here = weights_here(backbone, pretrained)
    if table is None:
        return _list(out, root, here, as_json)
    _check([table], [*embedded.TABLES, *benchmarks.TABLES], "table")
    options: dict[str, Any] = {"progress": not as_json, "text_chunk": text_chunk}
    work: list = []
    if table in embedded.TABLES:
        book = embedded.EmbeddedBench(
            table,
            out,
            load_backbone(device=usable(device), precision=precision or "fp64"),
            **options,
        )
        rows = [(e, {e.label, e.label.rpartition(", ")[0]}) for e in book.experiments()]
        _check(row or [], {name for _, names in rows for name in names}, "row")
        work = [(book, e) for e, names in rows if not row or names & set(row)]
    else:
        methods, datasets = split_names([presets]), benchmarks.DATASETS[table]
        _check(methods, PRESETS, "preset")
        _check(row or [], datasets, "dataset")
        absent = {name: benchmarks.missing_data(table, name, root) for name in row or datasets}
        for name, missing in absent.items():
            if missing:
                where = f"{', '.join(missing)} not in {root or '--root, which was not given'}"
                warn(f"{name}: {where}; `sotglp data get` gets it, or says how")
        if all(absent.values()):
            raise ValueError(f"no dataset of {table} is there; name their folder with --root")
        if not here:
            warn(f"{backbone} {pretrained} is not on this machine; measuring downloads its weights")
        weights = pretrained if here or not plan else "random"
        precision = precision or "auto"
        frozen = load_backbone(backbone, weights, device=usable(device), precision=precision)
        ood = benchmarks.OOD_SETS if table == "ood" else None
        options |= {"results": out / f"{table}.jsonl", "root": root, "ood": ood}
        for name in [name for name, missing in absent.items() if not missing]:
            bench = Bench(frozen, name, **options)
            configs = {f"{name}, {m}": bench.config(m, name) for m in methods}
            work += [(bench, Experiment(*pair)) for pair in configs.items()]
    draws = range(1, 2 if table == "rates" else seeds + 1)
    if not as_json or plan:
        _say_plan(work, draws, as_json)
    if plan:
        return
    bar = progress_bar(work, desc="reproduce", unit="row", show=not as_json, delay=1)
    found = {e.label: bench.runs(e, draws) for bench, e in bar}
    if as_json:
        print(json.dumps(found))
    elif table in embedded.TABLES:
        _beside_the_book(table, found, out)
    else:
        _beside_the_published(table, found)


def _say_plan(work: list, draws: range, as_json: bool) -> None:
    """Which rows are done, and how long the others will take."""
    missing = {e.label: bench.missing(e, draws) for bench, e in work}
    todo = [(bench, e) for bench, e in work if missing[e.label]]
    bar = progress_bar(todo, desc="timing", unit="row", show=not as_json, delay=1)
    times = [bench.seconds(e, missing[e.label]) for bench, e in bar]
    seconds, encoding = (sum(column) for column in zip(*times or [(0, 0)]))
    labels = [e.label for _, e in todo]
    if as_json:
        done = [label for label, number in missing.items() if not number]
        told = {"done": done, "to measure": labels, "seconds": round(seconds, 1)}
        print(json.dumps({**told, "encoding seconds": round(encoding, 1)}))
        return
    cost = f"; about {_time(seconds)}, and up to {_time(encoding)} to encode images" if todo else ""
    say(
        f"{len(work) - len(todo)} of {len(work)} rows are done; to measure: "
        f"{'; '.join(labels) or 'none'}{cost}"
    )


def _check(names: Iterable[str], known: Collection[str], kind: str) -> None:
    for name in names:
        if name not in known:
            near = did_you_mean(name, known) or f"; there are: {', '.join(known)}"
            raise ValueError(f"there is no {kind} {name!r}{near}")


def _list(out: Path, root: str | None, here: bool, as_json: bool) -> None:
    """Every table, its finished runs, and whether its data is there."""
    from ..workbench import benchmarks, embedded
    from ..workbench.experiments import read_runs

    found = {name: (spec["what"], "drawn") for name, spec in embedded.TABLES.items()}
    for name, what in benchmarks.TABLES.items():
        missing = [benchmarks.missing_data(name, d, root) for d in benchmarks.DATASETS[name]]
        there = f"{missing.count([])} of {len(missing)} below --root"
        found[name] = what, f"real, {there}; weights {'here' if here else 'not here'}"
    facts = {
        name: {"what": what, "runs": len(read_runs(out / f"{name}.jsonl")), "data": data}
        for name, (what, data) in found.items()
    }
    if as_json:
        print(json.dumps(facts))
        return
    rows = [[name, *row.values()] for name, row in facts.items()]
    show_table(["table", "what", "runs", "data"], rows, right=["runs"])


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
    from ..workbench.benchmarks import MEASURES, quoted
    from ..workbench.experiments import cell

    rows = []
    for label, runs in ours.items():
        dataset, preset = label.split(", ")
        for measure in MEASURES[table]:
            theirs = quoted(table, dataset, preset, measure)
            rows.append([dataset, preset, measure, cell(runs, measure), *theirs])
    headings = ["dataset", "preset", "measure", "ours", "published", "source"]
    show_table(headings, rows, right=["ours", "published"])
    say("published figures are quoted, not measured here; they are of ViT-B/16, OpenAI's weights")


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
