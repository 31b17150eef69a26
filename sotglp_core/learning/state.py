"""Training that survives: all that its next step depends on, in one file, and signals that wait for a step's end."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data import Images
from ..data.features import Features
from ..distributed import Processes
from ..method.model import SOTGLP
from ..storage import load_tensors, save_tensors

FORMAT = 1
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Epoch(NamedTuple):
    """One line of a training history."""

    epoch: int
    loss: float
    accuracy: float  # on the training images, with the epoch's prompt dropout
    lr: float


class Stopped(KeyboardInterrupt):
    """A signal ended training after a step, and all of it is saved."""

    def __init__(self, message: str, number: int = signal.SIGINT):
        super().__init__(message)
        self.number = number


class TrainingState:
    """Where training stands, and what it needs to go on from there to the same bits.

    Entered as a context, it seeds torch's generator or takes over what the file holds; where there is none, it writes one, so that a
    place without room or permission is known before the work. Inside, signals wait (in the main thread, for training that is saved): the
    first one for :meth:`check`; a second one acts as it would have without.

    :param path: the file; None: nothing is saved and signals act as ever.
    :param parts: the optimizer, the schedule and the gradient scaler.
    :param belongs: what the state is of no use without, ready for JSON.
    :raises ValueError: when entered, if the file is damaged, can't be written, or belongs to another training.
    """

    def __init__(
        self,
        path: str | Path | None,
        model: SOTGLP,
        parts: dict,
        belongs: dict,
        processes: Processes,
    ):
        self.path = Path(path) if path else None
        self.model, self.parts, self.processes = model, parts, processes
        self.belongs = json.loads(json.dumps(belongs))
        self.history: list[Epoch] = []
        self.order = torch.empty(
            0, dtype=torch.int64
        )  # of the images in this epoch; empty: not drawn yet
        self.step, self.loss, self.right = (
            0,
            0.0,
            0,
        )  # steps of this epoch that are done; sums over their images
        self.signal = 0
        self._handlers: dict = {}

    def save(self) -> None:
        """Write the file, atomically; of several processes, the first one does.

        :raises WriteError: if there is no permission or no room; an older file stays as it was.
        """
        if self.path is None or self.processes.rank:
            return
        optimizer = self.parts["optimizer"].state_dict()
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {
            f"optimizer.{i}.{name}": value
            for i, values in optimizer["state"].items()
            for name, value in values.items()
            if value is not None
        }
        record = {
            "format": FORMAT,
            "belongs": self.belongs,
            "history": self.history,
            "step": self.step,
            "loss": self.loss,
            "right": self.right,
            "groups": optimizer["param_groups"],
            "schedule": self.parts["schedule"].state_dict(),
            "scaler": self.parts["scaler"].state_dict(),
        }
        tensors |= {"order": self.order, "random": torch.get_rng_state()}
        save_tensors(self.path, tensors, {**record, "crc": _crc(tensors, record)})

    def check(self) -> None:
        """Between steps: if a signal has come, to any of the processes, save and leave.

        :raises Stopped: then.
        """
        if self.path is None or not (
            self.signal if self.processes.number == 1 else self._summed(bool(self.signal))
        ):
            return
        self.save()
        self._summed(True)  # none leaves before it is saved
        raise Stopped(
            f"training stopped after {len(self.history)} epochs and {self.step} steps; {self.path} holds its state",
            self.signal or signal.SIGTERM,
        )

    def __enter__(self) -> TrainingState:
        torch.manual_seed(self.model.config.seed)
        if self.path is None:
            return self
        found = self.path.exists()
        if found:
            self._restore(self.path)
        if self._summed(found) not in (0, self.processes.number):
            raise ValueError(
                f"{self.path} is not there for every process; give a file in a folder that all of them share"
            )
        if not found:
            self.save()
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._handlers = {number: signal.signal(number, self._hear) for number in heard}
        return self

    def __exit__(self, *_: Any) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _restore(self, path: Path) -> None:
        tensors, record = read(path)
        if record["belongs"] != self.belongs:
            raise ValueError(
                f"{path} holds the state of another training: {_difference(record['belongs'], self.belongs)}; "
                "give another file, or remove it to start anew"
            )
        moments: dict[int, dict] = {}
        for key in (key for key in tensors if key.startswith("optimizer.")):
            _, parameter, name = key.split(".")
            moments.setdefault(int(parameter), {})[name] = tensors[key]
        self.model.load_state_dict(
            {
                key.removeprefix("model."): x
                for key, x in tensors.items()
                if key.startswith("model.")
            }
        )
        self.parts["optimizer"].load_state_dict(
            {"state": moments, "param_groups": record["groups"]}
        )
        self.parts["schedule"].load_state_dict(record["schedule"])
        self.parts["scaler"].load_state_dict(record["scaler"])
        self.history, self.step, self.loss, self.right = (
            record[key] for key in ("history", "step", "loss", "right")
        )
        self.order = tensors["order"]
        torch.set_rng_state(tensors["random"])

    def _hear(self, number: int, frame: Any) -> None:
        self.signal = number
        self.__exit__()

    def _summed(self, value: bool) -> int:
        return int(
            self.processes.all_reduce(torch.tensor(int(value), device=self.model.backbone.device))
        )


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors and record of a training state; its "history" is a list of :class:`Epoch`, its "step" counts those after it.

    :raises ValueError: if the file is missing, damaged, or something else.
    """
    tensors, record = load_tensors(path)
    try:
        whole = record.pop("crc") == _crc(tensors, record)
        record["history"] = [Epoch(*epoch) for epoch in record["history"]]
        whole &= (
            record["format"] == FORMAT
            and record["step"] >= 0
            and record["belongs"]["settings"]["epochs"]
            and "random" in tensors
        )
    except (AttributeError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(
            f"{path} is no training state that this version reads; remove it to start anew"
        )
    return tensors, record


def _crc(tensors: dict[str, Tensor], record: dict) -> int:
    """Of all that a state holds, so that training never goes on from a damaged one."""
    crc = zlib.crc32(json.dumps(record).encode())
    for name in sorted(tensors):
        crc = zlib.crc32(
            f"{name}{tuple(tensors[name].shape)}".encode() + tensors[name].cpu().numpy().tobytes(),
            crc,
        )
    return crc


def identity(model: SOTGLP, train: Images | Features) -> dict:
    """What a training is: settings, classes, backbone and a digest of the images and their labels."""
    content = (
        train.image.cpu().numpy().tobytes()
        if isinstance(train, Features)
        else train.fingerprint().encode()
    )
    digest = hashlib.sha256(content)
    digest.update(torch.as_tensor(train.labels).cpu().numpy().tobytes())
    return {
        "settings": model.config.to_dict(),
        "class names": model.class_names,
        "training images": digest.hexdigest(),
        "backbone": [model.backbone.fingerprint, model.backbone.precision],
    }


def _difference(theirs: dict, ours: dict) -> str:
    then, now = theirs["settings"], ours["settings"]
    changed = [
        f"{key} was {then.get(key)!r} and is {now.get(key)!r}"
        for key in {**then, **now}
        if then.get(key) != now.get(key)
    ]
    return ", ".join(
        changed
        + [f"other {key}" for key in ours if key != "settings" and theirs.get(key) != ours[key]]
    )
