"""A run as one page that stands alone: numbers, curves, confusions, calibration, OOD, images."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ... import figures
from ...data.task import Task
from ...figures.base import data_uri
from ...judging.evaluation import Evaluation
from ...judging.threshold import score_of
from ...learning.checkpoint import Epoch
from ...messages import printable
from ...method.model import SOTGLP
from ...storage import write_text
from .examples import examples
from .numbers import numbers


def write_report(
    path: str | Path,
    model: SOTGLP,
    task: Task,
    result: Evaluation,
    history: Sequence[Epoch],
    record: Mapping,
) -> None:
    """Write the page, atomically; the model sees only the dozen images that are shown.

    Every value in it is shown as text, unless the template made it.

    :param result: of this model on this task's test, OOD and shifted images.
    :param history: what ``fit`` returned; empty where nothing was learned.
    :param record: what else to show under "How this was made": ``command``, other values, and
        mappings of values, each as a table of its own; ``settings`` and ``backbone`` are those of
        the model unless they are given.
    :raises ValueError: if an image to be shown can't be read, or the file can't be written.
    """
    pages = Environment(
        loader=PackageLoader("sotglp_core.workbench", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    pages.filters |= {
        "data_uri": data_uri,
        "digest": digest,
        "json": partial(json.dumps, default=str),
        "printable": printable,
    }
    score = score_of(model)
    page = pages.get_template("report.html.j2").render(
        title=f"{model.config.preset} on {Path(task.name).name or task.name}",
        figures=figures,
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


def digest(content: str) -> str:
    """What a Content-Security-Policy knows a style or a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
