"""A run as one page that stands alone: numbers, curves, confusions, calibration, detection, the telling images, how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...data.task import Task
from ...judging.evaluation import Evaluation
from ...learning.state import Epoch
from ...method.model import SOTGLP
from ...storage import write_text
from . import sections
from .page import page
from .pictures import pictures
from .run import Run

SECTIONS = (
    ("learning", "Learning", sections.learning),
    ("classes", "Classes", sections.classes),
    ("confusions", "What is taken for what", sections.confusions),
    ("calibration", "OODThreshold", sections.calibration),
    ("unfamiliar", "Unfamiliar images", sections.unfamiliar),
    ("tradeoff", "Accuracy against detection", sections.tradeoff),
    ("shifts", "Other pictures of the same classes", sections.shifts),
    ("images", "Best and worst images", pictures),
    ("made", "How this was made", sections.made),
)


def write_report(
    path: str | Path,
    model: SOTGLP,
    task: Task,
    result: Evaluation,
    history: Sequence[Epoch],
    record: Mapping,
) -> None:
    """Write the page, atomically; the model sees only the dozen images that are shown. Sections that have nothing to tell are left out.

    :param result: of this model on this task's test, OOD and shifted images.
    :param history: what ``fit`` returned; empty where nothing was learned.
    :param record: what else to show under "How this was made": ``command``, other texts and numbers, and mappings of such, each as a
        table of its own; ``settings`` and ``backbone`` are those of the model unless they are given.
    :raises ValueError: if the result is not of these images, an image to be shown can't be read, or the file can't be written.
    """
    sizes = {
        "test": (task.test, result.outputs),
        **{name: (task.ood.get(name, ()), out) for name, out in result.ood_outputs.items()},
    }
    for name, (images, out) in sizes.items():
        if len(images) != len(out.logits):
            raise ValueError(
                f"the result is of {len(out.logits)} {name} images, the task has {len(images)}; give the task that was judged"
            )
    if result.outputs.logits.shape[1] != len(model.class_names) or set(result.shifts) - set(
        task.shifts
    ):
        raise ValueError(
            "the result has other classes or shifts than the model and the task; give those that were judged"
        )
    run = Run(model, task, result, history, record)
    title = f"{model.config.preset} on {Path(task.name).name or task.name}"
    told = [(id, heading, content) for id, heading, tell in SECTIONS if (content := tell(run))]
    write_text(path, page(title, sections.summary(run), told))
