"""``sotglp evaluate``, and the tables that ``train`` ends with."""

import json
from pathlib import Path
from typing import Any

from rich.markup import escape

from .common import load_saved, say, show_table, split_names
from .settings import absolute, read_settings

SHOWN = [(score, metric) for score in ("MCM", "L-MCM", "GL-MCM") for metric in ("AUROC", "FPR95")]


def evaluate(
    run: Path,
    data: str | None = None,
    root: str | None = None,
    names: str | None = None,
    ood: list[str] | None = None,
    ood_exclude: list[str] | None = None,
    shift: list[str] | None = None,
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
    from ..data.task import load_test_task
    from ..method.fixed import with_classes
    from ..storage import write_text
    from .train import known_settings, load_own_task

    model = load_saved(run, device, precision, backbone, pretrained)
    record = run / "config.json"
    began = read_settings(record, known_settings()) if record.is_file() else {}
    if not began and not data:
        raise ValueError(f"{run} does not say what to test it on; name the images with --data")
    given: dict[str, Any] = {
        "root": root,
        "names": names,
        "ood": ood,
        "ood_exclude": split_names(ood_exclude),
        "shift": shift,
        "skip_corrupt": skip_corrupt,
    }
    chosen = split_names(classes)
    if began and (data is None or absolute(data, root) == began["data"]):
        changes = {name: value for name, value in given.items() if value}
        if chosen:
            changes |= {"classes": chosen, "allow_fewer": True}
        task = load_own_task(began | changes)
    else:
        given["shifts"] = given.pop("shift")
        task = load_test_task(data or "", chosen or model.class_names, **given)
    if chosen:
        model = with_classes(model, task.class_names)
    if not as_json:
        say(describe(task))
    result = test(model, task, as_json)
    if run.is_dir():
        write_text(run / "evaluation.json", json.dumps(result.to_dict(), indent=1))


def describe(task: Any) -> str:
    """The classes of a task, and how many images it has."""
    names = task.class_names
    some = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    sizes = {"train": len(task.train), "validate": len(task.val), "test": len(task.test)}
    images = ", ".join(f"{number} to {what} on" for what, number in sizes.items() if number)
    return f"{len(names)} classes ({some}); images: {images}"


def test(model: Any, task: Any, as_json: bool, accelerator: Any = None) -> Any:
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
    rows = [
        [escape(name), *(f"{100 * scores[score][metric.lower()]:.1f}" for score, metric in SHOWN)]
        for name, scores in result.ood.items()
    ]
    if rows:
        show_table(["OOD set", *map(" ".join, SHOWN)], rows)
    return result
