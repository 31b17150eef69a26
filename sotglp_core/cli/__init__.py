"""The ``sotglp`` command."""

from __future__ import annotations

import sys

import typer

from . import cache, data
from .common import errors
from .judge import evaluate_command
from .predict import predict
from .train import train

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
                  help="Few-shot image classification with local and global prompts on a frozen CLIP.")
app.command()(train)
app.command("evaluate")(evaluate_command)
app.command()(predict)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")


def main() -> None:
    """Run the command; a mistake of the user's is one line on standard error and exit code 2."""
    try:
        app()
    except ValueError as error:
        hint = "; pass --skip-corrupt to go on without it" if str(error).startswith("can't read the image") else ""
        errors.print(f"sotglp: {error}{hint}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
