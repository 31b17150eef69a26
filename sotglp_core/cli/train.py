"""``sotglp train``."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from ..config import Config, kinds
from ..messages import note
from .common import Stopped, console, duration, frozen_clip, resume_command, say
from .evaluate import describe, load_with, show
from .settings import asked_for, known_settings, read_settings

Shots = Annotated[
    int | None,
    typer.Option(
        parser=lambda text: None if text == "all" else int(text),
        metavar="N|all",
        help="Training images of each class.",
    ),
]
FREE = ("device", "text_chunk", "skip_corrupt")  # which --resume may change


def train(
    context: typer.Context,
    data: str = "pocket",
    root: str | None = None,
    out: str = "runs/latest",
    preset: str = "sotglp",
    shots: Shots = 16,
    draw: str | None = None,
    seed: int = 1,
    classes: list[str] | None = None,
    names: str | None = None,
    ood: list[str] | None = None,
    ood_exclude: list[str] | None = None,
    shifts: list[str] | None = None,
    backbone: str = "pocket",
    pretrained: str | None = None,
    config: Path | None = None,
    settings: list[str] | None = None,
    allow_fewer: bool = False,
    skip_corrupt: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    text_chunk: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    as_json: bool = False,
) -> None:
    """Learn prompts from a few images of each class, test them, and save them.

    Under torchrun, the processes share the images and the classes' prompts; the first one writes
    and prints.

    Examples:

    - `sotglp train --data photos --shots 8 --out runs/photos`
    - `sotglp train --resume --out runs/photos`
    """
    from ..distributed import accelerator_of
    from ..workbench.learn import learn
    from ..workbench.runs import Run

    asked = asked_for(context)
    named, run = "out" in asked, Run(asked.pop("out", out))
    if resume:
        asked = _as_begun(run, asked)
        if run.finished:
            say(f"{run} is finished: nothing to resume")
            if as_json:
                print(json.dumps(run.result()))
            return
    elif not overwrite:
        _refuse_to_replace(run, named)
    accelerator = accelerator_of(asked.get("device", device))
    first = accelerator is None or accelerator.is_main_process
    console.quiet |= not first
    model, task, everything = _prepare(context.params | asked, asked, accelerator)
    say(describe(task))
    _say_settings(everything)
    if model.config.crops == "fresh":
        _say_cost(model, task)
    recording = (
        run.recording(everything, str(model.backbone.device), task.digests(), resume=resume)
        if first
        else nullcontext()
    )
    with recording as changed:
        if changed:
            note(f"{run} goes on, but {changed}")
        try:
            result = learn(model, task, run, accelerator)
        except Stopped as stop:
            reached = run.reached()
            when = f"after {reached}" if reached else "before the first epoch ended"
            stop.args = (f"{when}; go on with: {resume_command(run.folder)}",)
            raise
    show(result, task)
    say(
        f"saved to {run}, with a report in {run}/report.html; "
        f"next: sotglp predict {run} PHOTO --heatmap heatmap.png"
    )
    if as_json and first:
        print(json.dumps(result.to_dict()))


def _say_cost(model: Any, task: Any) -> None:
    """What fresh crops take, which no cache can spare."""
    from ..workbench.plan import cost

    number, tested = len(task.class_names), len(task.test)
    sizes = {"classes": number, "images": len(task.train), "tested": tested, "new": tested}
    found = cost(model.backbone, model.config, **sizes)
    say(
        f"a new crop of every image in each of {model.config.epochs} epochs: {found.images:,} "
        f"images to encode and {found.steps:,} steps, about {duration(found.seconds)} here"
    )


def _prepare(options: dict, asked: dict, accelerator: Any) -> tuple[Any, Any, dict]:
    """Model and task, and what the run's folder is to say of them."""
    from ..data.catalogue import known
    from ..data.task import load_task
    from ..method.model import SOTGLP
    from ..workbench.experiments import experiment_for

    backbone, (dataset, _) = options["backbone"], known(options["data"], options["root"])
    changes = {name: asked[name] for name in kinds(Config) if name in asked and name != "preset"}
    changes |= {"shots": options["shots"] or 16, "draw": options["draw"]}
    chosen = experiment_for(options["preset"], dataset, backbone, **changes)
    options["draw"] = chosen.draw
    task = load_with(load_task, options)
    device = str(accelerator.device) if accelerator else options["device"]
    frozen = frozen_clip(backbone, options["pretrained"], device, options["precision"])
    options["precision"] = frozen.precision
    model = SOTGLP(frozen, task.class_names, chosen.config, text_chunk=options["text_chunk"])
    told = {name: options[name] for name in known_settings() if name in options and name != "out"}
    return model, task, {**told, **chosen.config.to_dict(), "sources": chosen.sources}


def _say_settings(everything: dict) -> None:
    """Options and settings that are on, in a line for each source."""
    lines: dict = {"options": {}}
    for name, value in everything.items():
        if value and name != "sources":
            source = everything["sources"].get(name, "options")
            lines.setdefault(source, {})[name] = value
    for source, on in lines.items():
        say(f"{source}: {_compact(on)}", "dim")


def _refuse_to_replace(run: Any, named: bool) -> None:
    """A finished run gives way only where no folder was named, and an interrupted one never."""
    if run.holds() and (named or not run.finished):
        resume = "" if run.finished else "go on with --resume, "
        raise ValueError(
            f"{run} holds {run.holds()}; {resume}replace it with --overwrite, or give another "
            "folder with --out"
        )


def _as_begun(run: Any, asked: dict) -> dict:
    """The settings that an interrupted run began with; ``asked`` may repeat them or name FREE."""
    if not (run / "config.json").is_file():
        raise ValueError(f"there is no run to resume in {run}; leave out --resume to start one")
    began = read_settings(run / "config.json")
    other = {name: v for name, v in asked.items() if name not in FREE and began.get(name) != v}
    if other:
        raise ValueError(
            f"{run} began otherwise, and --resume goes on with that; leave out {_compact(other)}, "
            "or start anew with --overwrite"
        )
    return began | asked


def _compact(settings: dict) -> str:
    return " ".join(f"{name}={json.dumps(value)}" for name, value in settings.items())
