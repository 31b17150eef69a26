"""A run's folder: what was asked for, on which machine, what came of it; whole at any moment at which the run may end."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

import torch

from ..learning.checkpoint import Epoch, read_history
from ..messages import printable
from ..storage import WriteError, write_text, writing

FILES = (
    "prompts.safetensors",
    "checkpoint.safetensors",
    "metrics.jsonl",
    "report.html",
    "evaluation.json",
    "config.json",
    "environment.json",
)
CURRENT = "revision of the current folder"  # which changes no number
PACKAGES = ("sotglp-core", "torch", "open_clip_torch", "numpy", "safetensors", "pillow")


class Run:
    """One folder, one run.

    ``config.json``: all settings; ``environment.json``: versions and machine; ``metrics.jsonl``: a line an epoch, the last one the test's;
    ``log.txt``: what happened when; ``prompts.safetensors``: what was learned; ``checkpoint.safetensors``: as long as the run is not finished,
    all that it needs to go on.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def __str__(self) -> str:
        return printable(self.folder)

    @property
    def finished(self) -> bool:
        return self.result() is not None and not (self / "checkpoint.safetensors").exists()

    def reached(self) -> str:
        """How far training has come, in words; empty if it has not learned anything yet.

        :raises ValueError: if the state is damaged.
        """
        if not (self / "checkpoint.safetensors").exists():
            return ""
        history, epochs = read_history(self / "checkpoint.safetensors")
        return f"{len(history)} of {epochs} epochs" if history else ""

    def holds(self) -> str:
        """What would be lost with the folder, in words; empty if there is nothing."""
        reached = self.reached()
        return (
            f"an interrupted run ({reached})"
            if reached
            else "a finished run"
            if (self / "prompts.safetensors").exists()
            else ""
        )

    def environment(self) -> dict:
        """The machine and the command that the run began with."""
        with suppress(OSError, ValueError, TypeError, RecursionError):
            return dict(json.loads((self / "environment.json").read_text()))
        return {}

    def result(self) -> dict | None:
        """The test's metrics, once they are there."""
        with suppress(OSError, ValueError, IndexError, AttributeError, RecursionError):
            return json.loads((self / "metrics.jsonl").read_text().splitlines()[-1]).get("test")
        return None

    @contextmanager
    def recording(self, settings: dict, device: str, *, anew: bool) -> Iterator[str]:
        """Write down settings and machine, and then whatever ends the block; one process at a time.

        :param anew: remove what another run has left. Otherwise metrics.jsonl is brought to where the state is.
        :return: how the machine has changed since the run began, in words; empty if it has not.
        :raises ValueError: if the folder can't be written to, or another process is training in it.
        """
        with self._open() as self._log:
            with writing(self.folder):
                for name in FILES:  # left by a process that was killed while it wrote
                    for litter in self.folder.glob(f".{name}.*.tmp"):
                        litter.unlink()
                if anew:
                    self._log.truncate(0)
                    for name in FILES:
                        (self / name).unlink(missing_ok=True)
                self.log(shlex.join(["sotglp", *sys.argv[1:]]))
            changed = (
                self._begin(settings, environment(device))
                if anew
                else self._go_on(environment(device))
            )
            try:
                yield changed
            except BaseException as error:
                self.log(
                    "stopped by a signal"
                    if isinstance(error, KeyboardInterrupt)
                    else f"stopped by an error: {error}"
                )
                raise

    def log(self, text: str) -> None:
        """A line of log.txt."""
        with writing(self / "log.txt"):
            self._log.write(
                f"{datetime.now().astimezone().isoformat(timespec='seconds')} {printable(text)}\n"
            )
            self._log.flush()

    def epoch(self, epoch: Epoch) -> None:
        """A line of metrics.jsonl, and one of log.txt."""
        with writing(self / "metrics.jsonl"), open(self / "metrics.jsonl", "a") as file:
            file.write(_line(epoch))
        self.log(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}")

    def tested(self, history: list[Epoch], result: dict) -> None:
        """All of metrics.jsonl."""
        write_text(
            self / "metrics.jsonl",
            "".join(map(_line, history)) + json.dumps({"test": result}) + "\n",
        )
        self.log(f"tested: accuracy {result['accuracy']:.4f}")

    def finish(self) -> None:
        """Nothing is left to do."""
        (self / "checkpoint.safetensors").unlink(missing_ok=True)
        self.log("finished")

    def _begin(self, settings: dict, machine: dict) -> str:
        made = {"command": shlex.join(["sotglp", *sys.argv[1:]]), **machine}
        write_text(self / "metrics.jsonl", "")
        write_text(self / "environment.json", json.dumps(made, indent=1))
        write_text(self / "config.json", json.dumps(settings, indent=1))
        return ""

    def _go_on(self, machine: dict) -> str:
        if (self / "checkpoint.safetensors").exists():
            history, _ = read_history(self / "checkpoint.safetensors")
            write_text(self / "metrics.jsonl", "".join(map(_line, history)))
            self.log(f"resumed after {len(history)} epochs")
        began = self.environment()
        changed = [
            f"{key} was {began[key]}, is {machine[key]}"
            for key in machine
            if key != CURRENT and key in began and began[key] != machine[key]
        ]
        if changed:
            self.log("the machine has changed: " + "; ".join(changed))
        return "; ".join(changed)

    def _open(self) -> TextIO:
        """log.txt, locked as long as it is open in this process, however that ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            log = open(self / "log.txt", "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            raise WriteError(
                f"can't write to {self}: {error.strerror}; choose another folder with --out"
            ) from None
        with suppress(ImportError):
            import fcntl

            try:
                fcntl.lockf(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise ValueError(
                    f"another process is training in {self}; wait for it, or give another folder with --out"
                ) from None
            except OSError:
                pass  # a file system without locks
        return log


def environment(device: str) -> dict:
    """Versions, machine and revisions; what can't be found out is None."""
    name = (
        torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else platform.processor() or platform.machine()
    )
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "device": device,
        "processor": name,
        "threads": torch.get_num_threads(),
        "revision": _revision(Path(__file__).parent, "__init__.py"),
        CURRENT: _revision(Path()),
    }


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None


def _revision(folder: Path, tracked: str | None = None) -> str | None:
    """The git revision that is checked out in a folder, if this file in it is tracked; "-dirty" where files were changed since."""
    git = ["git", "-C", str(folder), "-c", "core.fsmonitor=false"]
    settings: dict[str, Any] = {
        "capture_output": True,
        "text": True,
        "timeout": 5,
        "check": True,
        "env": {**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
    }
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        if tracked:
            subprocess.run([*git, "ls-files", "--error-unmatch", tracked], **settings)
        return subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], **settings
        ).stdout.strip()
    return None


def _line(epoch: Epoch) -> str:
    return json.dumps(epoch._asdict()) + "\n"
