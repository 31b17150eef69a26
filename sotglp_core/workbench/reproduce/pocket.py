"""The tables of the embedded task.

``rates`` chooses learning rates on the validation images, with seed 1; a row that has none there takes its preset's. For the
other tables each seed draws training images and prompts of its own, and is judged on the test images.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from ...clip.backbone import Backbone
from ...config import PRESETS, Config, preset
from ...data import Images
from ...data.embedded import TEST, species_images
from ...data.features import Features, encode
from ...data.task import load_task
from ...judging import partition
from ...judging.evaluation import evaluate
from ...learning.training import fit
from ...method.model import SOTGLP
from ...pocket.world import SHIFTS
from .rows import MEASURED, row_path

RATES = (0.1, 0.5, 2.0, 8.0)
EPOCHS = 20
SHOTS = (1, 2, 4, 8, 16)
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SCORES = ("MCM", "GL-MCM")
CONTEXTS: dict[str, dict] = {  # whose they are: every class's own, or shared by all
    "global shared": dict(local_prompts=0),
    "global own": dict(local_prompts=0, global_class_specific=True),
    "local shared": dict(global_prompts=0, local_class_specific=False),
    "local own": dict(global_prompts=0),
    "global shared, local shared": dict(local_class_specific=False),
    "global shared, local own": {},
    "global own, local shared": dict(global_class_specific=True, local_class_specific=False),
    "global own, local own": dict(global_class_specific=True),
}
ROWS: dict[
    str, dict[str, tuple[str, dict]]
] = {  # table -> row -> preset, and what is changed in it
    "rates": {
        **{name: (name, {}) for name in PRESETS if name != "zeroshot"},
        **{label: ("sotglp", changes) for label, changes in CONTEXTS.items() if changes},
    },
    "presets": {name: (name, {}) for name in PRESETS},
    "allocations": {
        **{f"ot, epsilon {e}": ("sotglp", dict(epsilon=e)) for e in (0.01, 0.1, 1.0)},
        "uniform": ("sotglp", dict(allocation="uniform")),
        "topk": ("sotglp", dict(allocation="topk", top_k=(10,))),
        "max": ("sotglp", dict(allocation="max")),
        "ot, all patches": ("sotglp", dict(support=None)),
        "uniform, all patches": ("sotglp", dict(allocation="uniform", support=None)),
    },
    "support": {f"K = {k}": ("sotglp", dict(support=k)) for k in (1, 3, 10, 30, 100, 196)},
    "contexts": {label: ("sotglp", changes) for label, changes in CONTEXTS.items()},
    "shots": {
        f"{name}, {k}": (name, {"shots": k})
        for name in ("zeroshot", "coop", "gallop", "sotglp", "sotglp-proj")
        for k in SHOTS
    },
    "tradeoff": {
        f"{name}, {e} epochs": (name, dict(epochs=e))
        for name in ("sotglp", "sotglp-proj")
        for e in (5, 10, 20)
    },
}


class Bench:
    """The embedded task, its features and what the test images truly show; every image is encoded once."""

    def __init__(self, seeds: range, folder: Path, backbone: Backbone, *, progress: bool = True):
        self.backbone, self.seeds, self.folder, self.progress = backbone, seeds, folder, progress
        self.task = load_task(shots=16)
        test = species_images("test", TEST)  # the task's own, with their part masks
        self.grids = torch.from_numpy(test.part_grids().reshape(len(test), -1)).long()
        self.shifts = {name: species_images("test", TEST, shift=name) for name in SHIFTS}

    def encode(self, images: Images | Features, config: Config) -> Features:
        return encode(
            self.backbone,
            images,
            shared_first_block=config.shared_first_block,
            progress=self.progress,
        )

    def learned(self, config: Config, shots: int) -> SOTGLP:
        model = SOTGLP(self.backbone, self.task.class_names, config)
        fit(
            model,
            self.encode(load_task(shots=shots, seed=config.seed).train, config),
            progress=self.progress,
        )
        return model

    def rate(self, name: str, changes: dict) -> dict:
        """The validation accuracy of each learning rate, with seed 1, and the best rate."""
        config = preset(name, **{"epochs": EPOCHS, "batch_size": 64, **changes})
        val = self.encode(self.task.val, config)
        tried = {
            lr: evaluate(self.learned(config.replace(lr=lr), 16), val, progress=False).accuracy
            for lr in RATES
        }
        return {"lr": max(tried, key=lambda lr: tried[lr]), "tried": tried}

    def judged(self, model: SOTGLP, *, ood: bool = True, shifts: bool = False) -> dict:
        config = model.config
        flat: dict[str, float] = {}
        test, *sets = (
            self.encode(images, config)
            for images in (self.task.test, *(self.task.ood.values() if ood else ()))
        )
        moved = (
            {name: self.encode(images, config) for name, images in self.shifts.items()}
            if shifts
            else {}
        )
        result = evaluate(model, test, dict(zip(self.task.ood, sets)), moved, progress=False)
        for name, row in result.ood.items():
            for score in SCORES:
                flat |= {
                    f"{name} {score} AUROC": row[score]["auroc"],
                    f"{name} {score} FPR95": row[score]["fpr95"],
                }
        truth = self.against_truth(model, test) if ood and model.local_prompts is not None else {}
        return {
            "top-1": result.accuracy,
            "ECE": result.calibration_error,
            **flat,
            **result.shifts,
            **result.partition,
            **truth,
        }

    @torch.no_grad()
    def against_truth(self, model: SOTGLP, test: Features) -> dict[str, float]:
        """Purity and NMI of the prompts' patches with the true parts, class by class, over patches that show the bird.

        "purity by chance" deals the same patches out at random, each prompt as many as it had. "on bird" is the share of
        the plan's patches that show the bird; a class of which none does counts there alone.
        """
        text, found, generator = model.text_features(), [], torch.Generator().manual_seed(0)
        for c in range(len(model.class_names)):
            own = (test.labels == c).nonzero()[:, 0]
            alignment = model(test.batch(own), text).alignment
            prompts = partition.assignment(alignment.plan[:, c])
            parts = self.grids[own].gather(1, alignment.support[:, c])
            bird = (prompts >= 0) & (parts > 0)
            found.append({"on bird": float(bird.sum() / (prompts >= 0).sum())})
            if bird.any():
                dealt, shown = prompts[bird], parts[bird]
                shuffled = dealt[torch.randperm(len(dealt), generator=generator)]
                found[-1] |= {
                    "purity": partition.purity(dealt, shown),
                    "purity by chance": partition.purity(shuffled, shown),
                    "NMI": partition.normalised_mutual_information(dealt, shown),
                }
        return {
            key: float(np.mean([row[key] for row in found if key in row]))
            for key in ("on bird", "purity", "purity by chance", "NMI")
        }

    def row(self, label: str, name: str, changes: dict, table: str) -> list[dict]:
        settings = {
            "epochs": PRESETS[name].get("epochs", EPOCHS),
            "batch_size": 64,
            **{k: v for k, v in changes.items() if k != "shots"},
        }
        config = preset(name, **settings)
        config, runs = (
            config.replace(lr=self.known_rate(label if label in ROWS["rates"] else name))
            if config.epochs
            else config,
            [],
        )
        for seed in self.seeds if config.epochs else self.seeds[:1]:
            model = self.learned(config.replace(seed=seed), changes.get("shots", 16))
            runs.append(
                {
                    "lr": config.lr,
                    "seed": seed,
                    **self.judged(model, ood=table != "shots", shifts=table == "presets"),
                }
            )
            if table == "tradeoff" and model.projection is not None and config.epochs == EPOCHS:
                runs[-1]["strength"] = self.strengths(model)
        return runs

    def known_rate(self, label: str) -> float:
        """What the table `rates` of this folder chose, else what the book's chose."""
        mine = row_path(self.folder, "rates", label)
        return json.loads(
            (mine if mine.is_file() else row_path(MEASURED, "rates", label)).read_text(
                encoding="utf-8"
            )
        )["runs"]["lr"]

    def measure(self, table: str, label: str) -> list[dict] | dict:
        """The runs of one row."""
        name, changes = ROWS[table][label]
        return (
            self.rate(name, changes) if table == "rates" else self.row(label, name, changes, table)
        )

    def strengths(self, model: SOTGLP) -> list[dict]:
        """The learned projection W turned down to I + s (W - I), the prompts as they are."""
        assert model.projection is not None
        learned, rows = model.projection.data, []
        eye = torch.eye(len(learned))
        for s in STRENGTHS:
            model.projection.data = eye + s * (learned - eye)
            rows.append({"strength": s, **self.judged(model)})
        model.projection.data = learned
        return rows
