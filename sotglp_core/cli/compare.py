"""``sotglp compare``: presets on one task, each trained alike, as a table and plots."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.table import Column, Table

from .. import figures
from ..clip.backbone import Backbone, load_backbone
from ..config import PRESETS
from ..data import Images
from ..data.features import Features, encode
from ..data.task import Task, load_task
from ..judging.evaluation import evaluate
from ..learning.training import fit
from ..messages import progress_bar
from ..method.model import SOTGLP, with_template
from ..recipes import recipe
from ..storage import atomic_path, write_text
from ..workbench.reproduce.markdown import cell
from .common import (
    AsJson,
    Classes,
    Data,
    Device,
    Name,
    Names,
    Ood,
    OodExclude,
    Root,
    Skip,
    Weights,
    console,
    listed,
    parsed,
)
from .common import device as chosen_device

MEASURES = ("top-1", "GL-MCM AUROC", "GL-MCM FPR95")


def compare(
    data: Data = "pocket",
    root: Root = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for rows, table and plots; a second call goes on with the rows that are there."
        ),
    ] = Path("runs/compare"),
    presets: Annotated[
        str, typer.Option(help=f"Comma-separated, of {', '.join(PRESETS)}.")
    ] = "sotglp,sotglp-proj,coop",
    shots: Annotated[
        str, typer.Option(help="Comma-separated numbers of training images of each class.")
    ] = "16",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of training images and prompts.")] = 3,
    classes: Classes = "",
    names: Names = None,
    ood: Ood = None,
    ood_exclude: OodExclude = "",
    backbone: Name = "pocket",
    pretrained: Weights = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of all presets: --set epochs=20."),
    ] = None,
    skip_corrupt: Skip = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train presets on one task and put them side by side: top-1, and AUROC and FPR95 of GL-MCM where there are OOD sets.

    Presets are trained as they are, with the same --set for all; no learning rate is chosen for any of them.

    Examples:

    - `sotglp compare --data photos --presets sotglp,coop --shots 4,16 --ood other-photos`
    """
    changes, numbers = parsed(settings or []), _numbers(shots)
    configs = {name: recipe(name, backbone=backbone, **changes) for name in listed(presets) or ()}
    if not configs:
        raise ValueError(f"--presets names none; there are {', '.join(PRESETS)}")

    @cache
    def task(k: int, seed: int) -> Task:
        return load_task(
            data,
            root=root,
            shots=k,
            seed=seed,
            classes=listed(classes),
            ood=ood,
            ood_exclude=listed(ood_exclude) or (),
            names=names,
            skip_corrupt=skip_corrupt,
        )

    first = task(numbers[0], 1)
    frozen = load_backbone(backbone, pretrained, device=chosen_device(device))
    judge, facts = _judge(frozen, first, not as_json), _facts(first, frozen)
    rows = _kept(out / "results.jsonl")
    todo = list(product(configs, numbers, range(1, seeds + 1)))
    shown: dict[tuple[str, int], list[dict]] = {}
    for name, k, seed in progress_bar(todo, desc="compare", unit="run", show=not as_json):
        config = configs[name].replace(seed=seed)
        if name == "zeroshot" and "template" not in changes:
            config = with_template(config, first.template, frozen)
        about = {
            "preset": name,
            "shots": k,
            "seed": seed,
            "settings": json.loads(json.dumps(config.to_dict())),
            **facts,
            "learned from": task(k, seed).train.fingerprint()[:16],
        }
        row = next((row for row in rows if about.items() <= row.items()), None)
        if row is None:
            model = SOTGLP(frozen, first.class_names, config)
            fit(model, task(k, seed).train, progress=not as_json)
            row = {**about, **judge(model)}
            rows.append(row)
            write_text(out / "results.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        shown.setdefault((name, k), []).append(row)
        if as_json:
            print(json.dumps(row), flush=True)
    plots = _plots(shown, out, list(configs), numbers)
    if not as_json:
        columns = [m for m in MEASURES if all(m in row for runs in shown.values() for row in runs)]
        table = Table(
            "preset",
            Column("shots", justify="right"),
            *(Column(f"{m}, %", justify="right") for m in columns),
        )
        for (name, k), runs in shown.items():
            table.add_row(name, str(k), *(cell(runs, m) for m in columns))
        console.print(table)
        console.print(
            f"mean ± standard deviation of {seeds} seeds; {len(first.test)} test images; wrote {', '.join(map(str, plots))}"
            if seeds > 1
            else f"one seed; {len(first.test)} test images; wrote {', '.join(map(str, plots))}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _numbers(text: str) -> list[int]:
    try:
        numbers = sorted({int(part) for part in listed(text) or ()})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise ValueError(f"--shots is {text!r}; give whole numbers from 1, such as 4,16")
    return numbers


def _judge(backbone: Backbone, task: Task, progress: bool) -> Callable[[SOTGLP], dict]:
    """A function of a model that measures it on the task's test and OOD images, each encoded once."""

    @cache
    def encoded(shared_first_block: bool) -> tuple[Features, dict[str, Features]]:
        def seen(images: Images, name: str) -> Features:
            return encode(
                backbone,
                images,
                shared_first_block=shared_first_block,
                progress=progress,
                description=f"encode {name}",
            )

        return seen(task.test, "test"), {
            name: seen(images, name) for name, images in task.ood.items()
        }

    def judge(model: SOTGLP) -> dict:
        result = evaluate(model, *encoded(model.config.shared_first_block), progress=False)
        found = result.ood.get("mean", {}).get("GL-MCM")
        return {
            "top-1": result.accuracy,
            **({"GL-MCM AUROC": found["auroc"], "GL-MCM FPR95": found["fpr95"]} if found else {}),
        }

    return judge


def _facts(task: Task, backbone: Backbone) -> dict:
    """What a row's figures depend on beside its settings."""
    content = "".join(images.fingerprint() for images in (task.test, *task.ood.values())) + repr(
        (task.class_names, list(task.ood))
    )
    return {
        "judged on": hashlib.sha256(content.encode()).hexdigest()[:16],
        "backbone": backbone.fingerprint,
        "torch": torch.__version__,
    }


def _kept(path: Path) -> list[dict]:
    """The rows of an earlier call.

    :raises ValueError: if the file holds anything else.
    """
    if not path.exists():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if all(isinstance(row, dict) and "top-1" in row for row in rows):
            return rows
    except ValueError:
        pass
    raise ValueError(
        f"{path} does not hold rows of a comparison; remove it, or give another folder with --out"
    )


def _plots(
    shown: dict[tuple[str, int], list[dict]], out: Path, names: list[str], numbers: list[int]
) -> list[Path]:
    made = {}
    if all("GL-MCM AUROC" in row for runs in shown.values() for row in runs):
        last = {name: shown[name, numbers[-1]] for name in names}
        made["tradeoff.png"] = figures.tradeoff(
            {
                name: ([row["top-1"] for row in runs], [row["GL-MCM AUROC"] for row in runs])
                for name, runs in last.items()
            }
        )
    if len(numbers) > 1:
        lines = {
            name: np.array([[row["top-1"] for row in shown[name, k]] for k in numbers]).T
            for name in names
        }
        made["shots.png"] = figures.curves(
            numbers, lines, xlabel="training images of each class", ylabel="top-1 accuracy, %"
        )
    for name, figure in made.items():
        with atomic_path(out / name) as temporary:
            figure.savefig(temporary, format="png", dpi=140)
    return [out / "results.jsonl", *(out / name for name in made)]
