"""Experiments: settings at so many shots, once for each seed; finished runs are kept in a file."""

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..clip.backbone import Backbone
from ..config import Config
from ..data import Images
from ..data.catalogue import Dataset, known
from ..data.features import encode
from ..data.task import Task, load_task
from ..judging.evaluation import evaluate
from ..learning.training import fit
from ..method.model import SOTGLP
from ..recipes import draw_of, recipe, recipe_sources
from ..storage import write_text
from .runs import environment

REPORTED = ("MCM", "GL-MCM")  # scores


class Experiment(NamedTuple):
    """One row of a table."""

    label: str
    config: Config
    shots: int
    draw: str  # of the training images, see data.sampling
    sources: dict[str, str]  # setting -> where its value is from


class Bench:
    """Runs experiments on one task; its test images are encoded once, and finished runs kept.

    Nothing is read before it is needed, so that a plan can be made without the data.

    :param data: what :func:`~sotglp_core.data.task.load_task` takes, with its ``options``.
    :param results: the file of finished runs, one JSON object a line. A run that is cut leaves a
        checkpoint beside it, and goes on from there.
    :param draw: of the training images; None: on a benchmark, that of the method's authors.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: str = "pocket",
        *,
        results: Path,
        draw: str | None = None,
        **options: Any,
    ):
        self.backbone, self.results, self.draw = backbone, results, draw
        sources = [data, *(options.get("ood") or ())]
        self.places = [known(source, options.get("root")) for source in sources]
        self.dataset, self.folder = self.places[0]
        self.there = all(folder for row, folder in self.places if row)  # on this machine
        self.load = cache(partial(load_task, data, **options))
        self.encode = cache(partial(encode, backbone))

    @cached_property
    def task(self) -> Task:
        return self.load(shots=1, seed=1)

    @property
    def size(self) -> tuple[int, int]:
        """Classes, and images to test on; of a benchmark that is not here, by the catalogue."""
        if self.dataset and not self.there:
            return self.dataset.classes, sum(row.counts[-1] for row, _ in self.places if row)
        return len(self.task.class_names), sum(map(len, self.test_sets.values()))

    def experiment(self, method: str, **options: Any) -> Experiment:
        """The method by its recipe for this dataset; ``options`` of :func:`experiment_for`."""
        name = self.backbone.name
        return experiment_for(method, self.dataset, name, draw=self.draw, **options)

    def run(self, experiment: Experiment, seed: int) -> dict:
        """The run of a seed: the one in the file, or else made now and added to it."""
        key = self.key(experiment, seed)
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        checkpoint = self.results.with_name(f"{self.results.stem}-{digest}.safetensors")

        def measure() -> dict:
            config, names = experiment.config.replace(seed=seed), self.task.class_names
            model = SOTGLP(self.backbone, names, config)
            fit(model, self.train(experiment, seed), checkpoint=checkpoint)
            return {
                "dataset": self.dataset.name if self.dataset else self.task.name,
                "split": self.split,
                "sources": experiment.sources,
                "backbone": f"{self.backbone.name} {self.backbone.pretrained}",
                "environment": environment(str(self.backbone.device)),
                **self.test(model),
            }

        row = load_or_run(self.results, key, measure)
        checkpoint.unlink(missing_ok=True)
        return row

    def runs(self, experiment: Experiment, seeds: Sequence[int]) -> list[dict]:
        """The runs of all seeds; where nothing is learned, of the first one."""
        seeds = seeds if experiment.config.epochs else seeds[:1]
        return [self.run(experiment, seed) for seed in seeds]

    def missing(self, experiment: Experiment, seeds: Sequence[int]) -> int:
        """How many of :meth:`runs` are not in the file."""
        seeds = seeds if experiment.config.epochs else seeds[:1]
        if not self.there:
            return len(seeds)
        runs = read_runs(self.results)
        return sum(not find_run(runs, self.key(experiment, seed)) for seed in seeds)

    def key(self, experiment: Experiment, seed: int) -> dict:
        """What identifies a run."""
        label, config, shots, draw, _ = experiment
        return {
            "label": label,
            "shots": shots,
            "draw": draw,
            "seed": seed,
            **self.facts,
            "trained on": self.train(experiment, seed).fingerprint()[:16],
            "settings": {**config.to_dict(), "seed": seed, "top_k": list(config.top_k)},
        }

    def train(self, experiment: Experiment, seed: int) -> Images:
        """The training images of a run."""
        return self.load(shots=experiment.shots, seed=seed, draw=experiment.draw).train

    @property
    def test_sets(self) -> dict:
        return {"test": self.task.test, **self.task.ood, **self.task.shifts}

    @property
    def split(self) -> str | None:
        """Digest of the files that say which images of a benchmark teach and which test."""
        if self.dataset is None or self.folder is None:
            return None
        names = [self.dataset.split] if self.dataset.split else self.dataset.files
        content = b"".join((self.folder / name).read_bytes() for name in names)
        return hashlib.sha256(content).hexdigest()

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

    def test(self, model: SOTGLP) -> dict[str, Any]:
        """Accuracy, calibration error, detection of every OOD set, shifts, partition."""
        encoded = partial(self.encode, dense=model.config.dense)
        ood = {name: encoded(images) for name, images in self.task.ood.items()}
        shifts = {name: encoded(images) for name, images in self.task.shifts.items()}
        result = evaluate(model, encoded(self.task.test), ood, shifts, progress=False)
        row = {"top-1": result.accuracy, "ECE": result.calibration_error}
        for name, scores in result.ood.items():
            for score, metric in product(REPORTED, ("AUROC", "FPR95")):
                row[f"{name} {score} {metric}"] = scores[score][metric.lower()]
        return row | result.shifts | result.partition


def experiment_for(
    method: str,
    dataset: Dataset | None,
    backbone: str,
    *,
    label: str | None = None,
    shots: int = 16,
    draw: str | None = None,
    **changes: Any,
) -> Experiment:
    """The method by its recipe, with some settings changed.

    Zero-shot CLIP has the dataset's own template; learned contexts keep "a photo of a", as in CoOp.

    :param dataset: a row of the catalogue; None: images of one's own, or the embedded task.
    :param backbone: its name.
    :param label: of the row; None: the method.
    :param draw: None: on a benchmark the draw of the method's authors, elsewhere our own.
    :raises ValueError: on an unknown method or setting, with the nearest name.
    """
    name = dataset.name if dataset else None
    suits: dict[str, Any] = {"backbone": backbone, "shots": shots, **changes}
    config, sources = recipe(method, name, **suits), recipe_sources(method, name, **suits)
    if method == "zeroshot" and dataset and "template" not in changes:
        config = config.replace(template=dataset.template)
        sources["template"] = f"the prompt of {name}"
    draw = draw or (draw_of(method) if dataset else "exact")
    return Experiment(label or method, config, shots, draw, sources)


def load_or_run(path: Path, key: dict, run: Callable[[], dict]) -> dict:
    """The run of a file that has all entries of ``key``, or else a new one, added to the file.

    :raises ValueError: if the file holds anything else than runs, or can't be written.
    """
    found = find_run(read_runs(path), key)
    if found is None:
        found = {**key, **run()}
        lines = [f"{json.dumps(row)}\n" for row in [*read_runs(path), found]]
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
    if not runs or not all(column in run for run in runs):
        return "–"
    values = 100 * np.array([run[column] for run in runs])
    spread = f"\u00a0±\u00a0{values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def markdown(table: Sequence[Sequence[str]]) -> str:
    heading, *rows = table
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
