"""What the commands share: the console, devices and saved models."""

import csv
import os
import shlex
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..messages import did_you_mean, note, printable

console = Console()


class Stopped(BaseException):
    """A signal asked the command to stop."""

    def __init__(self, number: int):
        super().__init__("by a signal")
        self.number = number


def say(text: str, style: str | None = None) -> None:
    """A line on standard output that every terminal can print."""
    console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


def show_table(
    headings: Iterable[str],
    rows: Iterable[Iterable],
    right: Iterable[str] = (),
    title: str | None = None,
    to: Console = console,
) -> None:
    """A table, on standard output by default; its cells may have rich's markup.

    :param right: the headings of columns that are justified to the right.
    """
    table = Table(title=title)
    for name in headings:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        lines = (map(printable, str(cell).split("\n")) for cell in row)
        table.add_row(*map("\n".join, lines))
    to.print(table)


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def check_names(names: Iterable[str], known: Collection[str], kind: str) -> None:
    """:raises ValueError: if one of them is not known, with the nearest name or all there are."""
    for name in names:
        if name not in known:
            near = did_you_mean(name, known) or f"; there are: {', '.join(known)}"
            raise ValueError(f"there is no {kind} {name!r}{near}")


def split_names(texts: list[str] | None) -> list[str]:
    """Names out of comma-separated lists of them; one that has a comma is given in quotes."""
    lines = [line for text in texts or [] for line in text.splitlines()]
    rows = csv.reader(lines, skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]


def listed_images(arguments: list[Path]) -> list[Path]:
    """The files that the arguments name.

    :raises ValueError: if there are none.
    """
    from ..data.folders import list_images

    files: list[Path] = []
    for argument in arguments:
        if str(argument) == "-":
            lines = os.fsdecode(sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")).splitlines()
            files += [Path(line) for line in lines if line.strip()]
        else:
            files += list_images(argument) if argument.is_dir() else [argument]
    if not files:
        raise ValueError(f"there are no images in {arguments[0]}; give files or folders of images")
    return files


def say_skipped(message: str) -> None:
    """That an image can't be read and is left out."""
    note(f"skipped: {message}")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in the format of the file's name."""
    from ..storage import atomic_path

    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=140)


def frozen_clip(name: str, pretrained: str | None, device: str, precision: str | None) -> Any:
    """The backbone, in the precision that suits the device unless one is given."""
    from ..clip.backbone import load_backbone

    return load_backbone(name, pretrained, device=device, precision=precision or "auto")


def load_saved(
    run: Path,
    device: str,
    precision: str | None,
    backbone: str | None,
    pretrained: str | None,
) -> Any:
    """The model of a run's folder or of a file of prompts.

    :param precision: of both towers; None: that of the training.
    :param backbone: instead of the one that the file names, and ``pretrained`` its weights.
    :raises ValueError: if there is none; for an interrupted run, with the command that goes on.
    """
    from ..learning.checkpoint import load
    from ..workbench.runs import Run

    path = run / "prompts.safetensors" if run.is_dir() else run
    if path != run and not path.exists():
        begun = Run(run).holds()
        finish = f"{begun}; finish it with: {resume_command(run)}"
        none = "no prompts; give a folder that `sotglp train` wrote"
        raise ValueError(f"{run} holds {finish if begun else none}")
    return load(path, backbone, pretrained=pretrained, device=device, precision=precision)


def resume_command(folder: Path) -> str:
    return f"sotglp train --resume --out {shlex.quote(str(folder))}"
