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


def learn(model: SOTGLP, task: Task, run: Run, accelerator: Any = None) -> Evaluation:
    """Train a model and test it; the first process writes.

    :param accelerator: as in :func:`~sotglp_core.learning.training.fit`.
    """
    first = accelerator is None or accelerator.is_main_process
    on_epoch, checkpoint = run.epoch if first else None, run.checkpoint
    history = fit(
        model, task.train, on_epoch=on_epoch, checkpoint=checkpoint, accelerator=accelerator
    )
    source = "val" if len(task.val) else "test"
    threshold = fit_threshold(model, getattr(task, source), source=source, progress=first)
    if first:
        save(model, run / "prompts.safetensors", threshold)
    result = evaluate(model, task.test, task.ood, task.shifts, accelerator=accelerator)
    if first:
        run.tested(result)
        write_report(run / "report.html", model, task, result, history, run.record())
        run.finish()
    return result
