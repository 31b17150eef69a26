"""Landscapes with no animal and nothing man-made in them."""

import numpy as np
from numpy.random import Generator

from .canvas import SIDE, Canvas, as_bytes, curve, noise, shade, soft_noise
from .scenery import gradient
from .tables import load_table

_TABLE = load_table("landscapes.json")
# three plains from far to near, the first two under water where there is some
LANDSCAPES, SKIES, FLOWERS = _TABLE["landscapes"], _TABLE["skies"], _TABLE["flowers"]


def draw_landscape(rng: Generator, name: str) -> np.ndarray:
    """A (112, 112, 3) uint8 landscape, far to near."""
    look = LANDSCAPES[name]
    sky = SKIES["warm" if look["sky"] == "warm" or rng.random() < 0.25 else "clear"]
    air = np.array(sky[-1][1], float)
    cloud = soft_noise(rng).repeat(2, 1)[:, :SIDE] * 0.45 + 0.08 * noise(rng)
    cloud = np.clip(cloud, 0, 0.85)[..., None]
    sheet = Canvas(as_bytes(gradient(sky) * (1 - cloud) + 250 * cloud))
    sun = (rng.uniform(15, 97), rng.uniform(12, 34) + look["sun_low"])
    for radius, alpha in ((16, 30), (11, 60), (7, 230)):
        sheet.dot(sun, radius * look["sun_size"], (255, 244, 206, alpha))
    if look["peaks"]:
        for far, base in ((0.55, 44), (0.25, 56)):
            _draw_peaks(sheet, rng, air, far=far, base=base)
    for k, base in enumerate((62, 76, 92)):
        if look["water"] and k < 2:
            _draw_water(sheet, rng, base, colour=_haze(look["water"], air, 0.3 - 0.2 * k))
            continue
        land = _haze(shade(look["land"], look["land_shades"][k]), air, 0.42 - 0.2 * k)
        sheet.shape(_ridge(rng, base, look["rough"]), land, edge=-0.12)
        for x in rng.uniform(0, SIDE, look["pines"]):
            foot = (x, base + rng.uniform(3, 10))
            tall = rng.uniform(14, 24) * (1 + 0.45 * k) * look["pine_size"]
            _draw_pine(sheet, foot, tall, colour=_haze((40, 84, 58), air, 0.35 - 0.15 * k))
    if name == "waterfall":
        _draw_waterfall(sheet, rng)
    flowers = rng.uniform((0, 66, 0), (SIDE, SIDE, len(FLOWERS)), (look["flowers"], 3))
    for x, y, k in flowers[flowers[:, 1].argsort()]:
        sheet.dot((x, y), 0.7 + (y - 60) * 0.05, tuple(FLOWERS[int(k)]))
    return sheet.image()


def _haze(colour, air: np.ndarray, far: float) -> tuple[int, ...]:
    """The colour as it looks from far away, 0 to 1."""
    return tuple(int(v) for v in np.array(colour) * (1 - far) + air * far)


def _draw_peaks(sheet: Canvas, rng: Generator, air: np.ndarray, *, far: float, base: float) -> None:
    """A range of mountains with snow on its tops."""
    x = np.linspace(-8, SIDE + 8, 8)
    y = base + rng.uniform(-24, 6, 8) * np.where(np.arange(8) % 2, 1, -0.25)
    rock, snow = _haze((88, 98, 122), air, far), _haze((246, 248, 252), air, far * 0.4)
    sheet.shape([*zip(x, y), (SIDE + 9, SIDE), (-9, SIDE)], rock, edge=-0.15)
    for top in np.stack([x, y], 1)[1:7:2]:
        sheet.shape(top + ((0, 0), (5, 9), (1, 7), (-4, 9)), snow, edge=0)


def _draw_water(sheet: Canvas, rng: Generator, base: float, *, colour) -> None:
    sheet.shape([(0, base), (SIDE, base), (SIDE, SIDE), (0, SIDE)], colour, edge=0)
    for x, y, w in rng.uniform((0, base + 1, 4), (SIDE, 90, 22), (12, 3)):
        sheet.stroke([(x, y), (x + w, y)], 0.8, (255, 250, 236, 110))


def _ridge(rng: Generator, base: float, rough: float) -> np.ndarray:
    x = np.linspace(-4, SIDE + 4, 6)
    line = curve(np.stack([x, base + rough * rng.standard_normal(6)], 1))
    return np.concatenate([line, [(SIDE + 4, SIDE + 4), (-4, SIDE + 4)]])


def _draw_pine(sheet: Canvas, foot: tuple[float, float], tall: float, *, colour) -> None:
    x, y = foot
    for k in range(4):
        top, wide = y - tall * (1 - 0.2 * k), tall * (0.10 + 0.06 * k)
        hem = top + tall * 0.36
        tier = [(x, top), (x + wide, hem), (x - wide, hem)]
        sheet.shape(tier, shade(colour, -0.1 + 0.06 * k), edge=-0.2, width=1)


def _draw_waterfall(sheet: Canvas, rng: Generator) -> None:
    x = rng.uniform(35, 77)
    fall = [(x - 6, 44), (x + 6, 44), (x + 11, 94), (x - 11, 94)]
    sheet.shape(fall, (224, 238, 246), edge=-0.15)
    for dx in rng.uniform(-5, 5, 9):
        sheet.stroke([(x + dx, 46), (x + dx * 1.7, 93)], 0.7, (150, 190, 214))
    sheet.shape(_ridge(rng, 96, 1), (66, 124, 150), edge=-0.1)
