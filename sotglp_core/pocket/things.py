"""Animals that are no birds, and man-made objects."""

from typing import Any

import numpy as np
from numpy.random import Generator

from .canvas import SIDE, Canvas, curve, direction, oval, relief, shade, smooth
from .scenery import draw_background, draw_room
from .tables import load_table
from .traits import Colour, jitter

THINGS = load_table("things.json")  # shapes from back to front, which fit the square [-1, 1]


def draw_thing(rng: Generator, thing: dict[str, Any], colour: str, habitat: str) -> np.ndarray:
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
    own = jitter(colour, rng)
    colours = {
        "own": own,
        "pale": shade(own, 0.4),
        "dim": shade(own, -0.1),
        "dark": shade(own, -0.4),
        "ink": (34, 28, 32),
        "glass": (196, 220, 230),
    }
    for shape in thing["shapes"]:
        tone = shape.get("colour", "own")
        _draw_shape(sheet, shape, colours[tone] if isinstance(tone, str) else tuple(tone), rng)
    return relief(sheet.image(), sheet.labels() * np.uint8(200), rng)


def _draw_shape(sheet: Canvas, shape: dict[str, Any], colour: Colour, rng: Generator) -> None:
    edge = shape.get("edge", -0.45)
    match shape:
        case {"polygon": points}:
            sheet.shape(points, colour, label=1, edge=edge)
        case {"blob": points}:
            sheet.shape(smooth(points), colour, label=1, edge=edge)
        case {"oval": [x, y, a, b, *tilt]}:
            sheet.shape(oval((x, y), (a, b), *tilt), colour, label=1, edge=edge)
        case {"line": points, "width": width}:
            sheet.stroke(curve(points), width, colour, label=1)
        case {"dot": [x, y, radius]}:
            sheet.dot((x, y), radius, colour, label=1)
        case {"hand": length, "width": width}:  # a clock's, which points anywhere
            tip = length * direction(rng.uniform(0, 6.28))
            sheet.stroke(curve([(0, 0), tip]), width, colour, label=1)
