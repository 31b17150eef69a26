"""Animals that are no birds, and man-made objects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import SIDE, Canvas, relief, shade, smooth
from .scenery import draw_background, draw_room, noise
from .traits import jitter

Pen = Callable[..., None]
INK = (34, 28, 32)
GLASS = (196, 220, 230)
_TURN = np.linspace(0, 2 * np.pi, 36, endpoint=False)


def oval(x: float, y: float, a: float, b: float, tilt: float = 0.0) -> np.ndarray:
    """(36, 2) points of an ellipse."""
    p = np.stack([a * np.cos(_TURN), b * np.sin(_TURN)], 1)
    c, s = np.cos(tilt), np.sin(tilt)
    return p @ np.array([[c, s], [-s, c]]) + (x, y)


def box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


class _Sketch:
    """Shorthand over a canvas on which every thing fits the square [-1, 1]."""

    def __init__(self, sheet: Canvas, colour, rng: np.random.Generator):
        self.sheet, self.c, self.dark, self.pale, self.rng = (
            sheet,
            colour,
            shade(colour, -0.4),
            shade(colour, 0.4),
            rng,
        )

    def fill(self, points, colour=None, curved: bool = False, edge: float = -0.45) -> None:
        points = np.array(points, float)
        self.sheet.shape(smooth(points) if curved else points, colour or self.c, 1, edge=edge)

    def line(self, points, width: float, colour=None) -> None:
        self.sheet.stroke(smooth(np.array(points, float), closed=False), width, colour or self.c, 1)

    def dot(self, x: float, y: float, r: float, colour=None) -> None:
        self.sheet.dot((x, y), r, colour or self.c, 1)

    def eye(self, x: float, y: float, r: float) -> None:
        self.dot(x, y, r * 1.25, INK)
        self.dot(x, y, r, (250, 248, 240))
        self.dot(x + r * 0.15, y, r * 0.6, INK)


def _fish(s: _Sketch) -> None:
    s.fill([(-0.55, 0), (-1, -0.45), (-0.9, 0), (-1, 0.45)], s.dark)
    s.fill([(-0.3, -0.35), (0.05, -0.72), (0.4, -0.38)], s.dark)
    s.fill([(-0.05, 0.38), (0.05, 0.66), (0.3, 0.36)], s.dark)
    s.fill(
        [(-0.7, 0), (-0.2, -0.4), (0.4, -0.42), (0.95, 0), (0.4, 0.42), (-0.2, 0.4)], curved=True
    )
    s.fill([(-0.5, 0.08), (0, 0.3), (0.6, 0.28), (0.85, 0.06), (0.3, 0.14)], s.pale, True, 0)
    for x in (-0.3, -0.05, 0.2):
        s.line([(x, -0.22), (x + 0.1, 0), (x, 0.22)], 0.04, s.dark)
    s.eye(0.62, -0.1, 0.1)


def _butterfly(s: _Sketch) -> None:
    for side in (-1, 1):
        s.fill(
            [
                (0.04 * side, -0.1),
                (0.45 * side, -0.85),
                (0.95 * side, -0.75),
                (0.85 * side, -0.1),
                (0.2 * side, 0.1),
            ],
            curved=True,
        )
        s.fill(
            [
                (0.04 * side, 0.05),
                (0.6 * side, 0.08),
                (0.72 * side, 0.5),
                (0.4 * side, 0.85),
                (0.12 * side, 0.5),
            ],
            s.pale,
            True,
        )
        for x, y, r in ((0.6, -0.5, 0.16), (0.42, 0.42, 0.12)):
            s.dot(x * side, y, r, s.dark)
            s.dot(x * side, y, r * 0.5, (250, 240, 220))
        s.line([(0, -0.45), (0.12 * side, -0.75), (0.25 * side, -0.9)], 0.035, INK)
    s.fill(oval(0, 0, 0.08, 0.5), INK)


def _beetle(s: _Sketch) -> None:
    for y in (-0.3, 0.1, 0.5):
        for side in (-1, 1):
            s.line([(0.3 * side, y), (0.75 * side, y - 0.12), (0.95 * side, y + 0.16)], 0.07, INK)
    for side in (-1, 1):
        s.line([(0.1 * side, -0.75), (0.3 * side, -0.98)], 0.04, INK)
    s.fill(oval(0, -0.62, 0.32, 0.26), INK)
    s.fill(oval(0, 0.18, 0.6, 0.74))
    s.line([(0, -0.5), (0, 0.9)], 0.04, s.dark)
    for x, y in ((0.28, -0.1), (0.34, 0.4), (-0.28, -0.1), (-0.34, 0.4)):
        s.dot(x, y, 0.11, s.dark)


def _snail(s: _Sketch) -> None:
    s.fill(
        [
            (-0.95, 0.7),
            (-0.5, 0.45),
            (0.3, 0.45),
            (0.55, -0.1),
            (0.8, -0.12),
            (0.9, 0.3),
            (0.7, 0.7),
        ],
        (204, 178, 136),
        True,
    )
    for x in (0.62, 0.84):
        s.line([(x, -0.05), (x + 0.06, -0.42)], 0.05, (204, 178, 136))
        s.dot(x + 0.06, -0.45, 0.06, INK)
    s.fill(oval(-0.15, 0.02, 0.62, 0.58))
    turn = np.linspace(0, 5 * np.pi, 22)
    s.line(
        np.stack([-0.15 + 0.036 * turn * np.cos(turn), 0.02 + 0.034 * turn * np.sin(turn)], 1),
        0.07,
        s.dark,
    )


def _frog(s: _Sketch) -> None:
    for side in (-1, 1):
        s.fill(oval(0.6 * side, 0.38, 0.36, 0.3, 0.5 * side), s.dark)
        s.fill(
            [(0.3 * side, 0.8), (0.5 * side, 0.66), (0.98 * side, 0.8), (0.6 * side, 0.9)], s.dark
        )
    s.fill(oval(0, 0.2, 0.62, 0.56))
    s.fill(oval(0, 0.42, 0.4, 0.3), s.pale, edge=0)
    s.fill(oval(0, -0.3, 0.58, 0.36))
    s.line([(-0.4, -0.2), (0, -0.06), (0.4, -0.2)], 0.045, INK)
    for side in (-1, 1):
        s.dot(0.34 * side, -0.6, 0.21)
        s.eye(0.34 * side, -0.62, 0.13)


def _rabbit(s: _Sketch) -> None:
    for x, t in ((0.36, -0.1), (0.62, 0.2)):
        s.fill(oval(x, -0.68, 0.12, 0.4, t))
        s.fill(oval(x, -0.66, 0.055, 0.28, t), (226, 160, 160), edge=0)
    s.dot(-0.78, 0.3, 0.18, (246, 242, 236))
    s.fill(oval(-0.15, 0.3, 0.66, 0.5))
    s.fill(oval(-0.3, 0.45, 0.36, 0.32), s.dark, edge=0)
    s.fill(oval(0.5, -0.15, 0.38, 0.32))
    s.fill(oval(-0.25, 0.78, 0.34, 0.12))
    s.fill(oval(0.3, 0.78, 0.22, 0.11))
    s.eye(0.6, -0.22, 0.08)
    s.dot(0.86, -0.1, 0.05, (200, 110, 120))


def _caterpillar(s: _Sketch) -> None:
    for k in range(7):
        x, y = -0.85 + 0.26 * k, 0.25 + 0.2 * np.sin(k * 1.3)
        s.line([(x, y + 0.15), (x, y + 0.36)], 0.06, INK)
        s.fill(oval(x, y, 0.22, 0.24), s.c if k % 2 else s.pale)
    s.fill(oval(0.82, 0.05, 0.26, 0.27), s.dark)
    for x in (0.72, 0.92):
        s.line([(x, -0.15), (x + 0.04, -0.45)], 0.04, INK)
    s.eye(0.9, 0, 0.08)


def _car(s: _Sketch) -> None:
    s.fill([(-0.55, -0.05), (-0.36, -0.46), (0.28, -0.46), (0.56, -0.05)], shade(s.c, -0.1))
    s.fill([(-0.42, -0.06), (-0.29, -0.38), (-0.06, -0.38), (-0.06, -0.06)], GLASS)
    s.fill([(0.02, -0.06), (0.02, -0.38), (0.24, -0.38), (0.42, -0.06)], GLASS)
    s.fill([(-0.98, 0.34), (-0.95, 0), (-0.6, -0.08), (0.6, -0.08), (0.95, 0.04), (0.98, 0.34)])
    s.line([(-0.9, 0.14), (0.9, 0.14)], 0.04, s.dark)
    for x in (-0.55, 0.55):
        s.dot(x, 0.36, 0.24, INK)
        s.dot(x, 0.36, 0.11, (190, 190, 196))


def _house(s: _Sketch) -> None:
    s.fill(box(0.35, -0.85, 0.55, -0.3), (150, 96, 80))
    s.fill(box(-0.7, -0.15, 0.7, 0.85))
    s.fill([(-0.92, -0.12), (0, -0.86), (0.92, -0.12)], (128, 70, 58))
    s.fill(box(-0.16, 0.25, 0.16, 0.85), s.dark)
    for x in (-0.46, 0.46):
        s.fill(box(x - 0.15, 0.08, x + 0.15, 0.4), GLASS)
        s.line([(x, 0.08), (x, 0.4)], 0.03, INK)


def _boat(s: _Sketch) -> None:
    s.line([(0, 0.4), (0, -0.92)], 0.06, (110, 80, 56))
    s.fill([(0.06, -0.88), (0.72, 0.24), (0.06, 0.24)], (246, 242, 230))
    s.fill([(-0.06, -0.66), (-0.52, 0.24), (-0.06, 0.24)], s.pale)
    s.fill([(-0.9, 0.36), (0.92, 0.36), (0.6, 0.8), (-0.6, 0.8)])
    s.line([(-0.8, 0.5), (0.8, 0.5)], 0.05, (246, 242, 230))


def _cup(s: _Sketch) -> None:
    s.line([(0.5, -0.25), (0.9, -0.2), (0.88, 0.25), (0.42, 0.34)], 0.13, s.dark)
    s.fill([(-0.62, -0.45), (0.58, -0.45), (0.44, 0.7), (-0.48, 0.7)])
    s.fill(oval(-0.02, -0.45, 0.6, 0.16), s.dark)
    s.fill(oval(-0.02, -0.42, 0.5, 0.1), (92, 58, 40))
    s.line([(-0.55, 0.1), (0.5, 0.1)], 0.1, s.pale)


def _lamp(s: _Sketch) -> None:
    s.fill(oval(0, 0.82, 0.42, 0.12), s.dark)
    s.line([(0, 0.8), (0, -0.1)], 0.1, (150, 130, 100))
    s.fill([(-0.34, -0.85), (0.34, -0.85), (0.72, -0.05), (-0.72, -0.05)])
    s.fill(oval(0, -0.05, 0.72, 0.1), (255, 240, 190))


def _chair(s: _Sketch) -> None:
    for x in (-0.42, 0.2, 0.5):
        s.line([(x, 0.2), (x - 0.04, 0.92)], 0.1, s.dark)
    s.line([(-0.48, 0.92), (-0.48, -0.9)], 0.13)
    s.fill([(-0.55, -0.9), (-0.3, -0.95), (-0.22, 0.1), (-0.5, 0.1)])
    s.fill([(-0.55, 0.08), (0.45, 0.08), (0.62, 0.26), (-0.5, 0.28)], s.pale)


def _bottle(s: _Sketch) -> None:
    s.fill(
        [
            (-0.12, -0.9),
            (0.12, -0.9),
            (0.13, -0.45),
            (0.34, -0.15),
            (0.36, 0.9),
            (-0.36, 0.9),
            (-0.34, -0.15),
            (-0.13, -0.45),
        ]
    )
    s.fill(box(-0.14, -0.98, 0.14, -0.84), (120, 84, 60))
    s.fill(box(-0.35, 0.1, 0.35, 0.55), (244, 236, 216))
    s.line([(-0.22, -0.1), (-0.24, 0.85)], 0.06, s.pale)


def _book(s: _Sketch) -> None:
    s.fill([(-0.8, -0.5), (0.5, -0.72), (0.85, 0.42), (-0.46, 0.7)])
    s.fill([(-0.46, 0.7), (0.85, 0.42), (0.88, 0.56), (-0.44, 0.86)], (246, 240, 222))
    s.fill([(-0.8, -0.5), (-0.66, -0.52), (-0.32, 0.68), (-0.46, 0.7)], s.dark)
    s.line([(-0.3, -0.25), (0.36, -0.36)], 0.09, (250, 236, 190))
    s.line([(-0.2, -0.02), (0.3, -0.1)], 0.05, (250, 236, 190))


def _clock(s: _Sketch) -> None:
    s.fill(oval(0, 0, 0.88, 0.88))
    s.fill(oval(0, 0, 0.7, 0.7), (250, 246, 234))
    for k in range(12):
        t = k * np.pi / 6
        s.dot(0.58 * np.sin(t), 0.58 * np.cos(t), 0.045, INK)
    t = s.rng.uniform(0, 6.28)
    s.line([(0, 0), (0.34 * np.cos(t), 0.34 * np.sin(t))], 0.09, INK)
    s.line([(0, 0), (0.1, -0.52)], 0.06, s.dark)


def _kite(s: _Sketch) -> None:
    s.line([(0, 0.5), (0.2, 0.7), (-0.1, 0.85), (0.1, 1)], 0.04, INK)
    s.fill([(0, -0.95), (0.6, -0.2), (0, 0.55), (-0.6, -0.2)])
    s.fill([(0, -0.95), (0.6, -0.2), (0, -0.2)], s.pale)
    s.fill([(0, 0.55), (-0.6, -0.2), (0, -0.2)], s.dark)


_DRAW: dict[str, Pen] = {
    name[1:]: f
    for name, f in list(globals().items())
    if name.startswith("_") and callable(f) and name not in ("_Sketch", "_DRAW")
}
CREATURES = ("fish", "butterfly", "beetle", "snail", "frog", "rabbit", "caterpillar")
OBJECTS = ("car", "house", "boat", "cup", "lamp", "chair", "bottle", "book", "clock", "kite")
FLOOR = {
    "fish": None,
    "butterfly": None,
    "kite": None,
    "boat": None,
    "clock": None,
    "car": 0.6,
    "frog": 0.86,
    "caterpillar": 0.58,
    "snail": 0.7,
}
OUTDOORS = {
    "car": "meadow",
    "house": "meadow",
    "boat": "lake",
    "kite": "sky",
    "fish": "lake",
    "frog": "reeds",
}


def draw_thing(rng: np.random.Generator, name: str, colour: str, habitat: str) -> np.ndarray:
    """The named thing over a habitat or a "room": (112, 112, 3) uint8."""
    sheet = Canvas(draw_room(rng) if habitat == "room" else draw_background(rng, habitat))
    unit = rng.uniform(24, 48)
    flip = 1 if rng.random() < 0.5 else -1
    floor = FLOOR.get(name, 0.88)
    tilt = rng.normal(0, 0.03 if floor else 0.12)
    c, s = np.cos(tilt), np.sin(tilt)
    spot = SIDE / 2 + (SIDE / 2 - unit) * rng.uniform(-0.9, 0.9, 2)
    if floor:
        spot[1] = min(rng.uniform(84, 104), SIDE - 4) - floor * unit
    sheet.place(unit * np.array([[c * flip, s], [-s * flip, c]]), spot)
    if floor:
        for a in (1, 0.85, 0.7, 0.55):
            sheet.shape(oval(0, floor, 0.95 * a, 0.13 * a), (20, 16, 12, 38), edge=0)
    _DRAW[name](_Sketch(sheet, jitter(colour, rng), rng))
    angle = rng.uniform(-2.4, -0.7)
    return relief(
        sheet.image(),
        sheet.labels() * np.uint8(200),
        np.array([np.cos(angle), np.sin(angle)]),
        noise(rng),
    )
