"""The published tables on real data: eleven benchmarks at 16 shots, and ImageNet against four out-of-distribution sets."""

from __future__ import annotations

from pathlib import Path

from ...clip.backbone import Backbone
from ...config import preset
from ...data.catalogue import CATALOGUE
from ...data.task import load_task
from ...judging.evaluation import evaluate
from ...learning.training import fit
from ...method.model import SOTGLP, with_template
from ..published import published

DATASETS = {
    "imagenet": "ImageNet",
    "caltech101": "Caltech101",
    "oxford_pets": "Pets",
    "stanford_cars": "Cars",
    "oxford_flowers": "Flowers",
    "food101": "Food101",
    "fgvc_aircraft": "Aircraft",
    "sun397": "SUN397",
    "dtd": "DTD",
    "eurosat": "EuroSAT",
    "ucf101": "UCF101",
}
STRANGERS = ("inaturalist", "sun", "places", "textures")
TABLES = {
    "few-shot": "top-1 on eleven benchmarks, 16 shots",
    "ood": "ImageNet, 16 shots, against iNaturalist, SUN, Places and Textures",
}
METHOD = {
    "zeroshot": "CLIP zero-shot",
    "coop": "CoOp",
    "locoop": "LoCoOp",
    "gallop": "GalLoP",
    "plot": "PLOT++",
    "sotglp": "SOT-GLP",
    "sotglp-proj": "SOT-GLP",
}
BACKBONE = ("ViT-B-16-quickgelu", "openai")


def needed(table: str, dataset: str) -> tuple[str, ...]:
    """The catalogue's names of what a row reads."""
    return (dataset, *STRANGERS) if table == "ood" else (dataset,)


def missing(table: str, dataset: str, root: Path | None) -> list[str]:
    """Which of them are not below ``root``."""
    return [
        name
        for name in needed(table, dataset)
        if root is None or CATALOGUE[name].find(root) is None
    ]


def measure(
    table: str, dataset: str, name: str, root: Path | None, backbone: Backbone, seeds: range
) -> list[dict]:
    """One run a seed: 16 images a class from the training split, judged on the test split."""
    runs: list[dict] = []
    for seed in seeds if name != "zeroshot" else seeds[:1]:
        task = load_task(
            dataset, root=root, shots=16, seed=seed, ood=STRANGERS if table == "ood" else None
        )
        config = preset(name, seed=seed)
        model = SOTGLP(
            backbone,
            task.class_names,
            with_template(config, task.template, backbone) if name == "zeroshot" else config,
        )
        fit(model, task.train)
        result = evaluate(model, task.test, task.ood)
        flat = {
            f"{score} {metric.upper()}": row
            for score, metrics in result.ood.get("mean", {}).items()
            for metric, row in metrics.items()
            if metric in ("auroc", "fpr95")
        }
        runs.append(
            {"seed": seed, "top-1": result.accuracy, "ECE": result.calibration_error, **flat}
        )
    return runs


def quoted(table: str, dataset: str, name: str, column: str = "top-1") -> tuple[float | None, str]:
    """The published figure in per cent, and its source; None where none is known."""
    if table == "few-shot":
        rows = [
            row for row in published("sixteen_shot_accuracy") if row["method"] == METHOD.get(name)
        ]
        value = rows[0].get(DATASETS[dataset]) if rows else None
    else:
        score, _, metric = column.partition(" ")
        key = {"top-1": "imagenet_16shot", "AUROC": "auroc_avg4", "FPR95": "fpr95_avg4"}[
            metric or column
        ]
        rows = [
            row
            for row in published("ood_detection")
            if row["method"] == METHOD.get(name)
            and (
                not metric
                or row["score"] == score
                or name == "sotglp"
                and metric == "AUROC"
                and score == "GL-MCM"
            )
        ]
        value = rows[0].get(key) if rows else None
    return (float(value), str(rows[0]["source"])) if value not in (None, "") else (None, "")
