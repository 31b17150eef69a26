"""``sotglp evaluate``, and the tables that ``train`` ends with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from ..config import kinds
from .common import load_saved, say, show_table
from .settings import asked_for, read_settings

SHOWN = [(score, metric) for score in ("MCM", "L-MCM", "GL-MCM") for metric in ("AUROC", "FPR95")]


def evaluate(
    context: typer.Context,
    run: Path,
    data: str | None = None,
    root: str | None = None,
    names: str | None = None,
    ood: list[str] | None = None,
    ood_exclude: list[str] | None = None,
    shifts: list[str] | None = None,
    classes: list[str] | None = None,
    skip_corrupt: bool = False,
    backbone: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
    precision: str | None = None,
    as_json: bool = False,
) -> None:
    """Test saved prompts on the run's own test images, or on others.

    Examples:

    - `sotglp evaluate runs/photos --data photos --ood other-photos`
    - `sotglp evaluate runs/base --classes new`
    """
    from ..data.task import load_task, load_test_task
    from ..judging.evaluation import evaluate
    from ..method.fixed import with_classes
    from ..storage import write_text

    model = load_saved(run, device, precision, backbone, pretrained)
    asked, record = asked_for(context), run / "config.json"
    began = read_settings(record) if record.is_file() else {}
    if not began and not data:
        raise ValueError(f"{run} does not say what to test it on; name the images with --data")
    if classes:
        asked["allow_fewer"] = True
    if began and asked.get("data", began["data"]) == began["data"]:
        task = load_with(load_task, began | asked)
    else:
        chosen = asked.get("classes") or model.class_names
        task = load_with(load_test_task, asked | {"class_names": chosen})
    if classes:
        model = with_classes(model, task.class_names)
    say(describe(task))
    result = evaluate(model, task.test, task.ood, task.shifts)
    show(result, task)
    if as_json:
        print(json.dumps(result.to_dict()))
    if run.is_dir():
        write_text(run / "evaluation.json", json.dumps(result.to_dict(), indent=1))


def load_with(load: Callable, options: dict) -> Any:
    """The task that a loader makes of those options that it takes."""
    taken = {name: options[name] for name in kinds(load) if name in options}
    return load(options["data"], **taken)


def describe(task: Any) -> str:
    """The classes of a task, and how many images it has."""
    names = task.class_names
    some = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return (
        f"{len(names)} classes ({some}); images: {len(task.train)} to train on, {len(task.val)} to "
        f"validate on, {len(task.test)} to test on"
    )


def show(result: Any, task: Any) -> None:
    """Accuracy, calibration, shifts, and a table of OOD detection."""
    say(
        f"top-1 accuracy {result.accuracy:.1%} on {len(task.test)} test images of "
        f"{len(task.class_names)} classes, calibration error {result.calibration_error:.1%}"
    )
    for name, accuracy in result.shifts.items():
        say(f"shift {name}: {accuracy:.1%} on {len(task.shifts[name])} images")
    rows = [
        [escape(name), *(f"{100 * scores[score][metric.lower()]:.1f}" for score, metric in SHOWN)]
        for name, scores in result.ood.items()
    ]
    if rows:
        show_table(["OOD set", *map(" ".join, SHOWN)], rows)
