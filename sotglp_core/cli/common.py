"""What the commands share: options, the console, devices and saved models."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..messages import printable

if TYPE_CHECKING:
    from ..method.model import SOTGLP

console, errors = Console(), Console(stderr=True)


class Stopped(BaseException):
    """A signal asked the command to stop."""

    def __init__(self, number: int):
        super().__init__("by a signal")
        self.number = number


def split_names(values: list[str] | None) -> list[str]:
    """Names out of comma-separated lists of them; one that has a comma is given in quotes."""
    try:
        rows = list(csv.reader(values or [], skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"can't read the names {values}: {error}") from None
    return [name.strip() for row in rows for name in row if name.strip()]


Data = Annotated[
    str,
    typer.Option(
        help="'pocket' (the embedded task), a folder with a sub-folder of images for each class, "
        "a CSV or JSON file of paths and labels, or a name of `sotglp data list`."
    ),
]
Root = Annotated[
    str | None, typer.Option(help="The folder that holds the datasets of `sotglp data list`.")
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        callback=split_names,
        help="Comma-separated classes to use, all by default; a name with a comma in quotes.",
    ),
]
Names = Annotated[
    str | None,
    typer.Option(help="JSON or CSV file that says what class folders or labels are called."),
]
Ood = Annotated[
    list[str] | None,
    typer.Option(help="Images of no class: a folder or a dataset's name; may be repeated."),
]
OodExclude = Annotated[
    list[str] | None,
    typer.Option(
        callback=split_names, help="Comma-separated sub-folders of the OOD folders to leave out."
    ),
]
Shift = Annotated[
    list[str] | None,
    typer.Option(
        help="Other images of the same classes: a folder or a dataset's name; may be repeated."
    ),
]
Name = Annotated[str, typer.Option(help="'pocket', or an open_clip ViT such as ViT-B-16.")]
Weights = Annotated[str | None, typer.Option(help="open_clip tag (downloads) or checkpoint file.")]
SavedName = Annotated[
    str | None, typer.Option(help="The backbone, by default the one that the run names.")
]
SavedWeights = Annotated[
    str | None, typer.Option(help="Its weights, if they are not where the run says.")
]
Skip = Annotated[bool, typer.Option(help="Leave out files that can't be read instead of stopping.")]
Chunk = Annotated[
    int | None,
    typer.Option(min=1, help="Prompts to encode at once; fewer need less memory and more time."),
]
Device = Annotated[str, typer.Option(help="cpu or cuda; auto takes a GPU if there is one.")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Of both towers: fp32, bf16, fp16 or fp64; by default what suits the device, and for "
        "saved prompts that of their training."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Saved = Annotated[
    Path, typer.Argument(help="Folder that `sotglp train` wrote, or a file of prompts.")
]


def say(text: str, style: str | None = None) -> None:
    """A line on standard output, as it is."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def warn(text: str, style: str = "yellow") -> None:
    """A line on standard error."""
    errors.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in the format of the file's name."""
    from ..storage import atomic_path

    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=140)


def usable(device: str) -> str:
    """The device by torch's name.

    :raises ValueError: if this machine can't use it.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError):
        raise ValueError(f"torch can't use the device {device!r} here; try --device cpu") from None
    return device


def load_saved(
    saved: Path,
    device: str,
    backbone: str | None = None,
    pretrained: str | None = None,
    precision: str | None = None,
) -> SOTGLP:
    """The model of a run's folder or of a file of prompts.

    :param backbone: instead of the one that the file names, and ``pretrained`` its weights.
    :raises ValueError: if there is none; for an interrupted run, with the command that goes on.
    """
    from ..clip.backbone import load_backbone
    from ..learning.checkpoint import load
    from ..storage import load_tensors
    from ..workbench.runs import Run

    path = saved / "prompts.safetensors" if saved.is_dir() else saved
    if saved.is_dir() and not path.exists():
        held = Run(saved).holds()
        raise ValueError(
            f"{saved} holds {held}; finish it with: {resume_command(saved)}"
            if held
            else f"{saved} holds no prompts; give a folder that `sotglp train` wrote"
        )
    frozen = None
    if backbone or pretrained:
        wanted = load_tensors(path)[1]["backbone"]
        frozen = load_backbone(
            backbone or wanted["name"],
            pretrained or wanted["pretrained"],
            device=usable(device),
            precision=precision or wanted["precision"],
        )
    return load(path, frozen, device=usable(device), precision=precision)


def resume_command(folder: Path) -> str:
    return f"sotglp train --resume --out {shlex.quote(printable(folder))}"
