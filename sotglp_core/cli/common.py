"""What the commands share: options, consoles, and reading of settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from ..checkpoint import load
from ..config import Config
from ..model import SOTGLP

console, errors = Console(), Console(stderr=True)

Data = Annotated[str, typer.Option(help="'pocket' (the embedded task), a folder with a sub-folder of photos for each class, a CSV "
                                        "or JSON file of paths and labels, or a name of `sotglp data list`.")]
Root = Annotated[Path | None, typer.Option(help="The folder that holds the datasets of `sotglp data list`.")]
Classes = Annotated[str, typer.Option(help="Comma-separated class folders to use; empty: all.")]
Names = Annotated[Path | None, typer.Option(help="JSON or CSV file that says what class folders or labels are called.")]
Ood = Annotated[list[str] | None, typer.Option(help="Photos that belong to no class: a folder, or a dataset's name; may be repeated.")]
OodExclude = Annotated[str, typer.Option(help="Comma-separated sub-folders of the OOD folders to leave out.")]
Shift = Annotated[list[str] | None, typer.Option(help="Other photos of the same classes: a folder, or a dataset's name; may be repeated.")]
Name = Annotated[str, typer.Option(help="'pocket', or an open_clip ViT such as ViT-B-16.")]
Weights = Annotated[str | None, typer.Option(help="open_clip tag (downloads) or checkpoint file.")]
Skip = Annotated[bool, typer.Option(help="Leave out files that can't be read instead of stopping.")]
Device = Annotated[str, typer.Option(help="cpu or cuda; auto takes a GPU if there is one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(f"this machine's torch can't use the device {name!r}; try --device cpu") from None
    return name


def listed(text: str) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] or None


def parsed(settings: list[str]) -> dict:
    """key=value pairs, values read as JSON where they are JSON and as text where not."""
    parsed = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign:
            raise ValueError(f"--set {setting} has no '='; write --set name=value, such as --set epochs=20")
        try:
            parsed[key] = json.loads(value)
        except json.JSONDecodeError:
            parsed[key] = value
        if key in ("seed", "preset"):
            raise ValueError(f"--set {setting}: give --{key} instead")
        if key == "support" and parsed[key] is None:
            continue
        known = type(getattr(Config(), key, None))
        if known is tuple and isinstance(parsed[key], int | list):
            parsed[key] = tuple(parsed[key]) if isinstance(parsed[key], list) else (parsed[key],)
            if not all(isinstance(value, int) for value in parsed[key]):
                raise ValueError(f"--set {setting}: {key} needs whole numbers")
        elif known in (int, float, bool, str) and not isinstance(parsed[key], (known, int) if known is float else known):
            raise ValueError(f"--set {setting}: {key} needs a {known.__name__}")
    return parsed


def loaded(run: Path, name: str) -> SOTGLP:
    """The model of a run folder, or of a file of prompts, on the device that was asked for."""
    return load(run / "prompts.safetensors" if run.is_dir() else run).to(device(name))
