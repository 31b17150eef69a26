"""Animals that are no birds, and man-made objects."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .canvas import SIDE, Canvas, curve, direction, oval, relief, shade, smooth
from .scenery import draw_background, draw_room
from .tables import load_table
from .traits import Colour, jitter

THINGS = load_table("things.json")
INK = (34, 28, 32)


def draw_thing(
    rng: np.random.Generator, thing: dict[str, Any], colour: str, habitat: str
) -> np.ndarray:
    """One of THINGS over a habitat or a "room": (112, 112, 3) uint8."""
    sheet = Canvas(draw_room(rng) if habitat == "room" else draw_background(rng, habitat))
    unit = rng.uniform(24, 48)
    flip = 1 if rng.random() < 0.5 else -1
    floor = thing["floor"]  # how far below its middle the thing stands; None: it floats
    c, s = direction(rng.normal(0, 0.03 if floor else 0.12))
    spot = SIDE / 2 + (SIDE / 2 - unit) * rng.uniform(-0.9, 0.9, 2)
    if floor:
        spot[1] = min(rng.uniform(84, 104), SIDE - 4) - floor * unit
    sheet.place(unit * np.array([[c * flip, s], [-s * flip, c]]), spot)
    if floor:
        for size in (1, 0.85, 0.7, 0.55):
            sheet.shape(oval((0, floor), (0.95 * size, 0.13 * size)), (20, 16, 12, 38), edge=0)
    Sketch(sheet, jitter(colour, rng), rng).draw(thing["shapes"])
    return relief(sheet.image(), sheet.labels() * np.uint8(200), rng)


class Sketch:
    """Draws the shapes of ``things.json``, which fit the square [-1, 1]; a method a kind of shape.

    :param colour: the thing's own; shapes name it, a shade of it, or one that all things share.
    """

    def __init__(self, sheet: Canvas, colour: Colour, rng: np.random.Generator):
        self.sheet, self.rng = sheet, rng
        self.colours = {
            "own": colour,
            "pale": shade(colour, 0.4),
            "dim": shade(colour, -0.1),
            "dark": shade(colour, -0.4),
            "ink": INK,
            "glass": (196, 220, 230),
        }

    def draw(self, shapes: Iterable[Mapping[str, Any]], side: int = 1) -> None:
        """The shapes in their order; "left and right" draws some of them mirrored, then as is."""
        for shape in shapes:
            if "left and right" in shape:
                self.draw(shape["left and right"], -1)
                self.draw(shape["left and right"], 1)
                continue
            style = dict(shape)
            kind = next(iter(style))
            values = style.pop(kind)
            colour = style.pop("colour", "own")
            style["colour"] = self.colours[colour] if isinstance(colour, str) else tuple(colour)
            getattr(self, f"draw_{kind}")(values, side, **style)

    def draw_polygon(self, points, side: int, colour: Colour, edge: float = -0.45) -> None:
        self.sheet.shape(np.array(points) * (side, 1), colour, label=1, edge=edge)

    def draw_blob(self, points, side: int, colour: Colour, edge: float = -0.45) -> None:
        self.sheet.shape(smooth(np.array(points) * (side, 1)), colour, label=1, edge=edge)

    def draw_oval(self, values, side: int, colour: Colour, edge: float = -0.45) -> None:
        x, y, a, b, tilt = (*values, 0.0)[:5]
        rim = oval((x * side, y), (a, b), tilt * side)
        self.sheet.shape(rim, colour, label=1, edge=edge)

    def draw_box(self, corners, side: int, colour: Colour) -> None:
        x0, y0, x1, y1 = corners
        self.draw_polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], side, colour)

    def draw_line(self, points, side: int, colour: Colour, width: float) -> None:
        self.sheet.stroke(curve(np.array(points) * (side, 1)), width, colour, label=1)

    def draw_dot(self, values, side: int, colour: Colour) -> None:
        x, y, radius = values
        self.sheet.dot((x * side, y), radius, colour, label=1)

    def draw_eye(self, values, side: int, colour: Colour) -> None:
        x, y, radius = values
        self.sheet.dot((x * side, y), radius * 1.25, INK, label=1)
        self.sheet.dot((x * side, y), radius, (250, 248, 240), label=1)
        self.sheet.dot((x * side + radius * 0.15, y), radius * 0.6, INK, label=1)

    def draw_spiral(self, values, side: int, colour: Colour, width: float) -> None:
        """A snail's."""
        x, y, a, b = values
        turn = np.linspace(0, 5 * np.pi, 22)
        spiral = np.stack([x + a * turn * np.cos(turn), y + b * turn * np.sin(turn)], 1)
        self.draw_line(spiral, side, colour, width=width)

    def draw_segments(self, number: int, side: int, colour: Colour) -> None:
        """A caterpillar's, each with a foot."""
        for k in range(number):
            x, y = -0.85 + 0.26 * k, 0.25 + 0.2 * np.sin(k * 1.3)
            self.draw_line([(x, y + 0.15), (x, y + 0.36)], side, INK, width=0.06)
            self.draw_oval((x, y, 0.22, 0.24), side, colour if k % 2 else self.colours["pale"])

    def draw_hours(self, radius: float, side: int, colour: Colour) -> None:
        """The dots of a clock's face."""
        for angle in np.arange(12) * np.pi / 6:
            dot = (radius * np.sin(angle), radius * np.cos(angle), 0.045)
            self.draw_dot(dot, side, INK)

    def draw_hand(self, length: float, side: int, colour: Colour, width: float) -> None:
        """A clock's hand that points anywhere."""
        tip = length * direction(self.rng.uniform(0, 6.28))
        self.draw_line([(0, 0), tip], side, colour, width=width)
