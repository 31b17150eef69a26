"""``sotglp inspect``."""

from pathlib import Path

from rich.filesize import decimal

from ..messages import printable
from .common import count, listed_images, load_saved, say


def inspect(
    run: Path,
    photos: list[Path],
    out: Path = Path("inspector.html"),
    top: int = 5,
    backbone: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
) -> None:
    """Write an HTML page that shows which patch of each image went to which prompt.

    It needs no other file and no network.

    Examples:

    - `sotglp inspect runs/photos new.jpg other.jpg --out inspector.html`
    """
    from ..data.images import FolderImages
    from ..inspector import PatchInspector

    if out.suffix != ".html":
        raise ValueError(f"--out {out}: give a name that ends in .html")
    model, files = load_saved(run, device, None, backbone, pretrained), listed_images(photos)
    images = FolderImages(files, [-1] * len(files))
    inspector = PatchInspector.from_model(model, images, top=top, alt=list(map(printable, files)))
    inspector.save(out, title=f"Who looks where: {printable(run)}")
    say(f"wrote {out}, {count(len(files), 'photo')}, {decimal(out.stat().st_size)}")
