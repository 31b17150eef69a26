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
    :raises ValueError: if an image to be shown can't be read, or the file can't be written.
    """
    score = score_of(model)
    page = render(
        "report.html.j2",
        title=f"{model.config.preset} on {Path(task.name).name or task.name}",
        model=model.eval(),
        task=task,
        result=result,
        history=history,
        score=score,
        examples=examples(model, task, result, score=score),
        record={"settings": model.config.to_dict(), "backbone": model.backbone.record, **record},
        **numbers(task, result),
    )
    write_text(path, page)
