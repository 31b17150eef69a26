"""Experiments: settings at so many shots, once for each seed; finished runs are kept in a file."""

import hashlib
import json
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..clip.backbone import Backbone
from ..config import Config
from ..data.features import encode
from ..data.task import load_task
from ..judging.evaluation import evaluate
from ..learning.training import fit
from ..method.model import SOTGLP, with_template
from ..recipes import recipe
from ..storage import write_text
from .timing import seconds_per_image, seconds_per_step

SCORES = ("MCM", "GL-MCM")
TIMED = 32  # classes that a training step is timed with


class Experiment(NamedTuple):
    """One row of a table."""

    label: str
    config: Config
    shots: int = 16


class Bench:
    """Runs experiments on one task; its test images are encoded once, and finished runs kept.

    :param data: what :func:`~sotglp_core.data.task.load_task` takes, with its ``options``.
    :param results: the file of finished runs, one JSON object a line.
    :param text_chunk: as in :class:`~sotglp_core.method.model.SOTGLP`.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: str = "pocket",
        *,
        results: Path,
        progress: bool = True,
        text_chunk: int | None = None,
        **options: Any,
    ):
        self.backbone, self.results, self.progress = backbone, results, progress
        self.text_chunk = text_chunk
        self.load = cache(partial(load_task, data, **options))
        self.task = self.load(shots=1, seed=1)
        self.encode = cache(partial(encode, backbone, progress=progress))

    def config(self, method: str, dataset: str | None = None, **changes: Any) -> Config:
        """The method's recipe for the dataset; zero-shot with the dataset's own template."""
        config = recipe(method, dataset, backbone=self.backbone.name, **changes)
        if method == "zeroshot" and "template" not in changes:
            return with_template(config, self.task.template, self.backbone)
        return config

    def run(self, experiment: Experiment, seed: int) -> dict:
        """The run of a seed: the one in the file, or else made now and added to it."""
        key = self.key(experiment, seed)
        return load_or_run(self.results, key, lambda: self.measure(experiment, seed))

    def runs(self, experiment: Experiment, seeds: Sequence[int]) -> list[dict]:
        return [self.run(experiment, seed) for seed in needed(experiment, seeds)]

    def missing(self, experiment: Experiment, seeds: Sequence[int]) -> int:
        """How many runs are not in the file."""
        runs = read_runs(self.results)
        return sum(not find_run(runs, self.key(experiment, s)) for s in needed(experiment, seeds))

    def key(self, experiment: Experiment, seed: int) -> dict:
        """What identifies a run."""
        label, config, shots = experiment
        return {
            "label": label,
            "shots": shots,
            "seed": seed,
            **self.facts,
            "trained on": self.load(shots=shots, seed=seed).train.fingerprint()[:16],
            "settings": {**config.to_dict(), "seed": seed, "top_k": list(config.top_k)},
        }

    @property
    def test_sets(self) -> dict:
        return {"test": self.task.test, **self.task.ood, **self.task.shifts}

    @cached_property
    def facts(self) -> dict:
        """What all runs depend on: versions, weights, classes, and the images to test on."""
        digests = [(name, images.fingerprint()) for name, images in self.test_sets.items()]
        tested_on = hashlib.sha256(repr((self.task.class_names, digests)).encode()).hexdigest()
        return {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "weights": self.backbone.fingerprint,
            "precision": self.backbone.precision,
            "tested on": tested_on[:16],
        }

    def learn(self, experiment: Experiment, seed: int) -> SOTGLP:
        config, names = experiment.config.replace(seed=seed), self.task.class_names
        model = SOTGLP(self.backbone, names, config, text_chunk=self.text_chunk)
        fit(model, self.load(shots=experiment.shots, seed=seed).train, progress=self.progress)
        return model

    def measure(self, experiment: Experiment, seed: int) -> dict:
        return self.test(self.learn(experiment, seed))

    def test(self, model: SOTGLP) -> dict[str, Any]:
        """Accuracy, calibration error, detection of every OOD set, shifts, partition."""
        dense = model.config.dense
        sets = {name: self.encode(images, dense=dense) for name, images in self.test_sets.items()}
        ood, shifts = ({name: sets[name] for name in x} for x in (self.task.ood, self.task.shifts))
        result = evaluate(model, sets["test"], ood, shifts, progress=False)
        row = {"top-1": result.accuracy, "ECE": result.calibration_error}
        for name, scores in result.ood.items():
            for score in SCORES:
                row[f"{name} {score} AUROC"] = scores[score]["auroc"]
                row[f"{name} {score} FPR95"] = scores[score]["fpr95"]
        return row | result.shifts | result.partition

    def seconds(self, experiment: Experiment, runs: int) -> tuple[float, float]:
        """How long so many runs will take, and the encoding of all their images before."""
        _, config, shots = experiment
        names = self.task.class_names
        timed = names[:TIMED]
        step, test = seconds_per_step(self.backbone, timed, config)
        tested, trained = sum(map(len, self.test_sets.values())), shots * len(names)
        steps = config.epochs * math.ceil(trained / config.batch_size)
        learning = runs * (steps * step + tested * test) * len(names) / len(timed)
        return learning, (tested + runs * trained) * seconds_per_image(self.backbone)


def needed(experiment: Experiment, seeds: Sequence[int]) -> Sequence[int]:
    """The seeds; where nothing is learned, the first one is enough."""
    return seeds if experiment.config.epochs else seeds[:1]


def load_or_run(path: Path, key: dict, run: Callable[[], dict]) -> dict:
    """The run of a file that has all entries of ``key``, or else a new one, added to the file.

    :raises ValueError: if the file holds anything else than runs, or can't be written.
    """
    found = find_run(read_runs(path), key)
    if found is None:
        found = {**key, **run()}
        lines = [json.dumps(row) + "\n" for row in [*read_runs(path), found]]
        write_text(path, "".join(lines))
    return found


def find_run(runs: Sequence[dict], key: dict) -> dict | None:
    return next((run for run in runs if key.items() <= run.items()), None)


def read_runs(path: Path) -> list[dict]:
    """The runs of a file, none if it is not there.

    :raises ValueError: if it holds anything else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        runs = [json.loads(line) for line in lines]
        if all("label" in run for run in runs):
            return runs
    except (TypeError, ValueError):
        pass
    raise ValueError(f"{path} does not hold runs; remove it, or choose another folder")


def read_rows(path: Path) -> dict[str, list[dict]]:
    """Label -> runs of a file."""
    rows: dict[str, list[dict]] = {}
    for run in read_runs(path):
        rows.setdefault(run["label"], []).append(run)
    return rows


def cell(runs: Sequence[Mapping], column: str) -> str:
    """Mean and standard deviation over the runs, in per cent."""
    values = 100 * np.array([run.get(column, np.nan) for run in runs])
    if not len(values) or np.isnan(values).any():
        return "–"
    spread = f"\u00a0±\u00a0{values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def markdown(table: Sequence[Sequence[str]]) -> str:
    heading, *rows = table
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
