"""Birds drawn from a body and its traits.

``bodies.json`` has a body for each family, in profile facing right, y down, about one unit high:

- outline: points from the upper base of the beak over crown, back, vent and breast to the lower;
- crown, belly: from which to which point of the outline they reach; cap, flank: their inner edges;
- neck: the points of the outline, on back and breast, where head and body meet;
- beak, eye, eye_radius; upper, lower: the edges of the wing, from shoulder to tip;
- tail: its root, then its angle, length and width; hips: far and near; ground: where feet stand;
- leg: its width; webbed: whether the feet are; lean: the angle of the crest.
"""

from types import SimpleNamespace

import numpy as np
from numpy.random import Generator

from .canvas import FINE, SIDE, Canvas, across, curve, direction, relief, shade, smooth, turn
from .foreground import FOREGROUND, Stand, draw_perch, occlude
from .scenery import HABITATS
from .tables import load_table
from .traits import PARTS, Bird, Colour, jitter

LABEL = {name: index for index, name in enumerate(PARTS)}
HEIGHT = np.array([0, 205, 218, 218, 185, 235, 205, 160, 120, *[0] * len(FOREGROUND)], np.uint8)
BARS_AT = np.linspace(0.03, 0.97, 8)  # points across a wing
COLOURED = ("crown", "beak", "wing", "belly", "tail", "legs", "back", "eye")


Body = SimpleNamespace  # one of bodies.json
_TABLE = load_table("bodies.json")
BODIES = {
    family: Body(**{name: np.array(value) for name, value in body.items()})
    for family, body in _TABLE["families"].items()
}
TAILS = {shape: np.array(points) for shape, points in _TABLE["tails"].items()}
CREST, FEATHER = _TABLE["crest"], np.array(_TABLE["feather"])  # places and sizes; outline


def draw_bird(
    bird: Bird, rng: Generator, background: np.ndarray, habitat: str
) -> tuple[np.ndarray, np.ndarray]:
    """The bird over a (112, 112, 3) background: its image and what each pixel shows (112, 112).

    Both uint8; the second an index into PARTS, then into FOREGROUND.
    """
    body, rest = _pose(BODIES[bird.family], rng), HABITATS[habitat]["perch"][bird.family]
    low, high = _extent(body, bird)
    size = 0.52 + 0.42 * np.sqrt(rng.random())
    unit = size * SIDE / (high - low).max()
    facing = 1 if rng.random() < 0.5 else -1
    span = (high - low) * unit
    room = np.maximum(SIDE - span, 0) / 2
    spot = SIDE / 2 + room * rng.uniform(-0.9, 0.9, 2)
    if rest != "branch":
        spot[1] = SIDE / 2 + room[1] * rng.uniform(0.45, 0.95)
    matrix = np.diag([facing * unit, unit])
    offset = spot - (high + low) / 2 @ matrix
    foot = np.array([0.1, body.ground + 0.02]) @ matrix + offset
    stand = Stand(rest=rest, habitat=habitat, foot=foot, unit=unit, spot=spot, span=span)

    sheet = Canvas(background)
    draw_perch(sheet, stand, rng)
    sheet.place(matrix, offset)
    named = {part: getattr(bird, part) for part in COLOURED}
    tones = {part: jitter(colour, rng) for part, colour in named.items() if colour != "none"}
    painter = Painter(sheet, body, tones)
    painter.draw_legs(rng)
    painter.draw_tail(bird.shape)
    painter.draw_trunk(rng)
    painter.draw_wing(bird.pattern)
    painter.draw_head(crested=bird.crest == "crested")
    sheet.place(np.eye(2), np.zeros(2))
    occlude(sheet, stand, rng)
    labels = sheet.labels()
    return relief(sheet.image(), HEIGHT[labels], rng), labels


