"""``sotglp compare``: presets on one task, each trained alike, as a table and plots."""

import json
from pathlib import Path

from ..config import Config, kinds
from ..messages import progress_bar
from .common import frozen_clip, save_figure, say, show_table, split_names
from .settings import read_pairs

MEASURES = ("top-1", "mean GL-MCM AUROC", "mean GL-MCM FPR95")


def compare(
    data: str = "pocket",
    root: str | None = None,
    out: Path = Path("runs/compare"),
    presets: str = "sotglp,sotglp-proj,coop",
    shots: str = "16",
    seeds: int = 3,
    draw: str | None = None,
    classes: list[str] | None = None,
    names: str | None = None,
    ood: list[str] | None = None,
    ood_exclude: list[str] | None = None,
    backbone: str = "pocket",
    pretrained: str | None = None,
    settings: list[str] | None = None,
    skip_corrupt: bool = False,
    device: str = "auto",
    precision: str | None = None,
    as_json: bool = False,
) -> None:
    """Train presets on one task and put them side by side: top-1, AUROC and FPR95 of GL-MCM.

    Each preset is trained by its recipe for the data, with the same --set for all; no learning rate
    is chosen for any of them.

    Examples:

    - `sotglp compare --data photos --presets sotglp,coop --shots 4,16 --ood other-photos`
    """
    from ..recipes import recipe
    from ..workbench.experiments import Bench, cell

    changes, wanted = read_pairs(settings, kinds(Config)), split_names([presets])
    numbers = sorted({int(k) if k.isdecimal() else 0 for k in split_names([shots])})
    if not wanted or not numbers or not numbers[0]:
        raise ValueError("give at least one preset, and positive integers such as --shots 4,16")
    for name in wanted:
        recipe(name, backbone=backbone, **changes)  # a mistake is said before anything is loaded
    bench = Bench(
        frozen_clip(backbone, pretrained, device, precision),
        data,
        results=out / "results.jsonl",
        draw=draw,
        root=root,
        classes=split_names(classes),
        names=names,
        ood=ood,
        ood_exclude=split_names(ood_exclude),
        skip_corrupt=skip_corrupt,
    )
    bench.load(shots=numbers[-1], seed=1)  # says at once if a class has too few images
    rows: dict = {}
    work = [bench.experiment(m, shots=k, **changes) for m in wanted for k in numbers]
    for e in progress_bar(work, desc="compare", unit="row"):
        rows[e.label, e.shots] = bench.runs(e, range(1, seeds + 1))
        if as_json:
            print(*map(json.dumps, rows[e.label, e.shots]), sep="\n", flush=True)
    _plot(rows, wanted, numbers, out)
    measures = MEASURES if bench.task.ood else MEASURES[:1]
    numbered = ["shots", *(f"{measure}, %" for measure in measures)]
    lines = [[*row, *(cell(runs, measure) for measure in measures)] for row, runs in rows.items()]
    show_table(["preset", *numbered], lines, right=numbered)
    average = f"mean ± standard deviation of {seeds} seeds" if seeds > 1 else "one seed"
    say(f"{average}; {len(bench.task.test)} test images; results and plots are in {out}")


def _plot(rows: dict, presets: list[str], shots: list[int], folder: Path) -> None:
    """Accuracy against detection at the most shots, and accuracy by shots, where there is such."""
    import numpy as np

    from .. import figures

    def column(name: str, k: int, measure: str) -> list[float]:
        return [run[measure] for run in rows[name, k]]

    (accuracy, auroc, _), most = MEASURES, shots[-1]
    if auroc in rows[presets[0], most][0]:
        points = {n: (column(n, most, accuracy), column(n, most, auroc)) for n in presets}
        save_figure(figures.tradeoff(points), folder / "tradeoff.png")
    if len(shots) > 1:
        lines = {n: np.array([column(n, k, accuracy) for k in shots]).T for n in presets}
        figure = figures.curves(
            shots, lines, xlabel="training images of each class", ylabel="top-1 accuracy, %"
        )
        save_figure(figure, folder / "shots.png")
