"""``sotglp train``, ``evaluate`` and ``predict``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape
from rich.table import Column, Table

from .. import figures
from ..backbone import Backbone, load_backbone
from ..checkpoint import load, save
from ..config import PRESETS, Config, preset
from ..datasets.folders import list_images
from ..datasets.images import read_image, shown
from ..evaluation import Evaluation, evaluate
from ..inspector import shown_pixels
from ..model import SOTGLP
from ..ood import SCORES
from ..pocket import SETTINGS
from ..storage import atomic_path, write_text
from ..tasks import Task, load_task
from ..training import fit
from .common import AsJson, Classes, Data, Device, Name, Names, Ood, OodExclude, Root, Shift, Skip, Weights, console, errors, listed, parsed
from .common import device as chosen_device

SHOWN = ("MCM", "L-MCM", "GL-MCM")


def train(
    data: Data = "pocket",
    root: Root = None,
    out: Annotated[Path, typer.Option(help="Folder for the prompts and the metrics.")] = Path("runs/latest"),
    name: Annotated[str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")] = "sotglp",
    shots: Annotated[int, typer.Option(help="Training images of each class.")] = 16,
    draw: Annotated[str, typer.Option(help="exact: so many of each class; proportional: so many on average.")] = "exact",
    seed: int = 1,
    classes: Classes = "",
    names: Names = None,
    ood: Ood = None,
    ood_exclude: OodExclude = "",
    shift: Shift = None,
    backbone: Name = "pocket",
    pretrained: Weights = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: --set epochs=20 --set epsilon=0.05.")] = None,
    allow_fewer: Annotated[bool, typer.Option(help="Take what there is of a class with fewer images than shots.")] = False,
    skip_corrupt: Skip = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Learn prompts from a few images of each class, test them, and save them.

    Example: `sotglp train --data photos --shots 8 --out runs/photos`
    """
    given = parsed(settings or [])
    config = preset(name, **(SETTINGS if backbone == "pocket" else {})).replace(seed=seed, **given)
    task = load_task(data, root=root, shots=shots, seed=seed, draw=draw, classes=listed(classes), ood=ood,
                     ood_exclude=listed(ood_exclude) or (), shifts=shift, names=names, allow_fewer=allow_fewer,
                     skip_corrupt=skip_corrupt)
    frozen = load_backbone(backbone, pretrained, device=chosen_device(device))
    if name == "zeroshot" and "template" not in given:
        config = _with_template(config, task, frozen)
    model = SOTGLP(frozen, task.class_names, config)
    write_text(out / "config.json", json.dumps({**config.to_dict(), "data": data, "shots": shots, "draw": draw, "backbone": backbone},
                                               indent=1))
    history = fit(model, task.train, progress=not as_json)
    save(model, out / "prompts.safetensors")
    write_text(out / "history.jsonl", "".join(json.dumps(epoch._asdict()) + "\n" for epoch in history))
    _report(model, task, out, as_json, "metrics.json")
    if not as_json:
        console.print(f"saved to {out}; next: sotglp predict {out} PHOTO --heatmap heatmap.png", highlight=False)


