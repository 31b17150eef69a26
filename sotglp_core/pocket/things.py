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
        self.sheet, self.c, self.dark, self.pale, self.rng = sheet, colour, shade(colour, -.4), shade(colour, .4), rng

    def fill(self, points, colour=None, curved: bool = False, edge: float = -.45) -> None:
        points = np.array(points, float)
        self.sheet.shape(smooth(points) if curved else points, colour or self.c, 1, edge=edge)

    def line(self, points, width: float, colour=None) -> None:
        self.sheet.stroke(smooth(np.array(points, float), closed=False), width, colour or self.c, 1)

    def dot(self, x: float, y: float, r: float, colour=None) -> None:
        self.sheet.dot((x, y), r, colour or self.c, 1)

    def eye(self, x: float, y: float, r: float) -> None:
        self.dot(x, y, r * 1.25, INK)
        self.dot(x, y, r, (250, 248, 240))
        self.dot(x + r * .15, y, r * .6, INK)


def _fish(s: _Sketch) -> None:
    s.fill([(-.55, 0), (-1, -.45), (-.9, 0), (-1, .45)], s.dark)
    s.fill([(-.3, -.35), (.05, -.72), (.4, -.38)], s.dark)
    s.fill([(-.05, .38), (.05, .66), (.3, .36)], s.dark)
    s.fill([(-.7, 0), (-.2, -.4), (.4, -.42), (.95, 0), (.4, .42), (-.2, .4)], curved=True)
    s.fill([(-.5, .08), (0, .3), (.6, .28), (.85, .06), (.3, .14)], s.pale, True, 0)
    for x in (-.3, -.05, .2):
        s.line([(x, -.22), (x + .1, 0), (x, .22)], .04, s.dark)
    s.eye(.62, -.1, .1)


def _butterfly(s: _Sketch) -> None:
    for side in (-1, 1):
        s.fill([(.04 * side, -.1), (.45 * side, -.85), (.95 * side, -.75), (.85 * side, -.1), (.2 * side, .1)],
               curved=True)
        s.fill([(.04 * side, .05), (.6 * side, .08), (.72 * side, .5), (.4 * side, .85), (.12 * side, .5)], s.pale,
               True)
        for x, y, r in ((.6, -.5, .16), (.42, .42, .12)):
            s.dot(x * side, y, r, s.dark)
            s.dot(x * side, y, r * .5, (250, 240, 220))
        s.line([(0, -.45), (.12 * side, -.75), (.25 * side, -.9)], .035, INK)
    s.fill(oval(0, 0, .08, .5), INK)


def _beetle(s: _Sketch) -> None:
    for y in (-.3, .1, .5):
        for side in (-1, 1):
            s.line([(.3 * side, y), (.75 * side, y - .12), (.95 * side, y + .16)], .07, INK)
    for side in (-1, 1):
        s.line([(.1 * side, -.75), (.3 * side, -.98)], .04, INK)
    s.fill(oval(0, -.62, .32, .26), INK)
    s.fill(oval(0, .18, .6, .74))
    s.line([(0, -.5), (0, .9)], .04, s.dark)
    for x, y in ((.28, -.1), (.34, .4), (-.28, -.1), (-.34, .4)):
        s.dot(x, y, .11, s.dark)


def _snail(s: _Sketch) -> None:
    s.fill([(-.95, .7), (-.5, .45), (.3, .45), (.55, -.1), (.8, -.12), (.9, .3), (.7, .7)], (204, 178, 136), True)
    for x in (.62, .84):
        s.line([(x, -.05), (x + .06, -.42)], .05, (204, 178, 136))
        s.dot(x + .06, -.45, .06, INK)
    s.fill(oval(-.15, .02, .62, .58))
    turn = np.linspace(0, 5 * np.pi, 22)
    s.line(np.stack([-.15 + .036 * turn * np.cos(turn), .02 + .034 * turn * np.sin(turn)], 1), .07, s.dark)


def _frog(s: _Sketch) -> None:
    for side in (-1, 1):
        s.fill(oval(.6 * side, .38, .36, .3, .5 * side), s.dark)
        s.fill([(.3 * side, .8), (.5 * side, .66), (.98 * side, .8), (.6 * side, .9)], s.dark)
    s.fill(oval(0, .2, .62, .56))
    s.fill(oval(0, .42, .4, .3), s.pale, edge=0)
    s.fill(oval(0, -.3, .58, .36))
    s.line([(-.4, -.2), (0, -.06), (.4, -.2)], .045, INK)
    for side in (-1, 1):
        s.dot(.34 * side, -.6, .21)
        s.eye(.34 * side, -.62, .13)


