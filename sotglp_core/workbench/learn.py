"""A whole run: learn, fit the threshold, test, and save all of it in the run's folder."""

from typing import Any

from ..data.task import Task
from ..judging.evaluation import Evaluation, evaluate
from ..judging.threshold import fit_threshold
from ..learning.checkpoint import save
from ..learning.training import fit
from ..method.model import SOTGLP
from .report import write_report
from .runs import Run


def learn(
    model: SOTGLP, task: Task, run: Run, accelerator: Any = None, *, progress: bool = True
) -> Evaluation:
    """Train a model and test it; the first process writes.

    :param accelerator: as in :func:`~sotglp_core.learning.training.fit`.
    """
    first = accelerator is None or accelerator.is_main_process
    history = fit(
        model,
        task.train,
        progress=progress,
        on_epoch=run.epoch if first else None,
        checkpoint=run.checkpoint,
        accelerator=accelerator,
    )
    source = "val" if len(task.val) else "test"
    held_out = getattr(task, source)
    threshold = fit_threshold(model, held_out, source=source, progress=first and progress)
    if first:
        save(model, run / "prompts.safetensors", threshold)
    sets = task.test, task.ood, task.shifts
    result = evaluate(model, *sets, progress=progress, accelerator=accelerator)
    if first:
        run.tested(result)
        write_report(run / "report.html", model, task, result, history, run.record())
        run.finish()
    return result
