"""The tables of the embedded task: ``python tests/benchmarks/tables.py presets|allocations|support [--seeds 3]``.

For every row the learning rate is chosen on the validation images with seed 1; then each seed draws other training
images and other prompts, and is judged on the test images. Mean and standard deviation over the seeds, in per cent.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from sotglp_core import SOTGLP, evaluate, fit, load_backbone, load_task, partition, preset
from sotglp_core.config import PRESETS, Config
from sotglp_core.features import Features, encode

RATES = (0.02, 0.1, 0.5, 2.0)
EPSILONS = (0.01, 0.03, 0.1, 0.3, 1.0)
ROWS = {
    "presets": {name: (name, {}) for name in PRESETS},
    "allocations": {**{f"ot, epsilon {e}": ("sotglp", dict(epsilon=e)) for e in EPSILONS},
                    "uniform": ("sotglp", dict(allocation="uniform")), "max": ("sotglp", dict(allocation="max")),
                    "topk": ("sotglp", dict(allocation="topk", top_k=(10,))), "ot, all patches": ("sotglp", dict(support=None))},
    "support": {f"K = {k}": ("sotglp", dict(support=k)) for k in (1, 3, 10, 30, 100, 196)},
}


def learned(backbone, task, train: Features, config: Config) -> SOTGLP:
    model = SOTGLP(backbone, task.class_names, config)
    fit(model, train, progress=False)
    return model


@torch.no_grad()
def against_truth(model: SOTGLP, test: Features, grids: np.ndarray) -> dict[str, float]:
    """Purity and NMI of the prompts' patches with the true parts, class by class, and the share of the support on the bird."""
    text, purity, nmi, on_bird = model.text_features(), [], [], []
    for c in range(len(model.class_names)):
        own = (test.labels == c).nonzero()[:, 0]
        alignment = model(test.batch(own), text).alignment
        prompts = partition.assignment(alignment.plan[:, c])
        parts = torch.from_numpy(grids[own].reshape(len(own), -1)).gather(1, alignment.support[:, c]).long()
        held = prompts >= 0
        on_bird.append(float((parts[held] > 0).double().mean()))
        purity.append(partition.purity(prompts.flatten(), parts.flatten()))
        nmi.append(partition.normalised_mutual_information(prompts.flatten(), parts.flatten()))
    return {"on bird": float(np.mean(on_bird)), "purity": float(np.mean(purity)), "NMI": float(np.mean(nmi))}


def measure(rows: dict, seeds: Iterable[int], out: Path) -> dict[str, list[dict]]:
    backbone, results = load_backbone(), {}
    tasks = {seed: load_task(shots=16, seed=seed) for seed in seeds}
    grids = tasks[1].test.part_grids()
    for label, (name, changes) in rows.items():
        config = preset(name, epochs=PRESETS[name].get("epochs", 20), batch_size=64, **changes)
        shared = dict(shared_first_block=config.shared_first_block)
        val, test = (encode(backbone, getattr(tasks[1], split), **shared) for split in ("val", "test"))
        strangers = {n: encode(backbone, images, **shared) for n, images in tasks[1].ood.items()}
        train = {seed: encode(backbone, task.train, **shared) for seed, task in tasks.items()}
        rates = RATES if config.epochs else RATES[:1]
        tried = {lr: evaluate(learned(backbone, tasks[1], train[1], config.replace(lr=lr)), val, progress=False).accuracy for lr in rates}
        best = max(tried, key=tried.get)
        results[label] = []
        for seed in seeds if config.epochs else [1]:
            model = learned(backbone, tasks[seed], train[seed], config.replace(lr=best, seed=seed))
            result = evaluate(model, test, strangers, progress=False)
            row = {"lr": best, "top-1": result.accuracy, "MCM AUROC": result.ood["mean"]["MCM"]["auroc"],
                   "GL-MCM AUROC": result.ood["mean"]["GL-MCM"]["auroc"], "GL-MCM FPR95": result.ood["mean"]["GL-MCM"]["fpr95"],
                   "ECE": result.calibration_error,
                   **{k: result.partition.get(k, float("nan")) for k in ("prompt_overlap", "entropy_ratio", "effective_prompts")},
                   **(against_truth(model, test, grids) if model.local_prompts is not None else {})}
            results[label].append(row)
        print(label, tried, results[label][-1], flush=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1))
    return results


def markdown(results: dict[str, list[dict]]) -> str:
    columns = list(max((rows[0] for rows in results.values()), key=len))[1:]
    lines = ["| |lr|" + "|".join(columns) + "|", "|---" * (len(columns) + 2) + "|"]
    for label, rows in results.items():
        cells = []
        for column in columns:
            values = np.array([row.get(column, np.nan) for row in rows]) * (1 if column == "effective_prompts" else 100)
            cells.append("–" if np.isnan(values).any() else f"{values.mean():.1f} ± {values.std():.1f}")
        lines.append(f"|{label}|{rows[0]['lr']}|" + "|".join(cells) + "|")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", choices=ROWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    rows = ROWS[options.table]
    print(markdown(measure(rows, range(1, options.seeds + 1), options.out / f"{options.table}.json")))


if __name__ == "__main__":
    main()
