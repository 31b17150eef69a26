"""What the commands share: options, consoles, and reading of settings."""

from __future__ import annotations

import json
import math
import reprlib
import shlex
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import torch
import typer
from rich.console import Console

from ..config import Config
from ..learning.checkpoint import load
from ..method.model import SOTGLP
from ..workbench.runs import Run

console, errors = Console(), Console(stderr=True)

TASK = {
    "data": str,
    "root": str | None,
    "shots": int,
    "draw": str,
    "classes": list[str],
    "names": str | None,
    "ood": list[str],
    "ood_exclude": list[str],
    "shift": list[str],
    "backbone": str,
    "pretrained": str | None,
    "allow_fewer": bool,
    "skip_corrupt": bool,
    "device": str,
}  # what a run is asked for beside the settings of Config
OPTIONS = {"out": str, "preset": str, "seed": int, **TASK}
KINDS: dict[str, Any] = OPTIONS | get_type_hints(Config)
WORDS: dict[type, str] = {
    int: "a whole number of at most nine digits",
    float: "a number",
    bool: "true or false",
    str: "a text",
}

Data = Annotated[
    str,
    typer.Option(
        help="'pocket' (the embedded task), a folder with a sub-folder of photos for each class, a CSV "
        "or JSON file of paths and labels, or a name of `sotglp data list`."
    ),
]
Root = Annotated[
    Path | None, typer.Option(help="The folder that holds the datasets of `sotglp data list`.")
]
Classes = Annotated[str, typer.Option(help="Comma-separated class folders to use; empty: all.")]
Names = Annotated[
    Path | None,
    typer.Option(help="JSON or CSV file that says what class folders or labels are called."),
]
Ood = Annotated[
    list[str] | None,
    typer.Option(
        help="Photos that belong to no class: a folder, or a dataset's name; may be repeated."
    ),
]
OodExclude = Annotated[
    str, typer.Option(help="Comma-separated sub-folders of the OOD folders to leave out.")
]
Shift = Annotated[
    list[str] | None,
    typer.Option(
        help="Other photos of the same classes: a folder, or a dataset's name; may be repeated."
    ),
]
Name = Annotated[str, typer.Option(help="'pocket', or an open_clip ViT such as ViT-B-16.")]
Weights = Annotated[str | None, typer.Option(help="open_clip tag (downloads) or checkpoint file.")]
Skip = Annotated[bool, typer.Option(help="Leave out files that can't be read instead of stopping.")]
Device = Annotated[str, typer.Option(help="cpu or cuda; auto takes a GPU if there is one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def warn(message: str) -> None:
    """A line on standard error that stops nothing."""
    errors.print(message, style="yellow", markup=False, highlight=False, soft_wrap=True)


def device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError):
        raise ValueError(
            f"this machine's torch can't use the device {name!r}; try --device cpu"
        ) from None
    return name


def listed(text: str) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] or None


def checked(key: str, value: Any, where: str) -> Any:
    """The value as what the setting ``key`` is; a text is read as JSON where the setting is no text.

    :param where: what the error begins with.
    :raises ValueError: if it can't be that.
    """
    kind = KINDS[key]
    kinds, given = get_args(kind) if NoneType in get_args(kind) else (kind,), value
    if kind == list[str]:
        if isinstance(value, str):
            value = listed(value) if key in ("classes", "ood_exclude") else [value]
        value = value or []
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return list(value)
        raise ValueError(
            f"{where}: {key} needs a text or a list of texts, not {reprlib.repr(given)}"
        )
    if isinstance(value, str) and str not in kinds:
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if kind == tuple[int, ...]:
        value = tuple(value) if isinstance(value, list | tuple) else (value,)
        if all(_is_whole(item) for item in value):
            return value
        raise ValueError(f"{where}: {key} needs whole numbers, not {reprlib.repr(given)}")
    if value is None and NoneType in kinds:
        return None
    if kinds[0] is float and (
        _is_whole(value) or isinstance(value, float) and math.isfinite(value)
    ):
        return float(value)
    if (
        _is_whole(value)
        if kinds[0] is int
        else kinds[0] is not float and isinstance(value, kinds[0])
    ):
        return value
    raise ValueError(f"{where}: {key} needs {WORDS[kinds[0]]}, not {reprlib.repr(given)}")


def parsed(settings: list[str]) -> dict:
    """Checked values of key=value pairs; a key that is no setting stays for Config to complain of."""
    found = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign:
            raise ValueError(
                f"--set {setting} has no '='; write --set name=value, such as --set epochs=20"
            )
        if key in OPTIONS:
            raise ValueError(f"--set {setting}: give --{key.replace('_', '-')} instead")
        found[key] = checked(key, value, f"--set {setting}") if key in KINDS else value
    return found


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9


def loaded(run: Path, name: str) -> SOTGLP:
    """The model of a run folder, or of a file of prompts, on the device that was asked for.

    :raises ValueError: if there is none; in an interrupted run's folder, with the command that goes on.
    """
    if run.is_dir() and not (run / "prompts.safetensors").exists():
        reached = Run(run).reached()
        raise ValueError(
            f"{run} holds an interrupted run ({reached}); finish it with: sotglp train --resume --out {shlex.quote(str(run))}"
            if reached
            else f"{run} holds no prompts; give a folder that `sotglp train` wrote"
        )
    return load(run / "prompts.safetensors" if run.is_dir() else run).to(device(name))
