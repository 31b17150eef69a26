"""The book's tables on the embedded task, as ``tables.yaml`` says.

``rates`` chooses learning rates on the validation images, with seed 1. In the other tables each
seed draws its training images and prompts, and the test images count.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from ..clip.backbone import Backbone
from ..judging import partition
from ..method.model import SOTGLP
from ..pocket.world import SHIFTS
from .experiments import Bench, Experiment, cell, read_rows

FOLDER = Path(__file__).parent
MEASURED = FOLDER / "measured"  # what the book shows
TABLES: dict[str, dict] = yaml.safe_load((FOLDER / "tables.yaml").read_text(encoding="utf-8"))
EPOCHS = 20
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the learned projection, in the table tradeoff
Rows = Mapping[str, Sequence[Mapping]]  # label -> runs


class EmbeddedBench(Bench):
    """The embedded task, of whose patches the true part of a bird is known.

    :param name: of the table.
    :param folder: of all tables; the learning rates that it has are used, else the book's.
    """

    def __init__(self, name: str, folder: Path, backbone: Backbone, **options: Any):
        shifts = SHIFTS if name == "presets" else None
        super().__init__(backbone, results=folder / f"{name}.jsonl", shifts=shifts, **options)
        self.name = name
        if name == "rates":
            self.task = replace(self.task, test=self.task.val)
        if name in ("rates", "shots"):  # which show accuracy alone
            self.task = replace(self.task, ood={})

    def experiments(self) -> list[Experiment]:
        """The rows of the table, each at the learning rate that was chosen for it."""
        rates, found = chosen_rates(MEASURED) | chosen_rates(self.results.parent), []
        ((each, values),) = TABLES[self.name].get("each", {"": [None]}).items()
        for row, changes in TABLES[self.name]["rows"].items():
            settings = {"epochs": EPOCHS, **changes}
            method = settings.pop("preset", row.split(",")[0])
            if settings["epochs"] and self.name != "rates":
                settings["lr"] = rates.get(row, rates[method])
            for value in values:
                label, varied = (f"{row}, {value}", {each: value}) if each else (row, {})
                found.append(self.experiment(method, label=label, **settings, **varied))
        return found

    def test(self, model: SOTGLP, *, weaken: bool = True) -> dict[str, Any]:
        """As of every bench; with the true parts, and in the table tradeoff, after the longest
        training, with the learned projection W turned down to I + s (W - I), the prompts as they
        are.
        """
        row, projection = {"lr": model.config.lr, **super().test(model)}, model.projection
        if self.task.ood and model.local_prompts is not None:
            row |= self.compare_parts(model)
        longest = self.name == "tradeoff" and model.config.epochs == EPOCHS
        if weaken and longest and projection is not None:
            learned, eye, row["strength"] = projection.data, torch.eye(len(projection)), []
            for strength in STRENGTHS:
                projection.data = eye + strength * (learned - eye)
                row["strength"].append({"strength": strength, **self.test(model, weaken=False)})
        return row

    @cached_property
    def parts(self) -> Tensor:
        """(n, P) part that each patch of the test images shows; 0: none."""
        test: Any = self.task.test  # embedded images
        return torch.from_numpy(test.part_grids()).flatten(1).long()

    @torch.no_grad()
    def compare_parts(self, model: SOTGLP) -> dict[str, float]:
        """Purity and NMI of the prompts' patches with the true parts, means over the classes.

        "on bird" is the fraction of assigned patches that show the bird; the others are over these
        patches. "purity by chance" assigns them at random, as many to each prompt.
        """
        test = self.encode(self.task.test, dense=model.config.dense)
        text, generator = model.text_features(), torch.Generator().manual_seed(0)
        found = defaultdict(list)
        for c in range(len(model.class_names)):
            images = (test.labels == c).nonzero()[:, 0]
            alignment = model(test.batch(images), text).alignment
            prompts = partition.assignment(alignment.plan[:, c])
            parts = self.parts[images].gather(1, alignment.support[:, c])
            bird = (prompts >= 0) & (parts > 0)
            found["on bird"].append(float(bird.sum() / (prompts >= 0).sum()))
            if bird.any():
                prompts, parts = prompts[bird], parts[bird]
                shuffled = prompts[torch.randperm(len(prompts), generator=generator)]
                found["purity"].append(partition.purity(prompts, parts))
                found["purity by chance"].append(partition.purity(shuffled, parts))
                found["NMI"].append(partition.normalised_mutual_information(prompts, parts))
        return {name: float(np.mean(values)) for name, values in found.items()}


def chosen_rates(folder: Path = MEASURED) -> dict[str, float]:
    """Row -> the learning rate at which most validation images are recognised."""
    tried = [
        (run["top-1"], -run["lr"], label.rpartition(", ")[0])
        for label, (run, *_) in read_rows(folder / "rates.jsonl").items()
    ]
    # the best of a row comes last and stays; of equals, the smaller
    return {row: -rate for _, rate, row in sorted(tried)}


def tables(name: str, rows: Rows) -> dict[str, list[list[str]]]:
    """View -> heading and rows of what is shown of a table's runs."""
    shown = {}
    for view, spec in TABLES[name]["views"].items():
        if "columns" in spec:
            columns, lines = spec["columns"], by_strength(rows) if view == "strength" else rows
            cells = [[label, *(cell(r, c) for c in columns.values())] for label, r in lines.items()]
        else:
            (values,) = TABLES[name]["each"].values()
            columns = list(map(str, values))
            names = dict.fromkeys(label.rpartition(", ")[0] for label in rows)
            cells = [
                [n, *(cell(rows.get(f"{n}, {v}", ()), "top-1") for v in columns)] for n in names
            ]
        if cells:
            shown[view] = [[spec["heading"], *columns], *cells]
    return shown


def by_strength(rows: Rows) -> Rows:
    """The runs with the projection turned down, as rows of their own."""
    found = defaultdict(list)
    for run in chain(*rows.values()):
        for weaker in run.get("strength", []):
            found[f"strength {weaker['strength']}"].append(weaker)
    return found