def _pose(body: Body, rng: Generator) -> Body:
    """The body tilted, its head turned and its wing lifted."""
    tilt, nod, lift = rng.normal(0, 0.09), rng.normal(0, 0.13), max(0.0, rng.normal(0, 0.14))
    back, breast = body.neck
    loose = np.ones((len(body.outline), 1))
    loose[back + 1 : breast] = 0
    loose[[back, breast]] = 0.45
    pivot = (body.outline[back] + body.outline[breast]) / 2
    nodded = turn(body.outline, nod, pivot)
    moved = {
        "outline": body.outline + loose * (nodded - body.outline),
        "cap": turn(body.cap, nod, pivot),
        "beak": turn(body.beak, nod, pivot),
        "eye": turn(body.eye, nod, pivot),
        "upper": turn(body.upper, lift, body.upper[0]),
        "lower": turn(body.lower, lift, body.upper[0]),
        "flank": body.flank,
        "tail": body.tail,
    }
    hip = body.hips.mean(0)
    tilted = {name: turn(points, tilt, hip) for name, points in moved.items()}
    tail_angle = body.tail_angle + tilt + rng.normal(0, 0.06)
    return Body(**vars(body) | tilted | {"tail_angle": tail_angle})


def _extent(body: Body, bird: Bird) -> tuple[np.ndarray, np.ndarray]:
    """The upper left and lower right corner of the posed bird."""
    tip = body.tail + body.tail_length * 1.2 * direction(body.tail_angle)
    sole = [[0, body.ground + 0.1]]
    reach = np.concatenate([body.outline, body.beak, body.upper, tip, sole])
    low, high = reach.min(0), reach.max(0)
    if bird.crest == "crested":
        low[1] -= 0.42
    return low, high


