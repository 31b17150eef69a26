"""``sotglp embed``."""

from pathlib import Path

from .common import count, frozen_clip, say, warn
from .predict import listed_images


def embed(
    photos: list[Path],
    out: Path = Path("features.safetensors"),
    skip_corrupt: bool = False,
    backbone: str = "pocket",
    pretrained: str | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> None:
    """Save CLIP's image features of photos, with the files' names.

    Examples:

    - `sotglp embed holiday/ --out features.npz`
    """
    import numpy as np

    from ..storage import atomic_path, save_tensors
    from ..workbench.predict import embed

    if out.suffix not in (".safetensors", ".npz"):
        raise ValueError(f"{out} ends in neither .safetensors nor .npz; name one of the two")
    frozen = frozen_clip(backbone, pretrained, device, precision)
    skip = (lambda message: warn(f"skipped: {message}")) if skip_corrupt else None
    paths, features = embed(frozen, listed_images(photos), on_unreadable=skip)
    files = [str(path) for path in paths]
    if out.suffix == ".npz":
        with atomic_path(out) as temporary, open(temporary, "wb") as file:
            np.savez(file, features=features.numpy(), files=np.array(files, dtype=str))
    else:
        made_by = {"name": frozen.name, "pretrained": frozen.pretrained}
        save_tensors(out, {"features": features}, {"files": files, "backbone": made_by})
    say(f"wrote {out}, {features.shape[1]} numbers for {count(len(files), 'photo')}")
