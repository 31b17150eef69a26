"""The published tables on real data: eleven benchmarks at 16 shots; ImageNet against OOD sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..clip.backbone import Backbone
from ..data.catalogue import CATALOGUE
from .experiments import Bench, Experiment
from .published import published

BACKBONE = ("ViT-B-16-quickgelu", "openai")
OOD_SETS = ("inaturalist", "sun", "places", "textures")
TABLES = {
    "few-shot": "top-1 on eleven benchmarks, 16 shots",
    "ood": "ImageNet, 16 shots, against iNaturalist, SUN, Places and Textures",
}
DATASETS = {
    "few-shot": [name for name in published("sixteen_shot_accuracy")[0] if name in CATALOGUE],
    "ood": ["imagenet"],
}
MEASURES = {  # what is shown -> column of the published table
    "few-shot": {"top-1": ""},
    "ood": {
        "top-1": "imagenet_16shot",
        "mean MCM AUROC": "auroc_avg4",
        "mean MCM FPR95": "fpr95_avg4",
        "mean GL-MCM AUROC": "auroc_avg4",
        "mean GL-MCM FPR95": "fpr95_avg4",
    },
}


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
    options |= {"results": folder / f"{table}.jsonl", "ood": OOD_SETS if table == "ood" else None}
    benches = {name: Bench(backbone, name, **options) for name in datasets}
    return [
        (bench, bench.experiment(method, label=f"{name}, {method}"))
        for name, bench in benches.items()
        for method in methods
    ]


def missing_data(table: str, dataset: str, root: str | Path | None) -> list[str]:
    """Which of the datasets that a row needs are not below ``root``."""
    needed = (dataset, *OOD_SETS) if table == "ood" else (dataset,)
    return [name for name in needed if root is None or CATALOGUE[name].find(root) is None]


def quoted(table: str, dataset: str, preset: str, measure: str) -> tuple[str, str]:
    """The published figure in per cent, and its source; or "no counterpart" where none is known."""
    column = MEASURES[table][measure] or dataset
    for row in published("ood_detection" if table == "ood" else "sixteen_shot_accuracy"):
        same_score = measure == "top-1" or row["score"] in (measure.split()[1], "not stated")
        if row["preset"] == preset and same_score and row[column] is not None:
            return f"{row[column]:g}", str(row["source"])
    return "no counterpart", ""