def _rabbit(s: _Sketch) -> None:
    for x, t in ((.36, -.1), (.62, .2)):
        s.fill(oval(x, -.68, .12, .4, t))
        s.fill(oval(x, -.66, .055, .28, t), (226, 160, 160), edge=0)
    s.dot(-.78, .3, .18, (246, 242, 236))
    s.fill(oval(-.15, .3, .66, .5))
    s.fill(oval(-.3, .45, .36, .32), s.dark, edge=0)
    s.fill(oval(.5, -.15, .38, .32))
    s.fill(oval(-.25, .78, .34, .12))
    s.fill(oval(.3, .78, .22, .11))
    s.eye(.6, -.22, .08)
    s.dot(.86, -.1, .05, (200, 110, 120))


def _caterpillar(s: _Sketch) -> None:
    for k in range(7):
        x, y = -.85 + .26 * k, .25 + .2 * np.sin(k * 1.3)
        s.line([(x, y + .15), (x, y + .36)], .06, INK)
        s.fill(oval(x, y, .22, .24), s.c if k % 2 else s.pale)
    s.fill(oval(.82, .05, .26, .27), s.dark)
    for x in (.72, .92):
        s.line([(x, -.15), (x + .04, -.45)], .04, INK)
    s.eye(.9, 0, .08)


def _car(s: _Sketch) -> None:
    s.fill([(-.55, -.05), (-.36, -.46), (.28, -.46), (.56, -.05)], shade(s.c, -.1))
    s.fill([(-.42, -.06), (-.29, -.38), (-.06, -.38), (-.06, -.06)], GLASS)
    s.fill([(.02, -.06), (.02, -.38), (.24, -.38), (.42, -.06)], GLASS)
    s.fill([(-.98, .34), (-.95, 0), (-.6, -.08), (.6, -.08), (.95, .04), (.98, .34)])
    s.line([(-.9, .14), (.9, .14)], .04, s.dark)
    for x in (-.55, .55):
        s.dot(x, .36, .24, INK)
        s.dot(x, .36, .11, (190, 190, 196))


def _house(s: _Sketch) -> None:
    s.fill(box(.35, -.85, .55, -.3), (150, 96, 80))
    s.fill(box(-.7, -.15, .7, .85))
    s.fill([(-.92, -.12), (0, -.86), (.92, -.12)], (128, 70, 58))
    s.fill(box(-.16, .25, .16, .85), s.dark)
    for x in (-.46, .46):
        s.fill(box(x - .15, .08, x + .15, .4), GLASS)
        s.line([(x, .08), (x, .4)], .03, INK)


def _boat(s: _Sketch) -> None:
    s.line([(0, .4), (0, -.92)], .06, (110, 80, 56))
    s.fill([(.06, -.88), (.72, .24), (.06, .24)], (246, 242, 230))
    s.fill([(-.06, -.66), (-.52, .24), (-.06, .24)], s.pale)
    s.fill([(-.9, .36), (.92, .36), (.6, .8), (-.6, .8)])
    s.line([(-.8, .5), (.8, .5)], .05, (246, 242, 230))


def _cup(s: _Sketch) -> None:
    s.line([(.5, -.25), (.9, -.2), (.88, .25), (.42, .34)], .13, s.dark)
    s.fill([(-.62, -.45), (.58, -.45), (.44, .7), (-.48, .7)])
    s.fill(oval(-.02, -.45, .6, .16), s.dark)
    s.fill(oval(-.02, -.42, .5, .1), (92, 58, 40))
    s.line([(-.55, .1), (.5, .1)], .1, s.pale)


def _lamp(s: _Sketch) -> None:
    s.fill(oval(0, .82, .42, .12), s.dark)
    s.line([(0, .8), (0, -.1)], .1, (150, 130, 100))
    s.fill([(-.34, -.85), (.34, -.85), (.72, -.05), (-.72, -.05)])
    s.fill(oval(0, -.05, .72, .1), (255, 240, 190))


