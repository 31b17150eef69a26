"""Save and load what was learned: the prompts (and projection), with the classes, settings and backbone they belong to."""

from __future__ import annotations

from pathlib import Path

from .backbone import Backbone, load_backbone
from .config import Config
from .model import SOTGLP
from .storage import load_tensors, save_tensors

FORMAT = 1


def save(model: SOTGLP, path: str | Path) -> None:
    """Write the learned tensors and their record as one safetensors file, atomically.

    :raises ValueError: if the folder can't be written to.
    """
    backbone = model.backbone
    record = {"format": FORMAT, "class_names": model.class_names, "config": model.config.to_dict(),
              "backbone": {"name": backbone.name, "pretrained": backbone.pretrained, "precision": backbone.precision,
                           "fingerprint": backbone.fingerprint}}
    save_tensors(path, model.state_dict(), record)


def load(path: str | Path, backbone: Backbone | None = None) -> SOTGLP:
    """The model that :func:`save` wrote, in evaluation mode.

    :param backbone: the frozen CLIP to use; None: load the one that the file names.
    :raises ValueError: if the file is missing or damaged, or was trained on another backbone.
    """
    tensors, record = load_tensors(path)
    if record.get("format") != FORMAT:
        raise ValueError(f"{path} is not a file of learned prompts that this version reads")
    trained_on = record["backbone"]
    backbone = backbone or load_backbone(trained_on["name"], trained_on["pretrained"], precision=trained_on["precision"])
    if backbone.fingerprint != trained_on["fingerprint"]:
        raise ValueError(f"{path} was trained on {trained_on['name']} ({trained_on['pretrained']}, {trained_on['fingerprint']}), "
                         f"not on {backbone.name} ({backbone.pretrained}, {backbone.fingerprint}); load that backbone, or train again")
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in record["config"].items()}
    model = SOTGLP(backbone, record["class_names"], Config().replace(**settings))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its own record: {str(error).splitlines()[-1].strip()}") from None
    return model.eval()
