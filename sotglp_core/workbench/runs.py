"""A run's folder: what was asked for, on which machine, what came of it; whole whenever it ends."""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from .. import __version__
from ..judging.evaluation import Evaluation
from ..learning.checkpoint import Epoch, changes, read_history
from ..messages import printable
from ..storage import write_text, writing

FILES = (
    "prompts.safetensors",
    "checkpoint.safetensors",
    "metrics.jsonl",
    "report.html",
    "evaluation.json",
    "config.json",
    "environment.json",
    "log.txt",
)
ROOT = Path(__file__).parents[2]  # of a checkout
PACKAGES = ("torch", "open_clip_torch", "numpy", "safetensors", "pillow")


class Run:
    """One folder, one run.

    ``config.json``: all settings; ``environment.json``: versions and machine; ``metrics.jsonl``:
    a line for each epoch, the last one of the test; ``log.txt``: what happened when;
    ``prompts.safetensors``: what was learned; ``report.html``: all of it to look at;
    ``checkpoint.safetensors``: until the run is finished, what it needs to go on.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.checkpoint = self / "checkpoint.safetensors"

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def __str__(self) -> str:
        return printable(self.folder)

    @property
    def finished(self) -> bool:
        return bool(self.result()) and not self.checkpoint.exists()

    def result(self) -> dict:
        """The metrics of the test; empty until they are there."""
        return self.read_json("metrics.jsonl").get("test", {})

    def history(self) -> tuple[list[Epoch], int]:
        """The epochs that the checkpoint has behind it, and how many there are to be; none without.

        :raises ValueError: if the checkpoint is damaged.
        """
        return read_history(self.checkpoint) if self.checkpoint.exists() else ([], 0)

    def reached(self) -> str:
        """How far an interrupted run has come, in words; empty if no epoch has ended."""
        history, epochs = self.history()
        return f"{len(history)} of {epochs} epochs" if history else ""

    def holds(self) -> str:
        """What would be lost with the folder, in words; empty if there is nothing."""
        reached = self.reached()
        if reached:
            return f"an interrupted run ({reached})"
        return "a finished run" if (self / "prompts.safetensors").exists() else ""

    def read_json(self, name: str) -> dict:
        """The last line of a file, or all of it, as a JSON object; empty if it is none."""
        with suppress(Exception):  # a damaged file fails in many ways
            text = (self / name).read_text(encoding="utf-8")
            return dict(json.loads(text.splitlines()[-1] if name.endswith("l") else text))
        return {}

    @contextmanager
    def recording(
        self, settings: dict, device: str, images: Mapping[str, str], *, resume: bool
    ) -> Iterator[str]:
        """Write down settings and machine, and then how the block ends; one process at a time.

        :param images: set that the run is tested on -> digest of it.
        :param resume: keep what is there, and bring metrics.jsonl to where the checkpoint is;
            otherwise what another run has left is removed.
        :return: how machine and images have changed since the run began, in words; empty if they
            have not.
        :raises ValueError: if the folder can't be written to, or another process trains in it.
        """
        lock = FileLock(self / ".lock", blocking=False)
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout:
                raise ValueError(
                    f"another process is training in {self}; wait for it, or choose another folder"
                ) from None
            except OSError:  # a file system without locks
                pass
            for name in FILES:
                for litter in self.folder.glob(f".{name}.*.tmp"):  # of a process that was killed
                    litter.unlink()
                if not resume:
                    (self / name).unlink(missing_ok=True)
        command = shlex.join(["sotglp", *sys.argv[1:]])
        now = environment(device) | {f"{name} images": digest for name, digest in images.items()}
        try:
            self.log(command)
            history, _ = self.history()
            lines = (f"{json.dumps(epoch._asdict())}\n" for epoch in history)
            write_text(self / "metrics.jsonl", "".join(lines))
            if resume:
                began = self.read_json("environment.json")
            else:
                began = {"command": command, **now}
                write_text(self / "environment.json", json.dumps(began, indent=1))
                write_text(self / "config.json", json.dumps(settings, indent=1))
            changed = changes(began, now)
            changed = changed and f"its figures may come out differently: {changed}"
            self.log(f"{len(history)} epochs are done; {changed or 'nothing has changed'}")
            yield changed
        except BaseException as error:
            self.log(f"stopped: {str(error) or type(error).__name__}")
            raise
        finally:
            lock.release()

    def _append(self, name: str, line: str) -> None:
        path = self / name
        with writing(path), open(path, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def log(self, text: str) -> None:
        """A line of log.txt."""
        time = datetime.now().astimezone().isoformat(timespec="seconds")
        self._append("log.txt", f"{time} {printable(text)}")

    def epoch(self, epoch: Epoch) -> None:
        """A line of metrics.jsonl, and one of log.txt."""
        self._append("metrics.jsonl", json.dumps(epoch._asdict()))
        self.log(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}")

    def tested(self, result: Evaluation) -> None:
        """The last line of metrics.jsonl, and one of log.txt."""
        self._append("metrics.jsonl", json.dumps({"test": result.to_dict()}))
        self.log(f"tested: accuracy {result.accuracy:.4f}")

    def record(self) -> dict:
        """Command, settings with their sources, and machine: what a report shows of them."""
        machine, settings = self.read_json("environment.json"), self.read_json("config.json")
        record = {"command": machine.pop("command", ""), "sources": settings.pop("sources", {})}
        return record | {"settings": settings, "environment": machine}

    def finish(self) -> None:
        """Nothing is left to do."""
        self.checkpoint.unlink(missing_ok=True)
        self.log("finished")


def environment(device: str) -> dict:
    """Versions, machine and revision; what can't be found out is None."""
    processor = platform.processor() or platform.machine()
    return {
        "sotglp-core": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "device": device,
        "processor": torch.cuda.get_device_name(device) if "cuda" in device else processor,
        "threads": torch.get_num_threads(),
        "revision": revision(ROOT) if (ROOT / ".git").exists() else None,
    }


def revision(folder: Path) -> str | None:
    """The git revision that is checked out in a folder; "-dirty" where files were changed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError):  # there is no git
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        return found.stdout.strip() or None
    return None
