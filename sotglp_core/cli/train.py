"""``sotglp train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..backbone import Backbone, load_backbone
from ..checkpoint import save
from ..config import PRESETS, Config, preset
from ..model import SOTGLP
from ..pocket import SETTINGS
from ..storage import write_text
from ..tasks import Task, load_task
from ..training import fit
from .common import AsJson, Classes, Data, Device, Name, Names, Ood, OodExclude, Root, Shift, Skip, Weights, console, listed, parsed
from .common import device as chosen_device
from .judge import report


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
        config = with_template(config, task, frozen)
    model = SOTGLP(frozen, task.class_names, config)
    write_text(out / "config.json", json.dumps({**config.to_dict(), "data": data, "shots": shots, "draw": draw, "backbone": backbone},
                                               indent=1))
    history = fit(model, task.train, progress=not as_json)
    save(model, out / "prompts.safetensors")
    write_text(out / "history.jsonl", "".join(json.dumps(epoch._asdict()) + "\n" for epoch in history))
    report(model, task, out, as_json, "metrics.json")
    if not as_json:
        console.print(f"saved to {out}; next: sotglp predict {out} PHOTO --heatmap heatmap.png", highlight=False)


def with_template(config: Config, task: Task, backbone: Backbone) -> Config:
    """The dataset's own prompt where nothing is learned; its words before {} are the context, however many tokens they make.

    Learned contexts keep "a photo of a", which is as long as they are: in CoOp, too, the prompts of single datasets are zero-shot CLIP's.
    """
    if task.template is None:
        return config
    tokens = backbone.tokenize([task.template.split("{}")[0]])
    return config.replace(template=task.template, global_context=tokens.shape[1] - 2)
