"""The tables of the embedded task: ``python tests/benchmarks/tables.py rates presets allocations shots tradeoff [--seeds 3]``.

`rates` comes first: it chooses each preset's learning rate on the validation images, with seed 1. For the other tables each seed
draws training images and prompts of its own, and is judged on the test images. Every row measured is a file in results/TABLE, and
kept: run again to go on, or run `--part 1/2` and `--part 2/2` side by side. The tables, mean and standard deviation over the seeds
in per cent, are written as soon as all rows are there.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import torch

from sotglp_core import SOTGLP, evaluate, fit, load_backbone, load_task, partition, preset
from sotglp_core.config import PRESETS, Config
from sotglp_core.features import Features, encode
from sotglp_core.pocket.tasks import TEST, species_images
from sotglp_core.pocket.world import SHIFTS
from sotglp_core.storage import write_text

RESULTS = Path(__file__).parent / "results"
RATES = (0.1, 0.5, 2.0)
EPOCHS = 20
SHOTS = (1, 2, 4, 8, 16)
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SCORES = ("MCM", "GL-MCM")
ROWS = {
    "rates": {name: (name, {}) for name in PRESETS if name != "zeroshot"},
    "presets": {name: (name, {}) for name in PRESETS},
    "allocations": {**{f"ot, epsilon {e}": ("sotglp", dict(epsilon=e)) for e in (0.01, 0.1, 1.0)},
                    "uniform": ("sotglp", dict(allocation="uniform")), "topk": ("sotglp", dict(allocation="topk", top_k=(10,))),
                    "max": ("sotglp", dict(allocation="max")), "ot, all patches": ("sotglp", dict(support=None))},
    "support": {f"K = {k}": ("sotglp", dict(support=k)) for k in (1, 3, 10, 30, 100, 196)},
    "shots": {f"{name}, {k}": (name, {"shots": k}) for name in ("zeroshot", "coop", "gallop", "sotglp", "sotglp-proj") for k in SHOTS},
    "tradeoff": {f"{name}, {e} epochs": (name, dict(epochs=e)) for name in ("sotglp", "sotglp-proj") for e in (5, 10, 20)},
}


class Bench:
    """The embedded task, its features and what the test images truly show; every image is encoded once."""

    def __init__(self, seeds: range):
        self.backbone, self.seeds = load_backbone(), seeds
        self.task = load_task(shots=16)
        self.grids = torch.from_numpy(self.task.test.part_grids().reshape(len(self.task.test), -1)).long()
        self.shifts = {name: species_images("test", TEST, shift=name) for name in SHIFTS}

    def encode(self, images, config: Config) -> Features:
        return encode(self.backbone, images, shared_first_block=config.shared_first_block)

    def learned(self, config: Config, shots: int) -> SOTGLP:
        model = SOTGLP(self.backbone, self.task.class_names, config)
        fit(model, self.encode(load_task(shots=shots, seed=config.seed).train, config), progress=False)
        return model

    def rate(self, name: str) -> dict:
        """The validation accuracy of each learning rate, with seed 1, and the best rate."""
        config = preset(name, epochs=EPOCHS, batch_size=64)
        val = self.encode(self.task.val, config)
        tried = {lr: evaluate(self.learned(config.replace(lr=lr), 16), val, progress=False).accuracy for lr in RATES}
        return {"lr": max(tried, key=tried.get), "tried": tried}

    def judged(self, model: SOTGLP, *, ood: bool = True, shifts: bool = False) -> dict:
        config, flat = model.config, {}
        test, *sets = (self.encode(images, config) for images in (self.task.test, *(self.task.ood.values() if ood else ())))
        moved = {name: self.encode(images, config) for name, images in self.shifts.items()} if shifts else {}
        result = evaluate(model, test, dict(zip(self.task.ood, sets)), moved, progress=False)
        for name, row in result.ood.items():
            for score in SCORES:
                flat |= {f"{name} {score} AUROC": row[score]["auroc"], f"{name} {score} FPR95": row[score]["fpr95"]}
        truth = self.against_truth(model, test) if ood and model.local_prompts is not None else {}
        return {"top-1": result.accuracy, "ECE": result.calibration_error, **flat, **result.shifts, **result.partition, **truth}

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
                found[-1] |= {"purity": partition.purity(dealt, shown), "purity by chance": partition.purity(shuffled, shown),
                              "NMI": partition.normalised_mutual_information(dealt, shown)}
        return {key: float(np.mean([row[key] for row in found if key in row])) for key in ("on bird", "purity", "purity by chance", "NMI")}

    def row(self, name: str, changes: dict, table: str) -> list[dict]:
        settings = {"epochs": PRESETS[name].get("epochs", EPOCHS), "batch_size": 64, **{k: v for k, v in changes.items() if k != "shots"}}
        config = preset(name, **settings)
        config, runs = config.replace(lr=known_rate(name)) if config.epochs else config, []
        for seed in self.seeds if config.epochs else self.seeds[:1]:
            model = self.learned(config.replace(seed=seed), changes.get("shots", 16))
            runs.append({"lr": config.lr, "seed": seed, **self.judged(model, ood=table != "shots", shifts=table == "presets")})
            if table == "tradeoff" and model.projection is not None and config.epochs == EPOCHS:
                runs[-1]["strength"] = self.strengths(model)
        return runs

    def strengths(self, model: SOTGLP) -> list[dict]:
        """The learned projection W turned down to I + s (W - I), the prompts as they are."""
        learned = model.projection.data
        eye, rows = torch.eye(len(learned)), []
        for s in STRENGTHS:
            model.projection.data = eye + s * (learned - eye)
            rows.append({"strength": s, **self.judged(model)})
        model.projection.data = learned
        return rows


def known_rate(name: str) -> float:
    path = RESULTS / "rates" / f"{name}.json"
    if not path.exists():
        raise SystemExit(f"{path} is missing: run the table `rates` first")
    return json.loads(path.read_text())["runs"]["lr"]


def cell(runs: list[dict], column: str) -> str:
    values = 100 * np.array([run.get(column, np.nan) for run in runs])
    if np.isnan(values).any():
        return "–"
    return f"{values.mean():.1f}\u00a0±\u00a0{values.std(ddof=1):.1f}" if len(values) > 1 else f"{values.mean():.1f}"


def markdown(rows: dict[str, list[dict]], columns: dict[str, str], label: str = "") -> str:
    lines = [f"| {label} | " + " | ".join(columns) + " |", "| --- " + "| ---: " * len(columns) + "|"]
    for name, runs in rows.items():
        lines.append(f"| {name} | " + " | ".join(cell(runs, column) for column in columns.values()) + " |")
    return "\n".join(lines) + "\n"


OOD_SETS = ("unseen", "creatures", "scenes", "objects", "textures", "mean")
DETECTION = {f"{s} {m}": f"mean {s} {m}" for s in SCORES for m in ("AUROC", "FPR95")}
PARTITION = {"overlap": "prompt_overlap", "entropy": "entropy_ratio", "on bird": "on bird", "purity": "purity",
             "by chance": "purity by chance", "NMI": "NMI"}


def views(table: str, rows: dict[str, list[dict]]) -> dict[str, str]:
    """File name -> table in markdown."""
    if table == "presets":
        return {"presets": markdown(rows, {"top-1": "top-1", "ECE": "ECE", **DETECTION}, "preset"),
                "shifts": markdown(rows, {"as trained": "top-1", **{s: s for s in SHIFTS}}, "preset"),
                **{f"ood-{s}-{m}".lower(): markdown(rows, {n: f"{n} {s} {m}" for n in OOD_SETS}, f"{s} {m}")
                   for s in SCORES for m in ("AUROC", "FPR95")}}
    if table == "shots":
        by_shots: dict[str, list[str]] = {}
        for name, runs in rows.items():
            by_shots.setdefault(name.split(", ")[0], []).append(cell(runs, "top-1"))
        lines = ["| preset | " + " | ".join(map(str, SHOTS)) + " |", "| --- " + "| ---: " * len(SHOTS) + "|"]
        return {"shots": "\n".join([*lines, *(f"| {n} | " + " | ".join(cells) + " |" for n, cells in by_shots.items())]) + "\n"}
    columns = {"top-1": "top-1", **DETECTION, **(PARTITION if table != "tradeoff" else {})}
    out = {table: markdown(rows, columns)}
    strength = {f"strength {s}": [run["strength"][i] for runs in rows.values() for run in runs if "strength" in run]
                for i, s in enumerate(STRENGTHS)}
    if any(strength.values()):
        out["strength"] = markdown(strength, columns)
    return out


def measure(table: str, bench: Bench, rows: dict) -> None:
    """Measure the rows that are not there yet, with this version of the weights and these seeds."""
    about = {"torch": torch.__version__, "python": platform.python_version(), "weights": bench.backbone.fingerprint,
             "seeds": list(bench.seeds), "epochs": EPOCHS}
    for label, (name, changes) in rows.items():
        path = RESULTS / table / f"{label.replace(', ', '-').replace(' ', '_')}.json"
        if not path.exists() or json.loads(path.read_text())["about"] != about:
            runs = bench.rate(name) if table == "rates" else bench.row(name, changes, table)
            write_text(path, json.dumps({"label": label, "about": about, "runs": runs}, indent=1))
            said = runs if table == "rates" else f"top-1 {cell(runs, 'top-1')}, GL-MCM AUROC {cell(runs, 'mean GL-MCM AUROC')}"
            print(f"{table}, {label}: {said}", flush=True)


def write_tables(table: str) -> None:
    found = {row["label"]: row["runs"] for row in (json.loads(p.read_text()) for p in (RESULTS / table).glob("*.json"))}
    if table != "rates" and set(ROWS[table]) <= set(found):
        for name, text in views(table, {label: found[label] for label in ROWS[table]}).items():
            write_text(RESULTS / f"{name}.md", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="+", choices=ROWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", default="1/1", help="measure every n-th row alone: 1/2 and 2/2 may run side by side")
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    bench = Bench(range(1, options.seeds + 1))
    for table in options.tables:
        measure(table, bench, dict(list(ROWS[table].items())[part - 1::parts]))
        write_tables(table)


if __name__ == "__main__":
    main()
