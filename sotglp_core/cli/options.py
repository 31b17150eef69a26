"""The meaning of the commands' options, out of ``options.toml``."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..config import PRESETS, Config, kinds

TOLD = tomllib.loads((Path(__file__).parent / "options.toml").read_text(encoding="utf-8"))


def with_help(command: Callable) -> Callable:
    """The command, its parameters annotated with what ``options.toml`` says of them."""
    for name, kind in get_type_hints(command).items():
        told = TOLD.get(f"{command.__name__}.{name}") or TOLD.get(name)
        if told:
            command.__annotations__[name] = Annotated[kind, _option(**told)]
    return command


def _option(help: str, argument: bool = False, flags: tuple = (), **others: Any) -> Any:
    help = help.format(presets=", ".join(PRESETS), settings=", ".join(kinds(Config)))
    return typer.Argument(help=help) if argument else typer.Option(*flags, help=help, **others)
