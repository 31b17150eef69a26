"""How far apart do two trainings end that began almost alike? In float32 and in float64, for a few
presets and learning rates.

python tests/benchmarks/rounding.py
"""

from __future__ import annotations

import torch

from sotglp_core import SOTGLP, evaluate, fit, load_backbone, load_task, preset
from sotglp_core.data.features import Features, encode

MOVED = {
    "fp32": 1e-6,
    "fp64": 1e-15,
}  # what is added to each number that is learned, times a standard normal one
TRIED = (("coop", 0.1), ("sotglp", 0.5), ("sotglp", 2.0), ("gallop", 2.0), ("sotglp", 8.0))


def trained(backbone, names, train: Features, name: str, lr: float, moved: float) -> SOTGLP:
    model = SOTGLP(backbone, names, preset(name, lr=lr, epochs=20, batch_size=64))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p += moved * torch.randn(p.shape, generator=generator).to(p.dtype)
    fit(model, train, progress=False)
    return model


def main() -> None:
    task = load_task(shots=16)
    for precision, moved in MOVED.items():
        backbone = load_backbone(precision=precision)
        train, val = encode(backbone, task.train), encode(backbone, task.val)
        for name, lr in TRIED:
            first, second = (
                trained(backbone, task.class_names, train, name, lr, by) for by in (0.0, moved)
            )
            apart = max(
                float((a - b).abs().max()) for a, b in zip(first.parameters(), second.parameters())
            )
            accuracies = " and ".join(
                f"{evaluate(model, val, progress=False).accuracy:.1%}" for model in (first, second)
            )
            print(
                f"{precision}, {name}, lr {lr}: moved by {moved:.0e}, {apart:.0e} apart after "
                f"20 epochs; {accuracies} of val right"
            )


if __name__ == "__main__":
    main()
