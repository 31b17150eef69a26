"""How far apart do two trainings end that began almost alike? In float32 and in float64.

    python tests/benchmarks/rounding.py

At the learning rates of the recipes, and for SOT-GLP at the largest that was tried.
"""

from __future__ import annotations

import argparse

import torch

from sotglp_core import SOTGLP, evaluate, fit, load_backbone, load_task, recipe
from sotglp_core.clip.backbone import Backbone
from sotglp_core.data.features import encode
from sotglp_core.data.task import Task

MOVED = {"fp32": 1e-6, "fp64": 1e-15}  # times a standard normal number, added to all that learns
TRIED = (
    *({"method": method} for method in ("coop", "sotglp", "sotglp-proj", "gallop")),
    {"method": "sotglp", "lr": 8.0},
)


def trained(backbone: Backbone, task: Task, settings: dict, moved: float) -> tuple[SOTGLP, float]:
    """The model, and its accuracy on the validation images."""
    model = SOTGLP(backbone, task.class_names, recipe(**settings))
    train, val = (encode(backbone, x, dense=model.config.dense) for x in (task.train, task.val))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p += moved * torch.randn(p.shape, generator=generator).to(p.dtype)
    fit(model, train, progress=False)
    return model, evaluate(model, val, progress=False).accuracy


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    epochs, task = parser.parse_args(arguments).epochs, load_task(shots=16)
    for precision, moved in MOVED.items():
        backbone = load_backbone(precision=precision)
        for tried in TRIED:
            settings = {**tried, "epochs": epochs}
            (first, right), (second, also) = (
                trained(backbone, task, settings, by) for by in (0.0, moved)
            )
            pairs = zip(first.parameters(), second.parameters())
            apart = max(float((a - b).detach().abs().max()) for a, b in pairs)
            print(
                f"{precision}, {tried['method']}, lr {first.config.lr}: moved by {moved:.0e}, "
                f"{apart:.0e} apart; {right:.1%} and {also:.1%} of val right",
                flush=True,
            )


if __name__ == "__main__":
    main()