def evaluate_command(
    run: Annotated[Path, typer.Argument(help="Folder that `sotglp train` wrote.")],
    data: Data = "pocket",
    root: Root = None,
    classes: Classes = "",
    names: Names = None,
    ood: Ood = None,
    ood_exclude: OodExclude = "",
    shift: Shift = None,
    skip_corrupt: Skip = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Test saved prompts on the test images of a task.

    Example: `sotglp evaluate runs/photos --data photos --ood other-photos`
    """
    model = _loaded(run, device)
    task = load_task(data, root=root, shots=1, classes=listed(classes), ood=ood, ood_exclude=listed(ood_exclude) or (), shifts=shift,
                     names=names, allow_fewer=True, skip_corrupt=skip_corrupt)
    if task.class_names != model.class_names:
        ours, theirs = (", ".join(names[:4]) + (", ..." if len(names) > 4 else "") for names in (model.class_names, task.class_names))
        raise ValueError(f"{run} was trained on {len(model.class_names)} classes ({ours}), {data} has {len(task.class_names)} ({theirs}); "
                         "give its own task with --data and --classes")
    _report(model, task, run if run.is_dir() else run.parent, as_json, "evaluation.json")


def predict(
    run: Annotated[Path, typer.Argument(help="Folder that `sotglp train` wrote.")],
    photos: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    heatmap: Annotated[Path | None, typer.Option(help="Save the first photo's patch-to-prompt heatmaps as this PNG.")] = None,
    skip_corrupt: Skip = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Label photos: class, probability, and an out-of-distribution score (GL-MCM; higher is more familiar).

    Example: `sotglp predict runs/photos new.jpg --heatmap heatmap.png`
    """
    model = _loaded(run, device)
    files = [file for photo in photos for file in (list_images(photo) if photo.is_dir() else [photo])]
    if not files:
        raise ValueError(f"there are no images in {photos[0]}; give files or folders of photos")
    text, table = None, Table(Column("photo", overflow="fold"), "label", "probability", "GL-MCM")
    for file in files:
        try:
            image = read_image(file)
        except ValueError as error:
            if not skip_corrupt:
                raise
            errors.print(f"skipped: {error}", style="yellow", markup=False, highlight=False)
            continue
        with torch.no_grad():
            text = text or model.text_features()
            seen = model(model.backbone.preprocess(image)[None], text)
        best = int(seen.logits[0].argmax())
        row = {"photo": str(file), "label": model.class_names[best], "probability": float(seen.logits[0].softmax(-1)[best]),
               "gl_mcm": float(SCORES["GL-MCM"](seen.similarity, seen.patch_similarity, seen.logits)[0])}
        if as_json:
            print(json.dumps(row))
        table.add_row(escape(shown(file)), escape(row["label"]), f"{row['probability']:.1%}", f"{row['gl_mcm']:.4f}")
        if heatmap is not None:
            if seen.alignment is None:
                raise ValueError(f"the preset {model.config.preset!r} has no local prompts, so there is no heatmap; leave out --heatmap")
            figure = figures.partition(shown_pixels(model, image), seen.plan_on_grid()[0, best].cpu().numpy(), title=row["label"])
            with atomic_path(heatmap) as temporary:
                figure.savefig(temporary, format="png", dpi=140)
            heatmap = None
    if not as_json:
        console.print(table)


def _report(model: SOTGLP, task: Task, out: Path, as_json: bool, file: str) -> None:
    result = evaluate(model, task.test, task.ood, task.shifts, progress=not as_json)
    if as_json:
        print(json.dumps(result.to_dict()))
    else:
        _tables(result, task)
    write_text(out / file, json.dumps(result.to_dict(), indent=1))


def _tables(result: Evaluation, task: Task) -> None:
    console.print(f"top-1 accuracy {result.accuracy:.1%} on {len(task.test)} test images of {len(task.class_names)} classes, "
                  f"calibration error {result.calibration_error:.1%}", highlight=False)
    for name, accuracy in result.shifts.items():
        console.print(f"shift {name}: {accuracy:.1%} on {len(task.shifts[name])} images", highlight=False)
    if result.ood:
        table = Table("out-of-distribution set", *(f"{s} {m}" for s in SHOWN for m in ("AUROC", "FPR95")))
        for name, row in result.ood.items():
            table.add_row(name, *(f"{100 * row[s][m]:.1f}" for s in SHOWN for m in ("auroc", "fpr95")))
        console.print(table)


def _with_template(config: Config, task: Task, backbone: Backbone) -> Config:
    """The dataset's own prompt where nothing is learned; its words before {} are the context, however many tokens they make.

    Learned contexts keep "a photo of a", which is as long as they are: in CoOp, too, the prompts of single datasets are zero-shot CLIP's.
    """
    if task.template is None:
        return config
    tokens = backbone.tokenize([task.template.split("{}")[0]])
    return config.replace(template=task.template, global_context=tokens.shape[1] - 2)


def _loaded(run: Path, device: str) -> SOTGLP:
    return load(run / "prompts.safetensors" if run.is_dir() else run).to(chosen_device(device))
