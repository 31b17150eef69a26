"""The ``sotglp`` command."""

from __future__ import annotations

import io
import sys
from importlib.metadata import version
from signal import SIGINT
from typing import Annotated

import typer

from ..messages import printable
from . import cache, data
from .bench import bench
from .common import errors
from .compare import compare
from .export import export
from .inspect import inspect
from .judge import evaluate_command
from .predict import predict
from .reproduce import reproduce
from .train import train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Few-shot image classification with local and global prompts on a frozen CLIP.",
)
app.command()(train)
app.command("evaluate")(evaluate_command)
app.command()(predict)
app.command()(inspect)
app.command()(compare)
app.command()(export)
app.command()(reproduce)
app.command()(bench)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("sotglp-core"))
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
]


@app.callback()
def options(version: Version = False) -> None:
    """Few-shot image classification with local and global prompts on a frozen CLIP."""


def main() -> None:
    """Run the command; what stops it is one line on standard error, and the exit code 2, or 128 and the number of the signal."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # neither closed nor replaced
        sys.stdout.reconfigure(errors="backslashreplace")  # names that it can't encode stop nothing
    try:
        app()
    except ValueError as error:
        hint = (
            "; pass --skip-corrupt to go on without it"
            if str(error).startswith("can't read the image")
            else ""
        )
        _leave(f"{error}{hint}", 2)
    except OSError as error:
        _leave(
            f"{error.strerror or error}"
            + (f": {printable(error.filename)}" if error.filename else ""),
            2,
        )
    except (MemoryError, RuntimeError) as error:
        if (
            not isinstance(error, MemoryError)
            and "out of memory" not in str(error)
            and "can't allocate memory" not in str(error)
        ):
            raise
        _leave(
            "there is not enough memory; --set text_chunk=64, and fewer prompts or a smaller batch_size need less",
            2,
        )
    except SystemExit as left:
        stop: BaseException | None = left
        while stop is not None and not isinstance(
            stop, KeyboardInterrupt
        ):  # which typer has made an exit of
            stop = stop.__cause__ or stop.__context__
        if stop is None:
            raise
        _leave(str(stop) or "stopped", 128 + getattr(stop, "number", SIGINT))


def _leave(message: str, code: int) -> None:
    errors.print(
        f"sotglp: {printable(message)}", style="red", markup=False, highlight=False, soft_wrap=True
    )
    sys.exit(code)
