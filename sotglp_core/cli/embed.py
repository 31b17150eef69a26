"""``sotglp embed``."""

from pathlib import Path

from .common import count, frozen_clip, listed_images, say, say_skipped


def embed(
    photos: list[Path],
    out: Path = Path("features.npz"),
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

    from ..storage import atomic_path
    from ..workbench.predict import embed

    if out.suffix != ".npz":
        raise ValueError(f"{out} does not end in .npz; give a name that does")
    frozen, files = frozen_clip(backbone, pretrained, device, precision), listed_images(photos)
    paths, features = embed(frozen, files, on_unreadable=say_skipped if skip_corrupt else None)
    with atomic_path(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, features=features.numpy(), files=np.array(paths, dtype=str))
    say(f"wrote {out}, {features.shape[1]} numbers for {count(len(paths), 'photo')}")
