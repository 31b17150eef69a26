"""``sotglp train``."""

import atexit
import json
import os
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from ..config import Config, kinds
from .common import Stopped, console, cost_in_words, frozen_clip, resume_command, say, warn
from .evaluate import describe, test
from .settings import asked_for, read_settings

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
    shift: list[str] | None = None,
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
    from ..data.catalogue import known
    from ..method.model import SOTGLP
    from ..recipes import recipe
    from ..workbench.experiments import draw_for, settings_for
    from ..workbench.runs import Run

    asked = asked_for(context, config, settings, known_settings())
    named, run = "out" in asked, Run(asked.pop("out", out))
    if resume:
        asked = _as_begun(run, asked, overwrite)
        if run.finished:
            say(json.dumps(run.result()) if as_json else f"{run} is finished: nothing to resume")
            return
    elif not overwrite:
        _refuse_to_replace(run, named)
    options = {name: asked.get(name, context.params[name]) for name in TASK}
    changes = {name: value for name, value in asked.items() if name not in (*TASK, "preset")}
    method, (dataset, _) = asked.get("preset", preset), known(options["data"], options["root"])
    recipe(method, backbone=options["backbone"], **changes)  # before anything is loaded
    options["draw"] = options["draw"] or draw_for(method, dataset)
    accelerator = _accelerator(options["device"])
    first = accelerator is None or accelerator.is_main_process
    console.quiet = not first
    task = load_own_task(options | {"seed": asked.get("seed", seed)})
    where = str(accelerator.device) if accelerator else options["device"]
    clip = options["backbone"], options["pretrained"]
    frozen = frozen_clip(*clip, where, options["precision"])
    options["precision"] = frozen.precision
    chosen, sources = settings_for(method, dataset, frozen, options["shots"], **changes)
    model = SOTGLP(frozen, task.class_names, chosen, text_chunk=options["text_chunk"])
    everything = {**options, **chosen.to_dict(), "sources": sources}
    if first and not as_json:
        say(describe(task))
        _say_settings(options, chosen.to_dict(), sources)
        _say_cost(model, task)
    recording: Any = nullcontext("")
    if first:
        recording = run.recording(everything, str(frozen.device), _digests(task), resume=resume)
    with recording as changed:
        if changed:
            warn(f"{run} goes on, but {changed}")
        try:
            _learn(model, task, run, as_json, accelerator)
        except Stopped as stop:
            reached = run.reached()
            when = f"after {reached}" if reached else "before the first epoch ended"
            stop.args = (f"{when}; go on with: {resume_command(run.folder)}",)
            raise
    if not as_json:
        report, following = run / "report.html", f"sotglp predict {run} PHOTO --heatmap heatmap.png"
        say(f"saved to {run}, with a report in {report}; next: {following}")


OTHERS = {
    "context",
    "out",
    "preset",
    "seed",
    "config",
    "settings",
    "resume",
    "overwrite",
    "as_json",
}
TASK = [
    name for name in kinds(train) if name not in OTHERS | {"return"}
]  # options that are no settings


def known_settings() -> dict[str, Any]:
    """Name -> type of every option of a run and of every setting."""
    return {name: kinds(train)[name] for name in (*TASK, "out")} | kinds(Config)


def load_own_task(options: dict) -> Any:
    """The task of a run, by its options."""
    from ..data.task import load_task

    names = ("root", "shots", "draw", "seed", "classes", "names", "allow_fewer", "skip_corrupt")
    return load_task(
        options["data"],
        ood=options["ood"],
        ood_exclude=options["ood_exclude"] or (),
        shifts=options["shift"],
        **{name: options[name] for name in names},
    )


def _digests(task: Any) -> dict[str, str]:
    """Of what the run is tested on; the checkpoint knows the training images."""
    sets = {"validation": task.val, "test": task.test, **task.shifts, **task.ood}
    contents = {x: images.fingerprint() + str(images.labels.tolist()) for x, images in sets.items()}
    return {name: sha256(content.encode()).hexdigest()[:16] for name, content in contents.items()}


def _learn(model: Any, task: Any, run: Any, as_json: bool, accelerator: Any) -> None:
    from ..judging.threshold import fit_threshold
    from ..learning.checkpoint import save
    from ..learning.training import fit
    from ..workbench.report import write_report

    first = accelerator is None or accelerator.is_main_process
    history = fit(
        model,
        task.train,
        progress=not as_json,
        on_epoch=run.epoch if first else None,
        checkpoint=run / "checkpoint.safetensors",
        accelerator=accelerator,
    )
    held_out = "val" if len(task.val) else "test"
    images, progress = getattr(task, held_out), first and not as_json
    threshold = fit_threshold(model, images, source=held_out, progress=progress)
    if first:
        save(model, run / "prompts.safetensors", threshold)
    result = test(model, task, as_json, accelerator)
    if first:
        run.write_metrics(history, result.to_dict())
        run.log(f"tested: accuracy {result.accuracy:.4f}")
        machine = run.read_json("environment.json")
        machine.pop("images", None)
        record = {"command": machine.pop("command", ""), "settings": run.read_json("config.json")}
        record |= {"sources": record["settings"].pop("sources", {}), "environment": machine}
        write_report(run / "report.html", model, task, result, history, record)
        run.finish()


def _say_settings(options: dict, settings: dict, sources: dict[str, str]) -> None:
    """Options and settings that are on, in a line for each source."""
    say(_compact({name: value for name, value in options.items() if value}), "dim")
    for source in dict.fromkeys(sources.values()):
        names = [name for name in settings if sources[name] == source and settings[name]]
        say(f"{source}: {_compact({name: settings[name] for name in names})}", "dim")


def _say_cost(model: Any, task: Any) -> None:
    """What fresh crops take, which no cache can spare."""
    from ..workbench.plan import cost

    config, tested = model.config, len(task.test)
    if config.crops == "fresh":
        sizes = {"classes": len(task.class_names), "images": len(task.train), "tested": tested}
        images, steps, time, _ = cost_in_words(cost(model.backbone, config, **sizes, new=tested))
        say(
            f"a new crop of every image in each of {config.epochs} epochs: {images} images to "
            f"encode and {steps} steps, about {time} here"
        )


def _accelerator(device: str) -> Any:
    """What joins the processes that torchrun has started; None for one alone."""
    import torch

    if not torch.distributed.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
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


def _refuse_to_replace(run: Any, named: bool) -> None:
    """A finished run gives way only where no folder was named, and an interrupted one never."""
    if run.holds() and (named or not run.finished):
        ways = ["replace it with --overwrite", "or give another folder with --out"]
        ways = ways if run.finished else ["go on with --resume", *ways]
        raise ValueError(f"{run} holds {run.holds()}; {', '.join(ways)}")


def _as_begun(run: Any, asked: dict, overwrite: bool) -> dict:
    """The settings that an interrupted run began with; ``asked`` may repeat them or name FREE."""
    if overwrite:
        raise ValueError("--resume goes on with a run and --overwrite replaces it; give one")
    if not (run / "config.json").is_file():
        raise ValueError(f"there is no run to resume in {run}; leave out --resume to start one")
    began = read_settings(run / "config.json", known_settings())
    other = {name: v for name, v in asked.items() if name not in FREE and began.get(name) != v}
    if other:
        was = _compact({name: began.get(name) for name in other})
        raise ValueError(
            f"{run} began with {was}, and --resume goes on with that; leave out {_compact(other)}, "
            "or start anew with --overwrite"
        )
    return began | asked


def _compact(settings: dict) -> str:
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in settings.items()}
    return " ".join(f"{name}={text}" for name, text in texts.items())
