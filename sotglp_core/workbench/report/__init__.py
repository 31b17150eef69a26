"""A run as one page that stands alone: numbers, curves, confusions, calibration, OOD, images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...data.task import Task
from ...judging.evaluation import Evaluation
from ...judging.threshold import score_of
from ...learning.checkpoint import Epoch
from ...method.model import SOTGLP
from ...storage import write_text
from .examples import examples
from .numbers import numbers
from .page import render


def write_report(
    path: str | Path,
    model: SOTGLP,
    task: Task,
    result: Evaluation,
    history: Sequence[Epoch],
    record: Mapping,
) -> None:
    """Write the page, atomically; the model sees only the dozen images that are shown.

    :param result: of this model on this task's test, OOD and shifted images.
    :param history: what ``fit`` returned; empty where nothing was learned.
    :param record: what else to show under "How this was made": ``command``, other values, and
        mappings of values, each as a table of its own; ``settings`` and ``backbone`` are those of
        the model unless they are given.
    :raises ValueError: if the result is not of these images, an image to be shown can't be read,
        or the file can't be written.
    """
    _check(model, task, result)
    score = score_of(model)
    backbone = {
        name: getattr(model.backbone, name)
        for name in ("name", "pretrained", "precision", "fingerprint")
    }
    page = render(
        "report.html.j2",
        title=f"{model.config.preset} on {Path(task.name).name or task.name}",
        model=model,
        task=task,
        result=result,
        history=history,
        score=score,
        examples=examples(model, task, result, score=score),
        record={"settings": model.config.to_dict(), "backbone": backbone, **record},
        **numbers(task, result, score),
    )
    write_text(path, page)


def _check(model: SOTGLP, task: Task, result: Evaluation) -> None:
    """Refuse a result that is not of this model and this task."""
    outputs = {"test": result.outputs, **result.ood_outputs}
    found = {name: len(seen.logits) for name, seen in outputs.items()}
    sizes = {name: len(images) for name, images in {"test": task.test, **task.ood}.items()}
    same_classes = result.outputs.logits.shape[1] == len(model.class_names)
    if (
        not found.items() <= sizes.items()
        or not same_classes
        or set(result.shifts) - set(task.shifts)
    ):
        raise ValueError(
            "the result has other images, classes or shifts than the model and the task; "
            "give the model and the task that were evaluated"
        )
