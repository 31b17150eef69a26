"""``sotglp bench``: how fast this machine is, and how long a task would take on it."""

import json

from .common import frozen_clip, show_table


def bench(
    backbone: str = "pocket",
    pretrained: str | None = None,
    classes: int = 24,
    shots: int = 16,
    device: str = "auto",
    precision: str | None = None,
    as_json: bool = False,
) -> None:
    """Measure encoding, training steps and transport here, a few of each.

    Examples:

    - `sotglp bench`
    - `sotglp bench --backbone ViT-B-16 --pretrained random --classes 100`
    """
    from ..workbench.plan import speeds
    from ..workbench.runs import environment

    frozen = frozen_clip(backbone, pretrained, device, precision)
    clip, machine = f"{frozen.name} {frozen.pretrained}", environment(str(frozen.device))
    rows = speeds(frozen, classes, shots, progress=not as_json)
    if as_json:
        named = {what: {"value": value, "unit": unit} for what, (value, unit) in rows.items()}
        task = {"backbone": clip, "precision": frozen.precision, "classes": classes, "shots": shots}
        print(json.dumps({**machine, **task, "rows": named}))
    title = (
        f"{clip} in {frozen.precision}, {classes} classes, {shots} shots; {machine['processor']}, "
        f"torch {machine['torch']}, threads: {machine['threads']}"
    )
    lines = [
        [what, f"{value:,.0f}" if value >= 100 else f"{value:.3g}", unit]
        for what, (value, unit) in rows.items()
    ]
    show_table(["what", "measured", "unit"], lines, right=["measured"], title=title)
