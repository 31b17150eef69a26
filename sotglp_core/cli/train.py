"""``sotglp train``."""

from __future__ import annotations

import atexit
import json
import os
import shlex
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal, signal
from typing import Annotated, Any

import typer

from ..clip.backbone import load_backbone
from ..config import PRESETS, Config
from ..data.task import Task, load_task
from ..judging.threshold import fit_threshold
from ..learning.checkpoint import save
from ..learning.training import fit
from ..method.model import SOTGLP, with_template
from ..workbench.report import write_report
from ..workbench.runs import Run
from .common import (
    OPTIONS,
    AsJson,
    Classes,
    Data,
    Device,
    Name,
    Names,
    Ood,
    OodExclude,
    Root,
    Shift,
    Skip,
    Weights,
    console,
    warn,
)
from .common import device as chosen_device
from .judge import judged
from .settings import asked_for, read_settings, resolved

SETTINGS = ", ".join(field.name for field in fields(Config) if field.name not in OPTIONS)


class Stopped(KeyboardInterrupt):
    """A signal ended the run."""

    def __init__(self, message: str = "", number: int = SIGINT):
        super().__init__(message)
        self.number = number


def _stop(number: int, _: Any) -> None:
    raise Stopped(number=number)


def train(
    context: typer.Context,
    data: Data = "pocket",
    root: Root = None,
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/latest"),
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "sotglp",
    shots: Annotated[int, typer.Option(help="Training images of each class.")] = 16,
    draw: Annotated[
        str,
        typer.Option(
            help="exact: so many of each class; coop: the images of CoOp's code; stratified: so many on average."
        ),
    ] = "exact",
    seed: int = 1,
    classes: Classes = "",
    names: Names = None,
    ood: Ood = None,
    ood_exclude: OodExclude = "",
    shift: Shift = None,
    backbone: Name = "pocket",
    pretrained: Weights = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML, YAML or JSON file of options and settings; those given here go first."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help=f"Change a setting: --set epochs=20. There are: {SETTINGS}."),
    ] = None,
    allow_fewer: Annotated[
        bool, typer.Option(help="Take what there is of a class with fewer images than shots.")
    ] = False,
    skip_corrupt: Skip = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the interrupted run in --out, with its own settings."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that is in --out.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Learn prompts from a few images of each class, test them, and save them.

    Under torchrun, the processes share the images and the classes' prompts; the first one writes and prints.

    Examples:

    - `sotglp train --data photos --shots 8 --out runs/photos`
    - `sotglp train --resume --out runs/photos`
    """
    asked = asked_for(context, config, settings or [])
    named, run = "out" in asked, Run(asked.pop("out", out))
    if resume:
        asked = _began(run, asked, overwrite)
        if run.finished:
            print(json.dumps(run.result())) if as_json else console.print(
                f"{run} is finished; there is nothing to resume", markup=False
            )
            return
    elif not overwrite and (held := run.holds()) and (named or not run.finished):
        raise ValueError(
            f"{run} holds {held}; "
            + "go on with --resume, " * (not run.finished)
            + "replace it with --overwrite, "
            "or give another folder with --out"
        )
    options, chosen = resolved(asked, context.params)
    accelerator = _accelerator(options["device"])
    first = accelerator is None or accelerator.is_main_process
    console.quiet = not first
    task = load_task(
        options["data"],
        **{
            key: options[key]
            for key in (
                "root",
                "shots",
                "draw",
                "names",
                "ood",
                "ood_exclude",
                "allow_fewer",
                "skip_corrupt",
            )
        },
        seed=chosen.seed,
        classes=options["classes"] or None,
        shifts=options["shift"],
    )
    frozen = load_backbone(
        options["backbone"],
        options["pretrained"],
        device=str(accelerator.device) if accelerator else chosen_device(options["device"]),
    )
    if chosen.preset == "zeroshot" and "template" not in asked:
        chosen = with_template(chosen, task.template, frozen)
    model, everything = SOTGLP(frozen, task.class_names, chosen), {**options, **chosen.to_dict()}
    with (
        run.recording(everything, str(frozen.device), anew=not resume)
        if first
        else nullcontext() as changed
    ):
        if changed:
            warn(f"{run} goes on, but its last digits may come out differently: {changed}")
        if not as_json:
            console.print(
                _compact(
                    {
                        key: value
                        for key, value in everything.items()
                        if value not in (None, False, [])
                    }
                ),
                style="dim",
                markup=False,
                highlight=False,
            )
        heard = [n for n in (SIGTERM, SIGHUP) if getsignal(n) is not SIG_IGN]
        before = {number: signal(number, _stop) for number in heard}
        try:
            _learn(model, task, run, everything, as_json, accelerator)
        except KeyboardInterrupt as stop:
            reached = run.reached()
            raise Stopped(
                f"stopped {f'after {reached}' if reached else 'before the first epoch ended'}; go on with: "
                f"sotglp train --resume --out {shlex.quote(str(run.folder))}",
                getattr(stop, "number", SIGINT),
            ) from None
        finally:
            for number, handler in before.items():
                signal(number, handler)
        if not as_json:
            console.print(
                f"saved to {run}, with a report in {run / 'report.html'}; next: sotglp predict {run} PHOTO --heatmap heatmap.png",
                markup=False,
                highlight=False,
            )


def _learn(
    model: SOTGLP, task: Task, run: Run, settings: dict, as_json: bool, accelerator: Any
) -> None:
    first = accelerator is None or accelerator.is_main_process
    if first:
        run.log(
            f"{len(task.train)} images of {len(task.class_names)} classes to learn from, {len(task.test)} to test on"
        )
    history = fit(
        model,
        task.train,
        progress=not as_json,
        on_epoch=run.epoch if first else None,
        checkpoint=run / "checkpoint.safetensors",
        accelerator=accelerator,
    )
    held_out = "val" if len(task.val) else "test"
    threshold = fit_threshold(
        model, getattr(task, held_out), source=held_out, progress=first and not as_json
    )
    if first:
        save(model, run / "prompts.safetensors", threshold)
    result = judged(model, task, as_json, accelerator)
    if first:
        run.tested(history, result.to_dict())
        began = run.environment()
        record = {"command": began.pop("command", ""), "settings": settings, "environment": began}
        write_report(run / "report.html", model, task, result, history, record)
        run.finish()


def _accelerator(device: str) -> Any:
    """What joins the processes that torchrun has started; None for one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    try:
        from accelerate import Accelerator
    except ImportError:
        raise ValueError(
            "several processes need the package accelerate: pip install 'sotglp-core[distributed]'"
        ) from None
    accelerator = Accelerator(cpu=device == "cpu")
    atexit.register(accelerator.end_training)
    return accelerator


def _began(run: Run, asked: dict, overwrite: bool) -> dict:
    """The settings that an interrupted run began with; ``asked`` may only repeat them, or name another device."""
    if overwrite:
        raise ValueError(
            "--resume goes on with a run and --overwrite replaces it; give one of them"
        )
    if not (run / "config.json").is_file():
        raise ValueError(f"there is no run to resume in {run}; leave out --resume to start one")
    began = read_settings(run / "config.json")
    other = {
        key: value for key, value in asked.items() if key != "device" and began.get(key) != value
    }
    if other:
        raise ValueError(
            f"{run} began with {_compact({key: began.get(key) for key in other})}, and --resume goes on with that; "
            f"leave out {_compact(other)}, or start anew with --overwrite"
        )
    return began | {key: asked[key] for key in asked if key == "device"}


def _compact(settings: dict) -> str:
    return " ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in settings.items()
    )
