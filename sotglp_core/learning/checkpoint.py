"""What training leaves on disk: the learned prompts, and the checkpoint from which it goes on."""

import hashlib
import json
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..clip.backbone import RECORD, Backbone, load_backbone
from ..config import Config
from ..data import Images
from ..data.features import Features
from ..distributed import Processes
from ..judging.threshold import OODThreshold
from ..method.model import SOTGLP
from ..storage import load_tensors, save_tensors

FORMAT = 1


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
    record = {
        "format": FORMAT,
        "class_names": model.class_names,
        "config": model.config.to_dict(),
        "text_free": model.text_free,
        "backbone": model.backbone.record,
        "threshold": threshold and vars(threshold),
    }
    save_tensors(path, model.state_dict(), record)


def load(
    path: str | Path,
    backbone: Backbone | str | None = None,
    *,
    pretrained: str | None = None,
    device: str | torch.device = "auto",
    precision: str | None = None,
) -> SOTGLP:
    """The model that :func:`save` wrote, in evaluation mode, with the file's ``threshold`` or None.

    Of a text-free model's backbone only the image tower stays in memory, unless it is given.

    :param backbone: the frozen CLIP to use, or the name of one to load; None: load the one that the
        file names, to ``device`` and in ``precision``, or in that of training.
    :param pretrained: the weights to load, if they are not where the file says.
    :raises ValueError: if the file is missing or damaged, or was trained on another backbone.
    """
    tensors, record = load_tensors(path)
    with _reading(path):
        if record["format"] != FORMAT or not all(x.isfinite().all() for x in tensors.values()):
            raise KeyError(FORMAT)
        name, weights, trained_in, digest = (str(record["backbone"][key]) for key in RECORD)
        config, text_free = Config().replace(**record["config"]), record.get("text_free", False)
    if isinstance(backbone, Backbone):
        clip = backbone
    else:
        options: dict[str, Any] = {"device": device, "precision": precision or trained_in}
        clip = load_backbone(backbone or name, pretrained or weights, **options)
    if clip.fingerprint != digest:
        raise ValueError(
            f"{path} was trained on {name}, {weights}, {digest}, not on {clip.name}, "
            f"{clip.pretrained}, {clip.fingerprint}; load that backbone, or train again"
        )
    with _reading(path):
        model = SOTGLP(clip, record["class_names"], config, text_free=text_free)
        model.load_state_dict(tensors)
        found = record.get("threshold")
        model.threshold = OODThreshold(**found) if found else None
    if text_free and clip is not backbone:
        clip.drop_text_tower()
    return model.eval()


@dataclass
class Checkpoint:
    """All that training depends on between two epochs, in one file.

    Of several processes, the first one reads and writes it.
    """

    path: str | Path | None  # None: nothing is saved, and training starts from the beginning
    model: SOTGLP
    train: Images | Features
    optimizer: torch.optim.SGD
    scaler: torch.amp.GradScaler
    processes: Processes

    @cached_property
    def training(self) -> dict:
        """What the file belongs to, as JSON gives it back: settings, classes, images, backbone."""
        train, backbone = self.train, self.model.backbone
        images = (
            train.image.cpu().numpy().tobytes()
            if isinstance(train, Features)
            else train.fingerprint().encode()
        )
        labels = torch.as_tensor(train.labels).cpu().numpy().tobytes()
        belongs_to = {
            **self.model.config.to_dict(),
            "classes": self.model.class_names,
            "training images": hashlib.sha256(images + labels).hexdigest(),
            "backbone": [backbone.fingerprint, backbone.precision],
        }
        return json.loads(json.dumps(belongs_to))

    def save(self, history: list[Epoch]) -> None:
        """Write the file, atomically.

        :raises WriteError: if it can't be written; an older file stays as it was.
        """
        if self.path is None or self.processes.rank:
            return
        tensors = {
            **self.model.state_dict(),
            "history": torch.tensor(history, dtype=torch.float64),
            "random": torch.get_rng_state(),
        }
        for name, parameter in self.model.named_parameters():
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"{name}.momentum"] = momentum
        record = {"training": self.training, "scaler": self.scaler.state_dict()}
        save_tensors(self.path, tensors, record)

    def restore(self) -> list[Epoch]:
        """The epochs that are done; the model and all else continue after them.

        Where there is no file, one is written, so that a folder without room or permission is
        known before the work.

        :raises ValueError: if the file is damaged, can't be written, or is another training's.
        """
        if self.path is None:
            return []
        found = self.processes.rank == 0 and Path(self.path).exists()
        content = self.processes.broadcast(load_tensors(self.path) if found else None)
        if content is None:
            self.save([])
            return []
        tensors, record = content
        with _reading(self.path):
            changed = changes(record["training"], self.training)
            if changed:
                raise ValueError(
                    f"{self.path} belongs to another training: {changed}; give another file, or "
                    "remove it to start again"
                )
            self.model.load_state_dict({name: tensors[name] for name in self.model.state_dict()})
            for name, parameter in self.model.named_parameters():
                if f"{name}.momentum" in tensors:
                    momentum = tensors[f"{name}.momentum"].to(parameter.device)
                    self.optimizer.state[parameter]["momentum_buffer"] = momentum
            torch.set_rng_state(tensors["random"])
            self.scaler.load_state_dict(record["scaler"])
            return _history(tensors)


def changes(began: dict, now: dict) -> str:
    """What is not as it was, in words; names that ``began`` does not have are left out."""
    return ", ".join(
        f"{name} was {reprlib.repr(began[name])} and is {reprlib.repr(value)}"
        for name, value in now.items()
        if began.get(name, value) != value
    )


def read_history(path: str | Path) -> tuple[list[Epoch], int]:
    """The epochs that a checkpoint has behind it, and how many its training has in all.

    :raises ValueError: if the file is missing, damaged, or something else.
    """
    tensors, record = load_tensors(path)
    with _reading(path):
        return _history(tensors), record["training"]["epochs"]


def _history(tensors: dict[str, Tensor]) -> list[Epoch]:
    return [Epoch(int(epoch), *others) for epoch, *others in tensors["history"].tolist()]


@contextmanager
def _reading(path: str | Path | None) -> Iterator[None]:
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged, or of another version of this package; give another file"
        ) from error
