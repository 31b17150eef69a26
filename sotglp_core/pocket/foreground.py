"""What a bird stands on and what stands in front of it."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .canvas import SIDE, Canvas, across, direction, oval, shade, smooth
from .scenery import HABITATS, SCENERY_WORDS
from .traits import PARTS

BARKS = np.array([(104, 80, 60), (122, 100, 80), (86, 74, 66)])
STONE = (122, 116, 110)
RING = oval((0, 0), (1, 1), points=24)
FOREGROUND = tuple(SCENERY_WORDS["foreground"])
BRANCH, ROCK, LEAVES, GRASS = range(len(PARTS), len(PARTS) + len(FOREGROUND))  # labels


class Stand(NamedTuple):
    """Where a bird stands, in pixels."""

    rest: str  # what it rests on
    habitat: str
    foot: np.ndarray  # (2,)
    unit: float  # length 1 of its body
    spot: np.ndarray  # (2,) its middle
    span: np.ndarray  # (2,) its width and height


def draw_perch(sheet: Canvas, stand: Stand, rng: Generator) -> None:
    """Draw what the foot stands on."""
    if stand.rest == "branch":
        _draw_branch(sheet, stand, rng)
    elif stand.rest == "water":
        for k in range(4):
            size = stand.unit * (0.35 + 0.28 * k)
            ripple = np.concatenate([RING, RING[:1]]) * (size, size * 0.22) + stand.foot
            sheet.stroke(ripple, 0.7, (226, 238, 244, 120 - 24 * k))
    elif stand.rest == "rock":
        _draw_rock(sheet, stand, rng)
    else:
        shadow = (*shade(HABITATS[stand.habitat]["ground"], -0.6), 36)
        for fraction in (1.0, 0.86, 0.72, 0.58, 0.44):
            size = stand.unit * fraction
            sheet.shape(RING * (size, size * 0.17) + stand.foot, shadow, edge=0)


def _draw_branch(sheet: Canvas, stand: Stand, rng: Generator) -> None:
    foot, leaves = stand.foot, HABITATS[stand.habitat]["leaves"]
    slope, bend = rng.normal(0, 0.07), rng.normal(0, 0.0012)
    x = np.linspace(-6, SIDE + 6, 15) - foot[0]
    thick = max(3.2, 0.15 * stand.unit)
    y = foot[1] + thick * 0.6 + slope * x + bend * x**2 + rng.normal(0, 0.35, 15)
    line = np.stack([x + foot[0], y], 1)
    bark = BARKS[rng.integers(len(BARKS))]
    for root in line[rng.integers(1, 14, 3)]:
        way = np.array([rng.choice([-0.6, 0.6]), rng.choice([-0.8, 0.8])])
        end = root + way * rng.uniform(8, 18)
        sheet.stroke([root, end], 1.3, shade(bark, -0.2), label=BRANCH)
        for step in (0.55, 0.8, 1):
            colour, angle = tuple(leaves[rng.integers(2)]), rng.uniform(0, 2 * np.pi)
            leaf = rng.uniform(5, 9) * direction(angle)
            _draw_leaf(sheet, root + (end - root) * step, leaf, colour=colour)
    for shift, width, tone in ((0, 1.12, -0.45), (0, 1, 0), (-0.22, 0.4, 0.22)):
        sheet.stroke(line + (0, shift * thick), thick * width, shade(bark, tone), label=BRANCH)
    if stand.habitat == "snow":
        sheet.stroke(line - (0, thick * 0.45), thick * 0.4, (238, 243, 248))


def _draw_leaf(sheet: Canvas, root: np.ndarray, leaf: np.ndarray, *, colour) -> None:
    """A pointed leaf from its root to root + leaf."""
    middle, half = root + leaf * 0.45, across(leaf) * 0.24
    outline = smooth([root, middle + half, root + leaf, middle - half])
    sheet.shape(outline, colour, label=LEAVES, edge=-0.3)
    sheet.stroke([root, root + leaf * 0.85], 0.5, shade(colour, -0.25))


def _draw_rock(sheet: Canvas, stand: Stand, rng: Generator) -> None:
    """A boulder under the foot, with moss on it."""
    x, y = stand.foot
    jagged = RING * (1 + 0.05 * rng.standard_normal((24, 1)))
    x_rock = x + rng.normal(0, 6)
    for wide, tall, tone in ((66, 40, -0.25), (60, 37, -0.08), (50, 30, 0.08), (36, 20, 0.2)):
        stone = jagged * (wide, tall) + (x_rock, y + 0.94 * tall)
        sheet.shape(stone, shade(STONE, tone), label=ROCK, edge=0)
    for dx, dy, r in rng.uniform((-40, 4, 1), (40, 22, 4), (9, 3)):
        moss = RING * (r * 1.5, r * 0.7) + (x + dx, y + dy + dx * dx * 0.006)
        sheet.shape(moss, (126, 138, 84, 120), edge=0)


def occlude(sheet: Canvas, stand: Stand, rng: Generator) -> None:
    """Sometimes put grass, reeds or a leafy twig in front of the bird."""
    grassy = stand.rest in ("ground", "water") and stand.habitat not in ("snow", "desert")
    chance = rng.random()
    if grassy and chance < 0.5:
        number, longest = 3 + int(chance * 8), 0.5 if chance < 0.2 else 0.22
        for x in stand.foot[0] + rng.normal(0, 0.32 * stand.span[0], number):
            tall, sway = rng.uniform(0.12, longest) * stand.span[1], rng.normal(0, 4)
            root = np.array([x, stand.foot[1] + rng.uniform(1, 6)])
            tip = (sway, -tall)
            left, right = (sway * 0.3, -tall * 0.6), (sway * 0.3 + 1.2, -tall * 0.5)
            blade = smooth(root + ((-0.9, 0), left, tip, right, (0.9, 0)))
            colour = _leaf_colour(stand, rng, (-0.2, 0.15))
            sheet.shape(blade, colour, label=GRASS, edge=-0.2, width=1)
    elif stand.rest in ("branch", "rock") and chance < 0.25:
        _draw_twig(sheet, stand, rng)


def _draw_twig(sheet: Canvas, stand: Stand, rng: Generator) -> None:
    side = rng.choice([-1, 1])
    start = stand.spot + stand.span * (side * 0.75, rng.uniform(-0.1, 0.6))
    x_end = stand.spot[0] + side * stand.span[0] * rng.uniform(0.05, 0.25)
    end = np.array([x_end, start[1] + rng.uniform(-0.25, 0.1) * stand.span[1]])
    sheet.stroke([start, (start + end) / 2 - (0, 2), end], 1.5, (92, 76, 56), label=BRANCH)
    for step in np.linspace(0.1, 1, 6):
        angle = np.arctan2(*(end - start)[::-1]) + rng.normal(0, 0.8)
        leaf, colour = rng.uniform(6, 10) * direction(angle), _leaf_colour(stand, rng, (-0.15, 0.2))
        _draw_leaf(sheet, start + (end - start) * step, leaf, colour=colour)


def _leaf_colour(stand: Stand, rng: Generator, shades: tuple[float, float]):
    tones = HABITATS[stand.habitat]["leaves"]
    return shade(tones[rng.integers(2)], rng.uniform(*shades))
