"""``sotglp evaluate``, and the tables that ``train`` ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..data.task import Task, load_task
from ..judging.evaluation import Evaluation, evaluate
from ..method.model import SOTGLP
from ..storage import write_text
from .common import (
    AsJson,
    Classes,
    Data,
    Device,
    Names,
    Ood,
    OodExclude,
    Root,
    Shift,
    Skip,
    console,
    listed,
    loaded,
)

SHOWN = ("MCM", "L-MCM", "GL-MCM")


def evaluate_command(
    run: Annotated[Path, typer.Argument(help="Folder that `sotglp train` wrote.")],
    data: Data = "pocket",
    root: Root = None,
    classes: Classes = "",
    names: Names = None,
    ood: Ood = None,
    ood_exclude: OodExclude = "",
    shift: Shift = None,
    skip_corrupt: Skip = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Test saved prompts on the test images of a task.

    Examples:

    - `sotglp evaluate runs/photos --data photos --ood other-photos`
    """
    model = loaded(run, device)
    task = load_task(
        data,
        root=root,
        shots=1,
        classes=listed(classes),
        ood=ood,
        ood_exclude=listed(ood_exclude) or (),
        shifts=shift,
        names=names,
        allow_fewer=True,
        skip_corrupt=skip_corrupt,
    )
    if task.class_names != model.class_names:
        ours, theirs = (
            ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            for names in (model.class_names, task.class_names)
        )
        raise ValueError(
            f"{run} was trained on {len(model.class_names)} classes ({ours}), {data} has {len(task.class_names)} ({theirs}); "
            "give its own task with --data and --classes"
        )
    result = judged(model, task, as_json)
    write_text(
        (run if run.is_dir() else run.parent) / "evaluation.json",
        json.dumps(result.to_dict(), indent=1),
    )


def judged(model: SOTGLP, task: Task, as_json: bool, accelerator: Any = None) -> Evaluation:
    """Judge the model on the task's test images, and print the figures; of several processes, the first one prints."""
    result = evaluate(
        model, task.test, task.ood, task.shifts, progress=not as_json, accelerator=accelerator
    )
    if as_json:
        if not console.quiet:
            print(json.dumps(result.to_dict()))
    else:
        _tables(result, task)
    return result


def _tables(result: Evaluation, task: Task) -> None:
    console.print(
        f"top-1 accuracy {result.accuracy:.1%} on {len(task.test)} test images of {len(task.class_names)} classes, "
        f"calibration error {result.calibration_error:.1%}",
        highlight=False,
    )
    for name, accuracy in result.shifts.items():
        console.print(
            f"shift {name}: {accuracy:.1%} on {len(task.shifts[name])} images", highlight=False
        )
    if result.ood:
        table = Table(
            "out-of-distribution set", *(f"{s} {m}" for s in SHOWN for m in ("AUROC", "FPR95"))
        )
        for name, row in result.ood.items():
            table.add_row(
                name, *(f"{100 * row[s][m]:.1f}" for s in SHOWN for m in ("auroc", "fpr95"))
            )
        console.print(table)
