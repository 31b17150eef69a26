"""The published tables on real data, as ``benchmarks.yaml`` says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..clip.backbone import Backbone
from ..data.catalogue import CATALOGUE
from .experiments import Bench, Experiment
from .published import published

TABLES: dict[str, dict] = yaml.safe_load(
    Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
)


def work(
    table: str,
    datasets: Sequence[str],
    methods: Sequence[str],
    backbone: Backbone,
    folder: Path,
    **options: Any,
) -> list[tuple[Bench, Experiment]]:
    """The rows of a table, a method on a dataset each, every one by the method's recipe for it.

    :param folder: of the file of finished runs.
    :param options: of :class:`~sotglp_core.workbench.experiments.Bench`.
    """
    options |= {"results": folder / f"{table}.jsonl", "ood": TABLES[table]["ood"] or None}
    benches = {name: Bench(backbone, name, **options) for name in datasets}
    return [
        (bench, bench.experiment(method, label=f"{name}, {method}"))
        for name, bench in benches.items()
        for method in methods
    ]


def missing_data(table: str, dataset: str, root: str | Path | None) -> list[str]:
    """Which of the datasets that a row needs are not below ``root``."""
    needed = (dataset, *TABLES[table]["ood"])
    return [name for name in needed if root is None or CATALOGUE[name].find(root) is None]


def quoted(table: str, dataset: str, preset: str, measure: str) -> tuple[str, str]:
    """The published figure in per cent, and its source; or "no counterpart" where none is known."""
    column = TABLES[table]["measures"][measure] or dataset
    for row in published(TABLES[table]["published"]):
        same_score = measure == "top-1" or row["score"] in (measure.split()[1], "not stated")
        if row["preset"] == preset and same_score and row[column] is not None:
            return f"{row[column]:g}", str(row["source"])
    return "no counterpart", ""
