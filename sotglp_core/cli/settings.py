"""What a run was asked for: a file of settings, and the command line over it."""

import json
import os
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from ..config import PRESETS, checked
from ..messages import did_you_mean
from .common import split_names

PLACES = {"data", "root", "names", "ood", "shifts", "pretrained"}
SPLIT = ("classes", "ood_exclude")  # comma-separated in a string
Kinds = Mapping[str, Any]  # name -> type annotation of every option and setting


def read_settings(path: Path, known: Kinds) -> dict:
    """Checked settings of a TOML or JSON file; a name may have _ or - between its words.

    :raises ValueError: naming the file and what in it is wrong.
    """
    from ..data.labels import read_text

    text = read_text(path)
    try:
        given = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
        if not isinstance(given, dict):
            raise ValueError("it does not hold names and values")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"can't read the settings in {path}: {error}") from None
    given.pop("sources", None)  # what a run's config.json says beside its settings
    found = {}
    for key, value in given.items():
        name = "shifts" if key == "shift" else key.replace("-", "_")
        if name not in known:
            raise ValueError(f"{path}: unknown setting {key[:80]!r}{did_you_mean(name, known)}")
        found[name] = from_text(name, value, known, str(path))
    return found


def from_text(name: str, value: Any, known: Kinds, where: str) -> Any:
    """The checked value of a setting; a string is read as JSON where the setting is none.

    :param where: what the error begins with.
    :raises ValueError: if the setting can't have this value.
    """
    if isinstance(value, str) and name in SPLIT:
        value = split_names([value])
    try:
        return checked(name, value, known[name])
    except ValueError as error:
        with suppress(ValueError, TypeError, RecursionError):
            return checked(name, json.loads(value), known[name])
        raise ValueError(f"{where}: {error}") from None


def asked_for(
    context: typer.Context, file: Path | None, settings: list[str] | None, known: Kinds
) -> dict:
    """What the file and then the command line say, checked.

    :param settings: name=value pairs.
    :raises ValueError: on a mistake, or if --preset would be undone by the file of another preset.
    """
    filed: dict[str, Any] = read_settings(file, known) if file else {}
    told: dict[str, Any] = {}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name in known and source and source.name == "COMMANDLINE":
            told[name] = split_names(value) if name in SPLIT else value
    told |= read_pairs(settings, known, context.params)
    former, wanted = filed.get("preset", ""), told.get("preset", "")
    if former != wanted and {former, wanted} <= {*PRESETS}:
        undone = ", ".join(key for key in PRESETS[former] | PRESETS[wanted] if key in filed)
        if undone:
            raise ValueError(
                f"{file} has settings of the preset {former!r} ({undone}), which would undo "
                f"--preset {wanted}; remove them from the file, or leave out --preset"
            )
    found = filed | told
    for name in PLACES & set(found):
        found[name] = absolute(found[name], found.get("root"))
    return found


def read_pairs(
    settings: list[str] | None, known: Kinds, options: Collection[str] = ()
) -> dict[str, Any]:
    """Checked values of name=value pairs.

    :param options: names that are options of the command instead.
    :raises ValueError: on an unknown name, or a value that it can't have.
    """
    found = {}
    for setting in settings or []:
        name, sign, value = setting.partition("=")
        if not sign:
            raise ValueError(f"--set {setting} has no '='; write for example --set epochs=20")
        if name in options:
            raise ValueError(f"--set {setting}: give --{name.replace('_', '-')} instead")
        if name not in known:
            raise ValueError(f"--set: unknown setting {name!r}{did_you_mean(name, known)}")
        found[name] = from_text(name, value, known, "--set")
    return found


def absolute(place: Any, root: str | None) -> Any:
    """Files and folders wherever the command is called; names of datasets as they are."""
    if isinstance(place, list):
        return [absolute(item, root) for item in place]
    known = place in (None, "pocket") or root
    return place if known or not os.path.exists(place) else os.path.abspath(place)
