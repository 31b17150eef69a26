"""``sotglp bench``: how fast this machine is, and how long a task would take on it."""

import json

from .common import show_table, usable


def bench(
    backbone: str = "pocket",
    pretrained: str | None = None,
    classes: int = 24,
    shots: int = 16,
    device: str = "auto",
    precision: str | None = None,
    as_json: bool = False,
) -> None:
    """Measure encoding, training steps and transport here: medians of a few runs.

    Examples:

    - `sotglp bench`
    - `sotglp bench --backbone ViT-B-16 --pretrained random --classes 100`
    """
    from ..clip.backbone import load_backbone
    from ..workbench.timing import machine, speeds

    precision = precision or "auto"
    frozen = load_backbone(backbone, pretrained, device=usable(device), precision=precision)
    where = machine(frozen) | {"classes": classes, "shots": shots}
    rows = speeds(frozen, classes, shots, progress=not as_json)
    if as_json:
        named = {what: {"value": value, "unit": unit} for what, (value, unit) in rows.items()}
        print(json.dumps({**where, "rows": named}))
        return
    title = ", ".join(f"{name} {value}" for name, value in where.items())
    lines = [
        [what, f"{value:,.0f}" if value >= 100 else f"{value:.3g}", unit]
        for what, (value, unit) in rows.items()
    ]
    show_table(["what", "measured", "unit"], lines, right=["measured"], title=title)
