"""What a run was asked for: a file of settings, and the command line over it."""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from ..config import PRESETS, Config, checked, kinds
from ..messages import did_you_mean
from .common import split_names

PLACES = {"data", "root", "names", "ood", "shifts", "pretrained"}
SPLIT = ("classes", "ood_exclude")  # comma-separated in a string
CALL = {"context", "config", "settings", "resume", "overwrite", "as_json", "return"}
Kinds = Mapping[str, Any]  # name -> type annotation


def known_settings() -> dict[str, Any]:
    """Name -> type of every setting, and of every option of a run; those in CALL are of a call."""
    from .train import train

    options = {name: kind for name, kind in kinds(train).items() if name not in CALL}
    return kinds(Config) | options


def read_settings(path: Path) -> dict:
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
    return checked_settings(given, known_settings(), str(path))


def read_pairs(pairs: list[str] | None, known: Kinds) -> dict[str, Any]:
    """Checked settings of name=value pairs.

    :raises ValueError: on an unknown name, or a value that it can't have.
    """
    given = {}
    for pair in pairs or []:
        name, sign, value = pair.partition("=")
        if not sign:
            raise ValueError(f"--set {pair} has no '='; write for example --set epochs=20")
        given[name] = value
    return checked_settings(given, known, "--set")


def checked_settings(given: Mapping[str, Any], known: Kinds, where: str) -> dict[str, Any]:
    """Settings with their values checked; a string is read as JSON where the setting is none.

    :param where: what the error begins with.
    :raises ValueError: on an unknown name, or a value that it can't have.
    """
    found = {}
    for key, value in given.items():
        name = "shifts" if key == "shift" else key.replace("-", "_")
        if name not in known:
            raise ValueError(f"{where}: unknown setting {key[:80]!r}{did_you_mean(name, known)}")
        if isinstance(value, str) and name in SPLIT:
            value = split_names([value])
        try:
            found[name] = checked(name, value, known[name])
        except ValueError as error:
            try:
                found[name] = checked(name, json.loads(value), known[name])
            except (ValueError, TypeError, RecursionError):
                raise ValueError(f"{where}: {error}") from None
    return found


def asked_for(context: typer.Context) -> dict:
    """What the file of --config and then the command line say, checked.

    :raises ValueError: on a mistake, or if --preset would be undone by the file of another preset.
    """
    file, known = context.params.get("config"), known_settings()
    filed = read_settings(Path(file)) if file else {}
    told: dict = {}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name in known and source and source.name == "COMMANDLINE":
            told[name] = split_names(value) if name in SPLIT else value
    told |= read_pairs(context.params.get("settings"), known)
    former, wanted = filed.get("preset", ""), told.get("preset", "")
    if former != wanted and {former, wanted} <= PRESETS.keys():
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


def absolute(place: Any, root: str | None) -> Any:
    """Files and folders wherever the command is called; names of datasets as they are."""
    if isinstance(place, list | tuple):  # a tuple in old versions of typer
        return [absolute(item, root) for item in place]
    if root or place in (None, "pocket") or not os.path.exists(place):
        return place
    return os.path.abspath(place)
