"""What training leaves on disk: the learned prompts, and the checkpoint from which it goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler

from ..clip.backbone import Backbone, load_backbone
from ..config import Config
from ..data import Images
from ..data.features import Features
from ..distributed import Processes
from ..judging.threshold import OODThreshold
from ..method.model import SOTGLP
from ..storage import load_tensors, save_tensors

FORMAT = 1
MISFITS = (AttributeError, IndexError, KeyError, RuntimeError, TypeError)


class Epoch(NamedTuple):
    """One line of a training history."""

    epoch: int
    loss: float
    accuracy: float  # on the training images, with the epoch's prompt dropout
    lr: float


def save(model: SOTGLP, path: str | Path, threshold: OODThreshold | None = None) -> None:
    """Write what was learned, with its classes, settings and backbone, as one safetensors file.

    The file is written atomically. Of a text-free model, the text features are written.

    :param threshold: of this model as it is now; a loaded model's own is not passed on by itself.
    :raises ValueError: if the folder can't be written to.
    """
    backbone = model.backbone
    record = {
        "format": FORMAT,
        "class_names": model.class_names,
        "config": model.config.to_dict(),
        "text_free": model.text_free,
        "backbone": {
            "name": backbone.name,
            "pretrained": backbone.pretrained,
            "precision": backbone.precision,
            "fingerprint": backbone.fingerprint,
        },
        "threshold": threshold and threshold.to_dict(),
    }
    save_tensors(path, model.state_dict(), record)


def load(path: str | Path, backbone: Backbone | None = None) -> SOTGLP:
    """The model that :func:`save` wrote, in evaluation mode, with the file's ``threshold`` or None.

    Of a text-free model's backbone only the image tower stays in memory, unless it is given.

    :param backbone: the frozen CLIP to use; None: load the one that the file names.
    :raises ValueError: if the file is missing or damaged, or was trained on another backbone.
    """
    tensors, record = load_tensors(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{path} is not a file of learned prompts that this version reads")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ValueError(f"{path} holds numbers that are not finite; give a file that is whole")
    try:
        model = _restored(path, tensors, record, backbone)
        model.threshold = record.get("threshold") and OODThreshold.from_dict(record["threshold"])
    except MISFITS as error:
        raise ValueError(f"{path} does not fit its own record: {_reason(error)}") from None
    return model.eval()


def _restored(
    path: str | Path, tensors: dict[str, Any], record: dict, given: Backbone | None
) -> Any:
    trained_on = record["backbone"]
    backbone = given or load_backbone(
        trained_on["name"], trained_on["pretrained"], precision=trained_on["precision"]
    )
    if backbone.fingerprint != trained_on["fingerprint"]:
        theirs = ", ".join(trained_on[key] for key in ("name", "pretrained", "fingerprint"))
        raise ValueError(
            f"{path} was trained on {theirs}, not on {backbone.name}, {backbone.pretrained}, "
            f"{backbone.fingerprint}; load that backbone, or train again"
        )
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in record["config"].items()}
    config, class_names = Config().replace(**settings), record["class_names"]
    text_free = record.get("text_free", False)
    for branch in ("global_prompts", "local_prompts"):  # checked before they are made
        name = f"{branch}.features" if text_free else f"{branch}.context"
        number = tensors.get(name, torch.empty(0, 0)).shape[1]
        if number != getattr(config, branch):
            raise KeyError(f"{number} {branch}, not {getattr(config, branch)}")
    model = SOTGLP(backbone, class_names, config, text_free=text_free)
    model.load_state_dict(tensors)
    if text_free and given is None:
        backbone.drop_text_tower()
    return model


class Checkpoint:
    """All that training depends on between two epochs, in one file.

    Of several processes, the first one reads and writes it.

    :param path: None: nothing is saved, and training starts from the beginning.
    :param train: the training images, a digest of which is part of what the file belongs to.
    """

    def __init__(
        self,
        path: str | Path | None,
        model: SOTGLP,
        train: Images | Features,
        *,
        optimizer: SGD,
        schedule: LRScheduler,
        scaler: GradScaler,
        processes: Processes,
    ):
        self.path = Path(path) if path else None
        self.training = _identity(model, train) if path else {}
        self.model, self.optimizer, self.processes = model, optimizer, processes
        self.parts: dict[str, Any] = {"schedule": schedule, "scaler": scaler}

    def save(self, history: list[Epoch]) -> None:
        """Write the file, atomically.

        :raises WriteError: if it can't be written; an older file stays as it was.
        """
        if self.path is None or self.processes.rank:
            return
        optimizer = self.optimizer.state_dict()
        tensors = {"random": torch.get_rng_state()}
        tensors |= {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for number, state in optimizer["state"].items():
            if state["momentum_buffer"] is not None:
                tensors[f"momentum.{number}"] = state["momentum_buffer"]
        record = {
            "format": FORMAT,
            "training": self.training,
            "history": history,
            "groups": optimizer["param_groups"],
            **{name: part.state_dict() for name, part in self.parts.items()},
        }
        save_tensors(self.path, tensors, record)

    def restore(self) -> list[Epoch]:
        """The epochs that are done; model, optimizer and torch's generator continue after them.

        Where there is no file, one is written, so that a folder without room or permission is
        known before the work.

        :raises ValueError: if the file is damaged, can't be written, or is another training's.
        """
        if self.path is None:
            return []
        found = self.processes.rank == 0 and self.path.exists()
        content = self.processes.broadcast(_read(self.path) if found else None)
        if content is None:
            self.save([])
            return []
        tensors, record, history = content
        if record["training"] != self.training:
            raise ValueError(
                f"{self.path} belongs to another training: "
                f"{_differences(record['training'], self.training)}; "
                "give another file, or remove it to start again"
            )
        try:
            self._restore(tensors, record)
        except (*MISFITS, ValueError) as error:
            raise ValueError(f"{_damaged(self.path)}: {_reason(error)}") from None
        return history

    def _restore(self, tensors: dict[str, Tensor], record: dict) -> None:
        by_kind: dict[str, dict] = {"model": {}, "momentum": {}}
        for key, tensor in tensors.items():
            kind, _, name = key.partition(".")
            by_kind.setdefault(kind, {})[name] = tensor
        momentum = {int(i): {"momentum_buffer": x} for i, x in by_kind["momentum"].items()}
        self.model.load_state_dict(by_kind["model"])
        self.optimizer.load_state_dict({"state": momentum, "param_groups": record["groups"]})
        for name, part in self.parts.items():
            part.load_state_dict(record[name])
        torch.set_rng_state(tensors["random"])


def read_history(path: str | Path) -> tuple[list[Epoch], int]:
    """The epochs that a checkpoint has behind it, and how many its training has in all.

    :raises ValueError: if the file is missing, damaged, or something else.
    """
    _, record, history = _read(Path(path))
    return history, record["training"]["settings"]["epochs"]


def _read(path: Path) -> tuple[dict[str, Tensor], dict, list[Epoch]]:
    tensors, record = load_tensors(path)
    try:
        if record["format"] != FORMAT:
            raise KeyError("format")
        int(record["training"]["settings"]["epochs"])
        return tensors, record, [Epoch(*epoch) for epoch in record["history"]]
    except (*MISFITS, ValueError):
        raise ValueError(_damaged(path)) from None


def _damaged(path: Path) -> str:
    return f"{path} is not a checkpoint that this version reads; remove it to start again"


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__} {lines[-1].strip()[:200]}"


def _identity(model: SOTGLP, train: Images | Features) -> dict:
    """What a training is, as JSON gives it back: settings, classes, images, backbone."""
    if isinstance(train, Features):
        digest = hashlib.sha256(train.image.cpu().numpy().tobytes())
    else:
        digest = hashlib.sha256(train.fingerprint().encode())
    digest.update(torch.as_tensor(train.labels).cpu().numpy().tobytes())
    identity = {
        "settings": model.config.to_dict(),
        "class names": model.class_names,
        "training images": digest.hexdigest(),
        "backbone": [model.backbone.fingerprint, model.backbone.precision],
    }
    return json.loads(json.dumps(identity))


def _differences(theirs: dict, ours: dict) -> str:
    then, now = theirs["settings"], ours["settings"]
    settings = [
        f"{name} was {then.get(name)!r} and is {now.get(name)!r}"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    ]
    others = [f"other {key}" for key in ours if key != "settings" and theirs[key] != ours[key]]
    return ", ".join(settings + others)
