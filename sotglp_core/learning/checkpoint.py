"""Save and load what was learned: the prompts (and projection), with the classes, settings and backbone they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ..clip.backbone import Backbone, load_backbone
from ..config import Config
from ..judging.threshold import OODThreshold
from ..method.model import SOTGLP
from ..method.text_free import TextFreeSOTGLP, drop_text_tower
from ..storage import load_tensors, save_tensors

FORMAT = 1


def save(model: SOTGLP, path: str | Path, threshold: OODThreshold | None = None) -> None:
    """Write the learned tensors (of a baked model: the text features) and their record as one safetensors file, atomically.

    :param threshold: of this model as it is now; a loaded model's own is not passed on by itself.
    :raises ValueError: if the folder can't be written to.
    """
    backbone = model.backbone
    record = {
        "format": FORMAT,
        "class_names": model.class_names,
        "config": model.config.to_dict(),
        "text_free": isinstance(model, TextFreeSOTGLP),
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
    """The model that :func:`save` wrote, in evaluation mode; its ``threshold`` is the one in the file, or None.

    Of a baked model's backbone, only the image tower stays in memory (unless it is given).

    :param backbone: the frozen CLIP to use; None: load the one that the file names.
    :raises ValueError: if the file is missing or damaged, or was trained on another backbone.
    """
    tensors, record = load_tensors(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{path} is not a file of learned prompts that this version reads")
    try:
        return _restored(path, tensors, record, backbone)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[-1].strip()[:200]
        raise ValueError(
            f"{path} does not fit its own record: {type(error).__name__} {reason}"
        ) from None


def _restored(
    path: str | Path, tensors: dict[str, Tensor], record: dict, given: Backbone | None
) -> SOTGLP:
    trained_on, names = record["backbone"], record["class_names"]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < max(2, len(names)):
        raise ValueError(
            f"{path} has no class names that are at least two different texts; give a file that was saved whole"
        )
    if not all(bool(x.isfinite().all()) for x in tensors.values()):
        raise ValueError(
            f"{path} holds numbers that are not finite; give a file that was saved whole"
        )
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in record["config"].items()}
    config, threshold = (
        Config().replace(**settings),
        record.get("threshold") and OODThreshold.from_dict(record["threshold"]),
    )
    backbone = given or load_backbone(
        trained_on["name"], trained_on["pretrained"], precision=trained_on["precision"]
    )
    if backbone.fingerprint != trained_on["fingerprint"]:
        raise ValueError(
            f"{path} was trained on {trained_on['name']} ({trained_on['pretrained']}, {trained_on['fingerprint']}), "
            f"not on {backbone.name} ({backbone.pretrained}, {backbone.fingerprint}); load that backbone, or train again"
        )
    model: Any
    if record.get("text_free"):
        global_text, local_text, projection = (
            tensors.get(name) for name in ("global_text", "local_text", "projection")
        )
        model = TextFreeSOTGLP(
            backbone,
            names,
            config,
            global_text=global_text,
            local_text=local_text,
            projection=projection,
        )
        if given is None:
            drop_text_tower(backbone)
    else:
        for branch, number in (
            ("global_prompts", config.global_prompts),
            ("local_prompts", config.local_prompts),
        ):
            if (
                number and tensors[f"{branch}.context"].shape[1] != number
            ):  # said before so many are made
                raise ValueError(
                    f"{path} should hold {number} {branch}, but has others; give a file that was saved whole"
                )
        model = SOTGLP(backbone, names, config)
        model.load_state_dict(tensors)
    model.threshold = threshold
    return model.eval()
