"""``sotglp evaluate``, and the tables that ``train`` ends with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .common import (
    AsJson,
    Device,
    Names,
    Ood,
    OodExclude,
    Precision,
    Root,
    Saved,
    SavedName,
    SavedWeights,
    Shift,
    Skip,
    console,
    load_saved,
    say,
)
from .settings import absolute, read_settings

if TYPE_CHECKING:
    from ..data.task import Task
    from ..judging.evaluation import Evaluation
    from ..method.model import SOTGLP

SHOWN = ("MCM", "L-MCM", "GL-MCM")


def evaluate(
    run: Saved,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images to test on, in folders or a list as for `train`, all of them; by default "
            "the test images of the run's own data."
        ),
    ] = None,
    root: Root = None,
    names: Names = None,
    ood: Ood = None,
    ood_exclude: OodExclude = None,
    shift: Shift = None,
    skip_corrupt: Skip = False,
    backbone: SavedName = None,
    pretrained: SavedWeights = None,
    device: Device = "auto",
    precision: Precision = None,
    as_json: AsJson = False,
) -> None:
    """Test saved prompts on the run's own test images, or on others.

    Examples:

    - `sotglp evaluate runs/photos --data photos --ood other-photos`
    """
    from ..data.task import load_test_task
    from ..storage import write_text
    from .train import known_settings, load_own_task

    model = load_saved(run, device, backbone, pretrained, precision)
    record = run / "config.json"
    began = read_settings(record, known_settings()) if record.is_file() else {}
    if not began and not data:
        raise ValueError(f"{run} does not say what to test it on; name the images with --data")
    if began and (data is None or absolute(data, root) == began["data"]):
        given: dict[str, Any] = {"root": root, "names": names, "ood": ood, "shift": shift}
        given |= {"ood_exclude": ood_exclude, "skip_corrupt": skip_corrupt}
        task = load_own_task(began | {name: value for name, value in given.items() if value})
    else:
        task = load_test_task(
            data or "",
            model.class_names,
            root=root,
            names=names,
            ood=ood,
            ood_exclude=ood_exclude or (),
            shifts=shift,
            skip_corrupt=skip_corrupt,
        )
    if not as_json:
        say(describe(task))
    result = test(model, task, as_json)
    if run.is_dir():
        write_text(run / "evaluation.json", json.dumps(result.to_dict(), indent=1))


def describe(task: Task) -> str:
    """The classes of a task, and how many images it has."""
    names = task.class_names
    some = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    sizes = {"train": len(task.train), "validate": len(task.val), "test": len(task.test)}
    images = ", ".join(f"{number} to {what} on" for what, number in sizes.items() if number)
    return f"{len(names)} classes ({some}); images: {images}"


def test(model: SOTGLP, task: Task, as_json: bool, accelerator: Any = None) -> Evaluation:
    """Evaluate on the task's test images, and print the result; of several processes, the first."""
    from ..judging.evaluation import evaluate

    options = {"progress": not as_json, "accelerator": accelerator}
    result = evaluate(model, task.test, task.ood, task.shifts, **options)
    if as_json:
        say(json.dumps(result.to_dict()))
        return result
    say(
        f"top-1 accuracy {result.accuracy:.1%} on {len(task.test)} test images of "
        f"{len(task.class_names)} classes, calibration error {result.calibration_error:.1%}"
    )
    for name, accuracy in result.shifts.items():
        say(f"shift {name}: {accuracy:.1%} on {len(task.shifts[name])} images")
    if result.ood:
        table = Table("OOD set", *(f"{s} {m}" for s in SHOWN for m in ("AUROC", "FPR95")))
        for name, scores in result.ood.items():
            cells = [100 * scores[s][m] for s in SHOWN for m in ("auroc", "fpr95")]
            table.add_row(name, *(f"{value:.1f}" for value in cells))
        console.print(table)
    return result
