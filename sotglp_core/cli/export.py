"""``sotglp export``."""

import json
from pathlib import Path

from rich.filesize import decimal

from .common import listed_images, load_saved, say

SAMPLE = 8  # images that a graph is checked on


def export(
    run: Path,
    out: Path,
    photos: list[Path] | None = None,
    backbone: str | None = None,
    pretrained: str | None = None,
    as_json: bool = False,
) -> None:
    """Save the text features in a file that needs the image tower alone, for `sotglp predict`.

    Or write one ONNX graph of both.

    Examples:

    - `sotglp export runs/photos photos.safetensors`
    - `sotglp export runs/photos photos.onnx some-photos/`
    """
    from ..data.embedded import species_images
    from ..data.images import read_image
    from ..learning.checkpoint import save
    from ..method.fixed import text_free
    from ..workbench.onnx import to_onnx

    if out.suffix not in (".safetensors", ".onnx"):
        raise ValueError(f"{out} ends in neither .safetensors nor .onnx; name one of the two")
    onnx = out.suffix == ".onnx"
    model = load_saved(run, "cpu", "fp32" if onnx else None, backbone, pretrained)
    if onnx:
        birds = species_images("val", 1)
        files = listed_images(photos)[:SAMPLE] if photos else []
        images = [read_image(file) for file in files] or [birds[i] for i in range(SAMPLE)]
        facts = to_onnx(model, out, images)._asdict()
        line = (
            f"opset {facts['opset']}, {facts['iterations']} iterations of Sinkhorn, marginal "
            f"violation {facts['violation']:.1g}; {facts['difference']:.1g} from torch at most, on "
            f"{len(images)} images"
        )
    else:
        save(text_free(model), out, model.threshold)
        facts = {"bytes": out.stat().st_size}
        line = f"{len(model.class_names)} classes, for the image tower of {model.backbone.name}"
    if as_json:
        print(json.dumps({"path": str(out), **facts}))
    say(f"wrote {out}, {decimal(facts['bytes'])}: {line}")
