"""Backgrounds out of focus, landscapes without an animal, and flat textures."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .canvas import SIDE, Canvas, shade, smooth
from .traits import jitter

HABITATS = ("meadow", "forest", "lake", "sky", "snow", "desert", "reeds")
SCENES = (
    "mountains",
    "woods",
    "lakeside",
    "beach",
    "hills",
    "dunes",
    "flowers",
    "sunset",
    "waterfall",
)
TEXTURES = (
    "stripes",
    "checks",
    "dots",
    "bricks",
    "wood",
    "marble",
    "woven",
    "zigzag",
    "waves",
    "rings",
)

# Gradient stops (height, colour), far to near; each habitat has several lights.
_SKIES = {
    "meadow": (
        ((0, (196, 214, 206)), (0.35, (206, 214, 158)), (0.6, (150, 172, 92)), (1, (92, 124, 58))),
        ((0, (236, 214, 160)), (0.4, (220, 196, 112)), (1, (122, 122, 54))),
        ((0, (132, 164, 116)), (0.5, (112, 148, 84)), (1, (72, 104, 50))),
    ),
    "forest": (
        ((0, (142, 166, 116)), (0.5, (92, 124, 84)), (1, (72, 88, 62))),
        ((0, (172, 178, 122)), (0.5, (132, 144, 92)), (1, (96, 90, 62))),
        ((0, (150, 172, 164)), (0.5, (122, 148, 134)), (1, (86, 100, 86))),
    ),
    "lake": (
        (
            (0, (200, 216, 226)),
            (0.38, (222, 226, 220)),
            (0.44, (98, 128, 120)),
            (0.5, (140, 174, 190)),
            (1, (72, 112, 138)),
        ),
        (
            (0, (240, 212, 186)),
            (0.36, (244, 224, 196)),
            (0.44, (120, 112, 110)),
            (0.5, (214, 186, 170)),
            (1, (110, 118, 138)),
        ),
    ),
    "sky": (
        ((0, (112, 160, 208)), (1, (204, 224, 236))),
        ((0, (160, 178, 200)), (1, (232, 222, 208))),
        ((0, (84, 132, 186)), (0.7, (168, 200, 222)), (1, (226, 228, 220))),
    ),
    "snow": (
        (
            (0, (176, 194, 214)),
            (0.45, (206, 216, 226)),
            (0.55, (222, 228, 236)),
            (1, (200, 212, 228)),
        ),
        ((0, (208, 198, 202)), (0.5, (220, 216, 220)), (1, (192, 202, 220))),
    ),
    "desert": (
        (
            (0, (150, 190, 210)),
            (0.42, (232, 214, 178)),
            (0.48, (214, 168, 112)),
            (1, (196, 146, 92)),
        ),
        (
            (0, (236, 190, 140)),
            (0.45, (242, 208, 160)),
            (0.52, (190, 124, 82)),
            (1, (164, 104, 70)),
        ),
    ),
    "reeds": (
        ((0, (214, 208, 170)), (0.5, (186, 176, 116)), (0.72, (122, 122, 76)), (1, (88, 108, 104))),
        ((0, (190, 204, 196)), (0.5, (142, 156, 112)), (0.72, (96, 110, 72)), (1, (84, 112, 118))),
    ),
}
_FOLIAGE = {
    "meadow": ((150, 180, 84), (108, 146, 66), (232, 208, 92), (206, 130, 150)),
    "forest": ((122, 156, 78), (62, 90, 54), (184, 192, 116), (46, 62, 46)),
    "lake": ((92, 124, 96), (126, 150, 108)),
    "sky": ((246, 247, 248), (232, 238, 244)),
    "snow": ((236, 241, 247), (166, 182, 200)),
    "desert": ((148, 140, 88), (190, 140, 92)),
    "reeds": ((184, 170, 98), (122, 132, 72), (214, 198, 138)),
}


def _field(rng: np.random.Generator, octaves: tuple[int, ...], size: int = 224) -> np.ndarray:
    total = np.zeros((size, size), np.float32)
    for weight, cells in enumerate(reversed(octaves), 1):
        grid = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        total += weight * np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
    return total / total.std()


@cache
def _fields(kind: str) -> list[np.ndarray]:
    octaves = {"soft": (5, 10), "fine": (28, 56, 112)}[kind]
    return [_field(np.random.default_rng(seed), octaves) for seed in range(12)]


def noise(rng: np.random.Generator, kind: str = "fine") -> np.ndarray:
    """A (112, 112) window of smooth noise of unit variance, "soft" or "fine"."""
    pick, y, x = rng.integers((12, SIDE, SIDE))
    return _fields(kind)[pick][y : y + SIDE, x : x + SIDE]


@lru_cache(maxsize=64)
def gradient(stops) -> np.ndarray:
    """(112, 1, 3) float colours down the page through the stops."""
    at = np.linspace(0, 1, SIDE)
    heights, colours = [s[0] for s in stops], np.array([s[1] for s in stops], float)
    return np.stack([np.interp(at, heights, colours[:, c]) for c in range(3)], 1)[:, None].astype(
        np.float32
    )


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 255).astype(np.uint8)


def draw_background(rng: np.random.Generator, habitat: str | None = None) -> np.ndarray:
    """A (112, 112, 3) uint8 habitat out of focus."""
    habitat = habitat or HABITATS[rng.integers(len(HABITATS))]
    stops = _SKIES[habitat][rng.integers(len(_SKIES[habitat]))]
    tint = (1 + 0.03 * rng.standard_normal(3) + rng.normal(0, 0.06)).astype(np.float32)
    soft = noise(rng, "soft")[..., None] * (5 if habitat in ("sky", "snow") else 8)
    page = Image.fromarray(_bytes((gradient(stops) + soft) * tint))
    pen = ImageDraw.Draw(page, "RGBA")
    tones = _FOLIAGE[habitat]
    if habitat == "forest":
        for x in rng.uniform(-5, SIDE, rng.integers(2, 6)):
            wide = rng.uniform(3, 12)
            pen.polygon(
                [x, 0, x + wide, 0, x + wide * 1.2 + rng.normal(0, 4), SIDE, x - wide * 0.2, SIDE],
                fill=(62, 58, 48, 120),
            )
    if habitat in ("lake", "desert", "snow"):
        for level, high, alpha in (
            (0.46, 12, 90),
            (0.47, 5, 130),
            *(((0.66, 4, 90), (0.84, 5, 90)) if habitat != "lake" else ()),
        ):
            line = smooth(
                np.stack(
                    [
                        np.linspace(0, SIDE, 7),
                        SIDE * level - np.abs(rng.normal(high, high * 0.6, 7)),
                    ],
                    1,
                ),
                closed=False,
            )
            pen.polygon(
                [*line.ravel().tolist(), SIDE, SIDE * (level + 0.02), 0, SIDE * (level + 0.02)],
                fill=(*tones[-1], alpha),
            )
    if habitat == "reeds":
        for x in rng.uniform(0, SIDE, 16):
            pen.line(
                [x, SIDE, x + rng.normal(0, 9), rng.uniform(0, 50)],
                fill=(*tones[rng.integers(len(tones))], 190),
                width=int(rng.integers(2, 5)),
            )
    low = {"meadow": 20, "forest": 0, "sky": 0}.get(habitat, 50)
    flat = 0.3 if habitat in ("lake", "desert", "sky", "snow") else 1.0
    for x, y, r, _ in rng.uniform(
        (0, low, 3, 0), (SIDE, SIDE, 15, 1), (12 if flat == 1.0 else 7, 4)
    ):
        pen.ellipse(
            [x - r / flat**0.5, y - r * flat, x + r / flat**0.5, y + r * flat],
            fill=(*tones[rng.integers(len(tones))], 80),
        )
    soft_page = page.reduce(2).filter(ImageFilter.GaussianBlur(rng.uniform(1.1, 2.1)))
    page = soft_page.resize(page.size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(page, "RGBA")
    if habitat in ("meadow", "forest"):
        for x, y, r in rng.uniform((0, 0, 2), (SIDE, 70, 6), (5, 3)):
            pen.ellipse([x - r, y - r, x + r, y + r], fill=(255, 250, 214, 46))
    if habitat == "meadow":
        for x, tall, sway, k in rng.uniform((0, 6, -5, 0), (SIDE, 22, 5, 2), (22, 4)):
            pen.line([x, SIDE, x + sway, SIDE - tall], fill=(*tones[int(k)], 200), width=1)
    if habitat == "lake":
        for x, y, w in rng.uniform((0, 58, 6), (SIDE, SIDE, 30), (9, 3)):
            pen.line([x - w / 2, y, x + w / 2, y], fill=(240, 246, 250, 60), width=1)
    if habitat == "snow":
        for x, y, r in rng.uniform((0, 0, 0.4), (SIDE, SIDE, 1.6), (16, 3)):
            pen.ellipse([x - r, y - r, x + r, y + r], fill=(255, 255, 255, 190))
    return np.asarray(
        page.filter(ImageFilter.SMOOTH) if habitat in ("meadow", "forest", "snow", "lake") else page
    )


def draw_room(rng: np.random.Generator) -> np.ndarray:
    """A plain indoor background (112, 112, 3): a wall above a table or floor."""
    wall, floor = np.array(
        [
            ((214, 206, 190), (150, 110, 76)),
            ((178, 196, 198), (196, 170, 136)),
            ((226, 214, 208), (120, 100, 92)),
            ((196, 178, 158), (98, 76, 62)),
        ][rng.integers(4)],
        float,
    )
    level = rng.uniform(0.58, 0.78)
    tones = ((0, wall * 0.92), (level - 0.02, wall), (level, floor * 0.85), (1, floor * 1.1))
    stops = tuple((at, tuple(tone.tolist())) for at, tone in tones)
    glow = np.linspace(rng.uniform(0.86, 1.1), rng.uniform(0.86, 1.1), SIDE)[None, :, None]
    return _bytes(gradient(stops) * glow + 3 * noise(rng)[..., None])


def _ridge(rng: np.random.Generator, base: float, rough: float, points: int) -> np.ndarray:
    x = np.linspace(-4, SIDE + 4, points)
    line = smooth(np.stack([x, base + rough * rng.standard_normal(points)], 1), closed=False)
    return np.concatenate([line, [(SIDE + 4, SIDE + 4), (-4, SIDE + 4)]])


def _pine(sheet: Canvas, x: float, y: float, tall: float, colour) -> None:
    for k in range(4):
        top, wide = y - tall * (1 - 0.2 * k), tall * (0.10 + 0.06 * k)
        sheet.shape(
            [(x, top), (x + wide, top + tall * 0.36), (x - wide, top + tall * 0.36)],
            shade(colour, -0.1 + 0.06 * k),
            edge=-0.2,
            width=1,
        )


def draw_scene(rng: np.random.Generator, name: str) -> np.ndarray:
    """A (112, 112, 3) uint8 landscape with no animal and nothing man-made in it."""
    warm = name in ("sunset", "dunes") or rng.random() < 0.25
    sky = (
        ((0, (86, 140, 198)), (0.6, (214, 228, 232)))
        if not warm
        else ((0, (104, 98, 150)), (0.35, (232, 148, 110)), (0.6, (250, 214, 150)))
    )
    air = np.array(sky[-1][1], float)
    cloud = np.clip(noise(rng, "soft").repeat(2, 1)[:, :SIDE] * 0.45 + 0.08 * noise(rng), 0, 0.85)[
        ..., None
    ]
    sheet = Canvas(_bytes(gradient(sky) * (1 - cloud) + 250 * cloud))
    sun = np.array([rng.uniform(15, 97), rng.uniform(12, 34) + (22 if name == "sunset" else 0)])
    for r, alpha in ((16, 30), (11, 60), (7, 230)):
        sheet.dot(sun, r * (1.3 if name == "sunset" else 0.7), (255, 244, 206, alpha))

    def haze(colour, far):
        return tuple(int(v) for v in np.array(colour) * (1 - far) + air * far)

    if name in ("mountains", "lakeside", "waterfall"):
        for far, base in ((0.55, 44), (0.25, 56)):
            x = np.linspace(-8, SIDE + 8, 8)
            y = base + rng.uniform(-24, 6, 8) * np.where(np.arange(8) % 2, 1, -0.25)
            sheet.shape(
                [*zip(x, y), (SIDE + 9, SIDE), (-9, SIDE)], haze((88, 98, 122), far), edge=-0.15
            )
            for k in range(1, 7, 2):
                sheet.shape(
                    [
                        (x[k], y[k]),
                        (x[k] + 5, y[k] + 9),
                        (x[k] + 1, y[k] + 7),
                        (x[k] - 4, y[k] + 9),
                    ],
                    haze((246, 248, 252), far * 0.4),
                    edge=0,
                )
    land = {
        "dunes": (220, 166, 100),
        "beach": (232, 208, 158),
        "flowers": (96, 142, 62),
        "sunset": (66, 54, 72),
    }.get(name, (84, 128, 66))
    for k, base in enumerate((62, 76, 92)):
        tone = haze(shade(land, -0.12 * k if name != "dunes" else -0.1 * (2 - k)), 0.42 - 0.2 * k)
        if name in ("beach", "lakeside", "sunset") and k < 2:
            water = haze((58, 124, 160) if name != "sunset" else (170, 104, 110), 0.3 - 0.2 * k)
            sheet.shape([(0, base), (SIDE, base), (SIDE, SIDE), (0, SIDE)], water, edge=0)
            for x, y, w in rng.uniform((0, base + 1, 4), (SIDE, 90, 22), (12, 3)):
                sheet.stroke([(x, y), (x + w, y)], 0.8, (255, 250, 236, 110))
        else:
            sheet.shape(_ridge(rng, base, 2.2 if name != "dunes" else 5, 6), tone, edge=-0.12)
        if name in ("woods", "mountains", "hills", "lakeside") and not (
            name == "lakeside" and k < 2
        ):
            for x in rng.uniform(0, SIDE, {"woods": 12, "hills": 3}.get(name, 6)):
                _pine(
                    sheet,
                    x,
                    base + rng.uniform(3, 10),
                    rng.uniform(14, 24) * (1 + 0.45 * k) * (1.3 if name == "woods" else 0.8),
                    haze((40, 84, 58), 0.35 - 0.15 * k),
                )
    if name == "waterfall":
        fall = rng.uniform(35, 77)
        sheet.shape(
            [(fall - 6, 44), (fall + 6, 44), (fall + 11, 94), (fall - 11, 94)],
            (224, 238, 246),
            edge=-0.15,
        )
        for dx in rng.uniform(-5, 5, 9):
            sheet.stroke([(fall + dx, 46), (fall + dx * 1.7, 93)], 0.7, (150, 190, 214))
        sheet.shape(_ridge(rng, 96, 1, 6), (66, 124, 150), edge=-0.1)
    if name in ("flowers", "hills"):
        for x, y, k in sorted(
            rng.uniform((0, 66, 0), (SIDE, SIDE, 4), (70 if name == "flowers" else 14, 3)).tolist(),
            key=lambda f: f[1],
        ):
            sheet.dot(
                (x, y),
                0.7 + (y - 60) * 0.05,
                ((226, 60, 66), (250, 206, 70), (168, 96, 190), (250, 246, 240))[int(k)],
            )
    return sheet.image()


def draw_texture(
    rng: np.random.Generator, name: str, colour: str = "brown", other: str = "white"
) -> np.ndarray:
    """A (112, 112, 3) uint8 pattern in two named colours."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    angle, cell = rng.uniform(0, np.pi), rng.uniform(9, 20)
    if name in ("bricks", "woven", "wood"):
        angle = rng.choice([0, np.pi / 2]) if name == "wood" else rng.normal(0, 0.04)
    shift = rng.uniform(0, 50, 2)
    u = (x * np.cos(angle) + y * np.sin(angle) + shift[0]) / cell
    v = (y * np.cos(angle) - x * np.sin(angle) + shift[1]) / cell
    soft = noise(rng, "soft")

    def wave(t):
        return 0.5 + 0.5 * np.sin(2 * np.pi * t)

    def crisp(t):
        return np.clip((t - 0.5) * 6 + 0.5, 0, 1)

    if name == "stripes":
        mix = crisp(wave(u))
    elif name == "checks":
        mix = (np.floor(u) + np.floor(v)) % 2
    elif name == "dots":
        mix = np.clip(
            (0.34 - np.hypot(u % 1 - 0.5, (v + 0.5 * (np.floor(u) % 2)) % 1 - 0.5)) * 9 + 0.5, 0, 1
        )
    elif name == "bricks":
        row = np.floor(v * 1.2)
        mix = ((u * 0.6 + 0.5 * (row % 2)) % 1 > 0.07) & (v * 1.2 % 1 > 0.13)
        mix = mix * (0.82 + 0.18 * wave(np.floor(u * 0.6 + 0.5 * (row % 2)) * 0.37 + row * 0.61))
    elif name == "wood":
        mix = 0.3 + 0.7 * wave(v * 0.7 + 0.5 * soft + 0.08 * noise(rng))
    elif name == "marble":
        mix = 1 - np.abs(np.sin(u * 0.8 + 1.9 * soft)) ** 0.45
    elif name == "woven":
        over = (np.floor(u) + np.floor(v)) % 2
        mix = np.where(over, 0.25 + 0.75 * np.sin(np.pi * (v % 1)), 0.45 * np.sin(np.pi * (u % 1)))
    elif name == "zigzag":
        mix = crisp(wave(v + np.abs(u % 1 - 0.5) * 1.4))
    elif name == "waves":
        mix = wave(v + 0.35 * np.sin(2 * np.pi * u * 0.5) + 0.1 * soft)
    else:
        mix = crisp(wave(np.hypot(u - u.mean(), v - v.mean()) + 0.08 * soft))
    first, second = (np.array(jitter(c, rng), float) for c in (colour, other))
    image = second + (first - second) * np.asarray(mix, np.float32)[..., None]
    return _bytes(image * (1 + 0.05 * noise(rng) + 0.05 * soft)[..., None])