class Painter:
    """Draws a posed body in the colours of its parts, from back to front."""

    def __init__(self, sheet: Canvas, body: Body, tones: dict[str, Colour]):
        self.sheet, self.body, self.tones = sheet, body, tones
        self.wing = curve(body.upper), curve(body.lower)

    def _fill(self, part: str, points, **style) -> None:
        self.sheet.shape(points, self.tones[part], label=LABEL[part], **style)

    def draw_legs(self, rng: Generator) -> None:
        """The far leg, then the near one."""
        body, sheet, label = self.body, self.sheet, LABEL["legs"]
        for hip, ahead, tone in zip(body.hips, (0.02, 0.06), (-0.18, 0)):
            colour = shade(self.tones["legs"], tone)
            foot = np.array([hip[0] + rng.uniform(-0.06, 0.06) + ahead, body.ground])
            knee = (hip + foot) / 2 + (-0.07 * (body.ground - hip[1]), 0)
            edge = (body.leg + 0.035, shade(colour, -0.45), label)
            for width, ink, mark in (edge, (body.leg, colour, 0)):
                sheet.stroke([hip, knee, foot], width, ink, label=mark)
                for toe in foot + ((0.20, 0.03), (0.10, 0.07), (-0.13, 0.03)):
                    sheet.stroke([foot - (0, 0.01), toe], width * 0.72, ink, label=mark)
            if body.webbed:
                web = foot + ((-0.05, -0.08), (0.30, 0.08), (0.04, 0.12), (-0.16, 0.08))
                sheet.shape(web, colour, label=label)

    def draw_tail(self, shape: str) -> None:
        body, colour = self.body, self.tones["tail"]
        along = direction(body.tail_angle)
        template = TAILS[shape] * (body.tail_length, body.tail_width)
        points = body.tail + template[:, :1] * along + template[:, 1:] * across(along)
        rim = smooth(points) if shape == "rounded" else points
        self._fill("tail", rim)
        root, line = body.tail[0], _contrast(colour, -0.3)
        for k in range(1, len(points) // 2):
            for p in (points[k], points[-1 - k]):
                self.sheet.stroke([root, root + 0.9 * (p - root)], 0.018, line)

    def draw_trunk(self, rng: Generator) -> None:
        """Body and belly, with flecks on the belly of large birds."""
        body = self.body
        rim, flank = smooth(body.outline), curve(body.flank)
        self.sheet.shape(rim, self.tones["back"], label=LABEL["body"], width=3)
        first, last = body.belly
        belly = np.concatenate([rim[first * 6 : last * 6 + 1], flank])
        self._fill("belly", belly, edge=-0.22)
        if self.sheet.unit < 18 * FINE:
            return
        outer, inner = rim[first * 6 + 4 : last * 6 - 3], flank[::-1]
        colour = (*shade(self.tones["belly"], -0.35), 110)
        for u, v in rng.uniform((0.05, 0.15), (0.95, 0.8), (11, 2)):
            p = (1 - v) * outer[int(u * len(outer))] + v * inner[int(u * len(inner))]
            self.sheet.stroke(p + ((-0.05, -0.01), (-0.01, 0.03), (0.04, 0)), 0.016, colour)

    def draw_wing(self, pattern: str) -> None:
        sheet, colour = self.sheet, self.tones["wing"]
        rim = np.concatenate([self.wing[0], self.wing[1][::-1]])
        sheet.shape(rim + (0, 0.06), (20, 16, 24, 70), edge=0)
        self._fill("wing", rim, edge=-0.5, width=3)
        line, bow = (*_contrast(colour, -0.45, 0.3), 150), np.sin(np.pi * BARS_AT)
        for v in (0.25, 0.5, 0.75):
            sheet.stroke(self._on_wing((0.55, 0.7, 0.85, 0.98), v), 0.022, line)
        sheet.stroke(self._on_wing(0.36 + 0.12 * bow, BARS_AT), 0.022, line)
        mark = (250, 240, 214) if sum(colour) < 400 else (52, 38, 34)
        if pattern == "barred":
            for u in (0.2, 0.38, 0.56, 0.73):
                sheet.stroke(self._on_wing(u + 0.07 * bow, BARS_AT), 0.072, mark)
        elif pattern == "streaked":
            for k, v in enumerate((0.17, 0.39, 0.61, 0.83)):
                for start, stop in ((0.07, 0.30), (0.36, 0.58), (0.64, 0.86)):
                    along = np.linspace(start, stop, 4) + 0.03 * (k % 2)
                    sheet.stroke(self._on_wing(along, v), 0.048, mark)
        elif pattern == "spotted":
            for u, v in _TABLE["spots"]:
                sheet.dot(self._on_wing(u, v), 0.055, mark)

    def _on_wing(self, u, v) -> np.ndarray:
        """Points u of the way from shoulder to tip and v of the way across."""
        top, low = self.wing
        at, v = np.multiply(u, len(top) - 1), np.asarray(v)[..., None]
        k = at.astype(int)
        step = (at - k)[..., None]
        upper = top[k] + step * (top[k + 1] - top[k])
        lower = low[k] + step * (low[k + 1] - low[k])
        return (1 - v) * upper + v * lower

    def draw_head(self, crested: bool) -> None:
        body = self.body
        first, last = body.crown
        arc = smooth(body.outline)[first * 6 + 2 : last * 6 + 1]
        if crested:
            bent = FEATHER[:, 1:] + 0.14 * FEATHER[:, :1] ** 2
            for k, (place, size) in enumerate(CREST):
                root = arc[round(place * (len(arc) - 1))]
                way = direction(body.lean + 0.27 * (k - 3))
                feather = root + FEATHER[:, :1] * size * way - bent * across(way)
                self._fill("crown", feather, edge=-0.35)
        self._fill("crown", np.concatenate([arc, curve(body.cap)]), edge=-0.4)
        self._draw_beak()
        self._draw_eye()

    def _draw_beak(self) -> None:
        beak = self.body.beak
        self._fill("beak", smooth(beak), edge=-0.55)
        root, tip = (beak[0] + beak[-1]) / 2 + (0.04, 0.02), beak[len(beak) // 2]
        line = [root, tip * 0.75 + beak.mean(0) * 0.25]
        self.sheet.stroke(line, 0.022, _contrast(self.tones["beak"], -0.5))

    def _draw_eye(self) -> None:
        """An eye, with a coloured ring around it if there is one."""
        at, radius = self.body.eye[0], self.body.eye_radius
        discs: list[tuple[float, Colour]] = [(0.74, (24, 20, 24))]
        if "eye" in self.tones:
            discs = [(1.14, (40, 32, 36)), (1, self.tones["eye"]), (0.58, (18, 15, 20))]
        for size, colour in discs:
            self.sheet.dot(at, radius * size, colour, label=LABEL["eye"])
        self.sheet.dot(at + (radius * 0.2, -radius * 0.22), radius * 0.17, (255, 255, 255))


def _contrast(colour: Colour, darker: float, paler: float = 0.35) -> Colour:
    """A line's colour that shows on this one."""
    return shade(colour, paler if sum(colour) < 200 else darker)
