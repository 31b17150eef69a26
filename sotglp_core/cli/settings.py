"""What a run was asked for: a file of settings, the command line over it, both over the preset."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import typer
import yaml

from ..config import PRESETS, Config
from ..messages import printable
from ..recipes import recipe
from .common import KINDS, TASK, checked, parsed


class _Plain(yaml.SafeLoader):
    """Without aliases, by which a few lines can grow to any size."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to itself with *; write the value out")
        return super().compose_node(parent, index)


_yaml = partial(yaml.load, Loader=_Plain)
READERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yaml": _yaml,
    ".yml": _yaml,
}


def read_settings(path: Path) -> dict:
    """Checked settings of a TOML, YAML or JSON file; a key is an option of ``sotglp train`` or a setting, with _ or - between its words.

    :raises ValueError: naming the file and what in it is wrong.
    """
    if path.suffix.lower() not in READERS:
        raise ValueError(f"--config {path}: give a file that ends in {', '.join(READERS)}")
    try:
        if not path.is_file() or path.stat().st_size > 1 << 16:
            raise ValueError("it is no file of at most 64 KiB")
        given = READERS[path.suffix.lower()](path.read_text(encoding="utf-8"))
        if not isinstance(given, dict):
            raise ValueError("it does not hold names and values")
    except Exception as error:  # PyYAML lets slip whatever int("") or a missing match raises
        raise ValueError(
            f"can't read the settings in {path}: {printable(' '.join(str(error).split()))}"
        ) from None
    found = {}
    for key, value in given.items():
        name = str(key).replace("-", "_")
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, 1)
            raise ValueError(
                f"{path}: unknown setting {str(key)[:80]!r}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
        if name in found:
            raise ValueError(f"{path}: {name} is there twice")
        found[name] = checked(name, value, str(path))
    return found


def asked_for(context: typer.Context, file: Path | None, settings: list[str]) -> dict:
    """What the file and then the command line say; "out", the run's folder, may be among it.

    :raises ValueError: on a mistake in either, or if --preset would be undone by the file of another preset.
    """
    filed = read_settings(file) if file else {}
    told = {
        key: str(value) if isinstance(value, os.PathLike) else value
        for key, value in context.params.items()
        if key in KINDS and getattr(context.get_parameter_source(key), "name", "") == "COMMANDLINE"
    }
    told = {
        key: checked(key, value, f"--{key.replace('_', '-')}") for key, value in told.items()
    } | parsed(settings)
    former, name = filed.get("preset"), told.get("preset")
    if name in PRESETS and former in PRESETS and former != name:
        undone = [key for key in {**PRESETS[former], **PRESETS[name]} if key in filed]
        if undone:
            raise ValueError(
                f"{file} has settings of the preset {former!r} ({', '.join(undone)}), which would undo --preset {name}; "
                "remove them from the file, or leave out --preset"
            )
    return filed | told


def resolved(asked: dict, defaults: dict) -> tuple[dict, Config]:
    """All options of the task, and all settings.

    :param asked: what :func:`asked_for` returned.
    :param defaults: of the options.
    """
    backbone = asked.get("backbone", defaults["backbone"])
    config = recipe(asked.get("preset", defaults["preset"]), backbone=backbone)
    changes = {key: value for key, value in asked.items() if key not in ("preset", *TASK)}
    config = config.replace(**{"seed": defaults["seed"], **changes})
    options = {key: checked(key, asked.get(key, defaults[key]), key) for key in TASK}
    return options, config
