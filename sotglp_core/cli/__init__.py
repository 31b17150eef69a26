"""The ``sotglp`` command."""

import gc
import getpass
import io
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..messages import note
from . import cache, data
from .bench import bench
from .common import Stopped, console
from .compare import compare
from .embed import embed
from .evaluate import evaluate
from .export import export
from .inspect import inspect
from .options import with_help
from .predict import predict
from .reproduce import reproduce
from .train import train

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
NO_MEMORY = ("out of memory", "can't allocate memory")  # in torch's words

COMMANDS = (train, evaluate, predict, inspect, compare, export, embed, reproduce, bench)
CAN_SKIP = {c.__name__ for c in COMMANDS if "skip_corrupt" in c.__annotations__}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for command in COMMANDS:
    app.command()(with_help(command))
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Few-shot image classification with local and global prompts on a frozen CLIP."""
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command.

    What stops it is one line on standard error, and the exit code 2, or 128 and the number of the
    signal. A signal acts at once; what the command was writing stays as it was.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # neither closed nor replaced
        sys.stdout.reconfigure(errors="backslashreplace")
    gc.set_threshold(10_000)  # importing torch makes a million objects, hardly any of them garbage
    _name_user()
    console.quiet = "--json" in sys.argv
    for name in SIGNALS:
        number = getattr(signal, name, None)  # there is no SIGHUP on Windows
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, _stop)
    code = 2
    try:
        app()  # which ends the program
    except Stopped as stop:
        message, code = f"stopped {stop}", 128 + stop.number
    except OSError as error:
        message = ": ".join(map(str, filter(None, (error.strerror or error, error.filename))))
    except ValueError as error:
        unreadable = str(error).startswith("can't read the image")
        skip = "; pass --skip-corrupt to go on without it"
        message = f"{error}{skip if unreadable and sys.argv[1] in CAN_SKIP else ''}"
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        message = (
            "there is not enough memory; fewer prompts or a smaller batch_size need less, and so "
            "does `sotglp train --text-chunk 64`, also with --resume"
        )
    note(f"sotglp: {message}")
    sys.exit(code)


def _name_user() -> None:
    """A name and a home for users that are only a number, as in containers: libraries ask."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()


def _stop(number: int, frame: Any) -> None:
    raise Stopped(number)