def _chair(s: _Sketch) -> None:
    for x in (-.42, .2, .5):
        s.line([(x, .2), (x - .04, .92)], .1, s.dark)
    s.line([(-.48, .92), (-.48, -.9)], .13)
    s.fill([(-.55, -.9), (-.3, -.95), (-.22, .1), (-.5, .1)])
    s.fill([(-.55, .08), (.45, .08), (.62, .26), (-.5, .28)], s.pale)


def _bottle(s: _Sketch) -> None:
    s.fill([(-.12, -.9), (.12, -.9), (.13, -.45), (.34, -.15), (.36, .9), (-.36, .9), (-.34, -.15), (-.13, -.45)])
    s.fill(box(-.14, -.98, .14, -.84), (120, 84, 60))
    s.fill(box(-.35, .1, .35, .55), (244, 236, 216))
    s.line([(-.22, -.1), (-.24, .85)], .06, s.pale)


def _book(s: _Sketch) -> None:
    s.fill([(-.8, -.5), (.5, -.72), (.85, .42), (-.46, .7)])
    s.fill([(-.46, .7), (.85, .42), (.88, .56), (-.44, .86)], (246, 240, 222))
    s.fill([(-.8, -.5), (-.66, -.52), (-.32, .68), (-.46, .7)], s.dark)
    s.line([(-.3, -.25), (.36, -.36)], .09, (250, 236, 190))
    s.line([(-.2, -.02), (.3, -.1)], .05, (250, 236, 190))


def _clock(s: _Sketch) -> None:
    s.fill(oval(0, 0, .88, .88))
    s.fill(oval(0, 0, .7, .7), (250, 246, 234))
    for k in range(12):
        t = k * np.pi / 6
        s.dot(.58 * np.sin(t), .58 * np.cos(t), .045, INK)
    t = s.rng.uniform(0, 6.28)
    s.line([(0, 0), (.34 * np.cos(t), .34 * np.sin(t))], .09, INK)
    s.line([(0, 0), (.1, -.52)], .06, s.dark)


def _kite(s: _Sketch) -> None:
    s.line([(0, .5), (.2, .7), (-.1, .85), (.1, 1)], .04, INK)
    s.fill([(0, -.95), (.6, -.2), (0, .55), (-.6, -.2)])
    s.fill([(0, -.95), (.6, -.2), (0, -.2)], s.pale)
    s.fill([(0, .55), (-.6, -.2), (0, -.2)], s.dark)


_DRAW: dict[str, Pen] = {name[1:]: f for name, f in list(globals().items()) if name.startswith("_") and callable(f)
                         and name not in ("_Sketch", "_DRAW")}
CREATURES = ("fish", "butterfly", "beetle", "snail", "frog", "rabbit", "caterpillar")
OBJECTS = ("car", "house", "boat", "cup", "lamp", "chair", "bottle", "book", "clock", "kite")
FLOOR = {"fish": None, "butterfly": None, "kite": None, "boat": None, "clock": None, "car": .6, "frog": .86,
         "caterpillar": .58, "snail": .7}
OUTDOORS = {"car": "meadow", "house": "meadow", "boat": "lake", "kite": "sky", "fish": "lake", "frog": "reeds"}


def draw_thing(rng: np.random.Generator, name: str, colour: str, habitat: str) -> np.ndarray:
    """The named thing over a habitat or a "room": (112, 112, 3) uint8."""
    sheet = Canvas(draw_room(rng) if habitat == "room" else draw_background(rng, habitat))
    unit = rng.uniform(24, 48)
    flip = 1 if rng.random() < .5 else -1
    floor = FLOOR.get(name, .88)
    tilt = rng.normal(0, .03 if floor else .12)
    c, s = np.cos(tilt), np.sin(tilt)
    spot = SIDE / 2 + (SIDE / 2 - unit) * rng.uniform(-.9, .9, 2)
    if floor:
        spot[1] = min(rng.uniform(84, 104), SIDE - 4) - floor * unit
    sheet.place(unit * np.array([[c * flip, s], [-s * flip, c]]), spot)
    if floor:
        for a in (1, .85, .7, .55):
            sheet.shape(oval(0, floor, .95 * a, .13 * a), (20, 16, 12, 38), edge=0)
    _DRAW[name](_Sketch(sheet, jitter(colour, rng), rng))
    angle = rng.uniform(-2.4, -.7)
    return relief(sheet.image(), sheet.labels() * np.uint8(200), np.array([np.cos(angle), np.sin(angle)]), noise(rng))
