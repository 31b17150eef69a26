"""What a bird stands on and what stands in front of it."""

from __future__ import annotations

import numpy as np

from .canvas import SIDE, Canvas, shade, smooth

LEAVES = {
    "forest": ((52, 98, 44), (84, 124, 52)),
    "snow": ((120, 128, 132), (92, 104, 112)),
    "desert": ((146, 134, 74), (170, 146, 88)),
    "reeds": ((140, 142, 70), (176, 158, 92)),
    "meadow": ((86, 136, 50), (120, 152, 62)),
    "lake": ((70, 120, 74), (104, 140, 78)),
    "sky": ((92, 128, 66), (126, 144, 76)),
}
GROUND = {
    "meadow": (92, 112, 56),
    "forest": (84, 72, 52),
    "snow": (214, 224, 234),
    "desert": (206, 168, 116),
}


def perch(family: str, habitat: str) -> str:
    """What a bird of this family rests on there: "branch", "water", "ground" or "rock"."""
    if family == "parrot" or (family == "finch" and habitat not in ("snow", "desert")):
        return "branch"
    return {"lake": "water", "reeds": "water", "sky": "rock"}.get(habitat, "ground")


def leaf(
    sheet: Canvas, root, way: np.ndarray, size: float, colour, label: int | None = None
) -> None:
    """A pointed leaf from its root along a unit direction, in pixels."""
    side = np.array([-way[1], way[0]])
    sheet.shape(
        smooth(
            np.array(
                [
                    root,
                    root + way * size * 0.45 + side * size * 0.24,
                    root + way * size,
                    root + way * size * 0.45 - side * size * 0.24,
                ]
            )
        ),
        colour,
        label,
        edge=-0.3,
    )
    sheet.stroke([root, root + way * size * 0.85], 0.5, shade(colour, -0.25))


def _branch(
    sheet: Canvas, foot: np.ndarray, unit: float, habitat: str, rng: np.random.Generator
) -> None:
    slope, bend = rng.normal(0, 0.07), rng.normal(0, 0.0012)
    x = np.linspace(-6, SIDE + 6, 15) - foot[0]
    thick = max(3.2, 0.15 * unit)
    y = foot[1] + thick * 0.6 + slope * x + bend * x**2 + rng.normal(0, 0.35, 15)
    line = np.stack([x + foot[0], y], 1)
    bark = np.array([(104, 80, 60), (122, 100, 80), (86, 74, 66)][rng.integers(3)])
    for k in rng.integers(1, 14, 3):
        way = np.array([rng.choice([-0.6, 0.6]), rng.choice([-0.8, 0.8])])
        end = line[k] + way * rng.uniform(8, 18)
        sheet.stroke([line[k], end], 1.3, shade(bark, -0.2))
        for step in (0.55, 0.8, 1):
            colour = LEAVES[habitat][rng.integers(2)]
            angle = rng.uniform(0, 2 * np.pi)
            leaf(
                sheet,
                line[k] + (end - line[k]) * step,
                np.array([np.cos(angle), np.sin(angle)]),
                rng.uniform(5, 9),
                colour,
            )
    for shift, width, tone in ((0, 1.12, -0.45), (0, 1, 0), (-0.22, 0.4, 0.22)):
        sheet.stroke(line + (0, shift * thick), thick * width, shade(bark, tone))
    if habitat == "snow":
        sheet.stroke(line - (0, thick * 0.45), thick * 0.4, (238, 243, 248))


def support(
    sheet: Canvas, rest: str, habitat: str, foot: np.ndarray, unit: float, rng: np.random.Generator
) -> None:
    """Draw the perch under a foot (pixels); unlabelled, so it is background."""
    x, y = foot
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn)], 1)
    if rest == "branch":
        _branch(sheet, foot, unit, habitat, rng)
    elif rest == "water":
        for k in range(4):
            size = unit * (0.35 + 0.28 * k)
            pale = (226, 238, 244, 120 - 24 * k)
            sheet.stroke(np.concatenate([ring, ring[:1]]) * (size, size * 0.22) + (x, y), 0.7, pale)
    elif rest == "rock":
        stone = np.array((122, 116, 110))
        jag = 1 + 0.05 * rng.standard_normal((24, 1))
        lean = rng.normal(0, 6)
        for wide, tall, tone in ((66, 40, -0.25), (60, 37, -0.08), (50, 30, 0.08), (36, 20, 0.2)):
            sheet.shape(
                ring * jag * (wide, tall) + (x + lean, y + 0.94 * tall), shade(stone, tone), edge=0
            )
        for dx, dy, r in rng.uniform((-40, 4, 1), (40, 22, 4), (9, 3)):
            sheet.shape(
                ring * (r * 1.5, r * 0.7) + (x + dx, y + dy + dx * dx * 0.006),
                (126, 138, 84, 120),
                edge=0,
            )
    else:
        base = GROUND.get(habitat, (110, 110, 80))
        for size in (1.0, 0.86, 0.72, 0.58, 0.44):
            sheet.shape(
                ring * (unit * size, unit * size * 0.17) + (x, y), (*shade(base, -0.6), 36), edge=0
            )


def occlude(
    sheet: Canvas,
    rest: str,
    habitat: str,
    foot: np.ndarray,
    spot: np.ndarray,
    span: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Sometimes put grass, reeds or a leafy twig in front; what they cover becomes background."""
    tones = LEAVES[habitat]
    chance = rng.random()
    if rest in ("ground", "water") and habitat not in ("snow", "desert") and chance < 0.5:
        for x in foot[0] + rng.normal(0, 0.32 * span[0], 3 + int(chance * 8)):
            tall, sway = (
                rng.uniform(0.12, 0.5 if chance < 0.2 else 0.22) * span[1],
                rng.normal(0, 4),
            )
            y = foot[1] + rng.uniform(1, 6)
            sheet.shape(
                smooth(
                    np.array(
                        [
                            (x - 0.9, y),
                            (x + sway * 0.3, y - tall * 0.6),
                            (x + sway, y - tall),
                            (x + sway * 0.3 + 1.2, y - tall * 0.5),
                            (x + 0.9, y),
                        ]
                    )
                ),
                shade(tones[rng.integers(2)], rng.uniform(-0.2, 0.15)),
                0,
                edge=-0.2,
                width=1,
            )
    elif rest in ("branch", "rock") and chance < 0.25:
        side = rng.choice([-1, 1])
        start = np.array(
            [spot[0] + side * span[0] * 0.75, spot[1] + rng.uniform(-0.1, 0.6) * span[1]]
        )
        end = np.array(
            [
                spot[0] + side * span[0] * rng.uniform(0.05, 0.25),
                start[1] + rng.uniform(-0.25, 0.1) * span[1],
            ]
        )
        sheet.stroke([start, (start + end) / 2 - (0, 2), end], 1.5, (92, 76, 56), 0)
        for share in np.linspace(0.1, 1, 6):
            angle = np.arctan2(*(end - start)[::-1]) + rng.normal(0, 0.8)
            leaf(
                sheet,
                start + (end - start) * share,
                np.array([np.cos(angle), np.sin(angle)]),
                rng.uniform(6, 10),
                shade(tones[rng.integers(2)], rng.uniform(-0.15, 0.2)),
                0,
            )
